"""Credits by hour and warehouse, from intervals of metering.

Source: snowflake-surface.md, WAREHOUSE_METERING_HISTORY; what an interval costs is firn_model.credits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from firn_model.clusters import MeterInterval
from firn_model.credits import interval_cost

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Metered:
    """An interval of one warehouse. `cluster_uid` and the interval's id name it for good."""

    cluster_uid: str
    cluster: str
    warehouse: str
    resource: str
    interval: MeterInterval


@dataclass(frozen=True, slots=True)
class Used:
    """What a warehouse used in one hour, in credit-seconds: its clusters, and its burst nodes apart."""

    warehouse: str
    hour: datetime
    compute: Decimal
    burst: Decimal


def hour_of(at: datetime) -> datetime:
    """Return the start of the hour, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def by_hour(metered: Iterable[Metered], start: datetime, end: datetime, now: datetime) -> list[Used]:
    """Return what was used between `start` and `end`, by hour and warehouse; hours without use are left out."""
    sums: dict[tuple[datetime, str], list[Decimal]] = {}
    for one in metered:
        interval = one.interval
        until = min(interval.ended_at or now, end, now)
        at = max(interval.started_at, start)
        while at < until:
            hour = hour_of(at)
            cut = min(hour + HOUR, until)
            both = sums.setdefault((hour, one.warehouse), [Decimal(0), Decimal(0)])
            both[1 if interval.burst_nodes else 0] += interval_cost(interval, cut, at)
            at = cut
    return [Used(warehouse, hour, compute, burst) for (hour, warehouse), (compute, burst) in sorted(sums.items())]
