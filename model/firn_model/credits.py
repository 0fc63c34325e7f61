"""What intervals of metering cost. The operator, the services and the simulator count by these functions alone.

Source: design.md section 6 "metering" (per-second credits, size times time, burst by node); sizes.py for the rates.

Costs are kept as credit-seconds (credits an hour times seconds), which are exact decimals: a period cut anywhere costs
the sum of its parts. They become credits by one division, at the very end.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from firn_model.clusters import MeterInterval
from firn_model.sizes import WarehouseSize, WarehouseType, credits_per_hour, node_count

SECONDS_PER_HOUR = 3600
NANO = Decimal("0.000000001")
_MICROSECOND = timedelta(microseconds=1)
BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Before everything: count all."""


def hourly_rate(size: WarehouseSize, type_: WarehouseType, burst_nodes: int = 0) -> Decimal:
    """Return the credits an hour of a cluster of this size, or of so many burst nodes beside one."""
    whole = credits_per_hour(size, type_)
    return whole / node_count(size, type_) * burst_nodes if burst_nodes else whole


def interval_cost(interval: MeterInterval, now: datetime, since: datetime = BEGINNING) -> Decimal:
    """Return what an interval cost between `since` and its end, or `now` while it goes on."""
    start = max(interval.started_at, since)
    end = now if interval.ended_at is None else min(interval.ended_at, now)
    if end <= start:
        return Decimal(0)
    seconds = Decimal((end - start) // _MICROSECOND).scaleb(-6)
    return hourly_rate(interval.size, interval.type, interval.burst_nodes) * seconds


def cost_of(intervals: Iterable[MeterInterval], now: datetime, since: datetime = BEGINNING) -> Decimal:
    """Return what intervals cost in all, in credit-seconds."""
    return sum((interval_cost(i, now, since) for i in intervals), Decimal(0))


def to_credits(amount: Decimal) -> Decimal:
    """Return credit-seconds as credits, to nine places."""
    return (amount / SECONDS_PER_HOUR).quantize(NANO)
