"""What was learnt of a pool's claims, in its status and back."""

from datetime import datetime, timedelta

from firn_model.pools import PoolDemand, PoolStatus

from firn_operator.decide.demand import Demand, fade, week_of, week_text


def demand_of(status: PoolStatus) -> Demand:
    """Return what a status tells."""
    told = status.demand
    if told is None:
        return Demand()
    return Demand(
        fast=told.fast,
        slow=told.slow,
        at=told.at,
        batch=told.batch,
        boot=None if told.boot_seconds is None else timedelta(seconds=told.boot_seconds),
        week=week_of(told.week),
        hour=told.hour,
        claims_before=told.claims_before,
    )


def demand_status(demand: Demand, now: datetime) -> PoolDemand:
    """Return what a status tells, with rates of now."""
    faded = fade(demand, now)
    return PoolDemand(
        at=now,
        fast=round(faded.fast, 6),
        slow=round(faded.slow, 6),
        batch=round(faded.batch, 3),
        boot_seconds=None if faded.boot is None else round(faded.boot.total_seconds(), 3),
        week=week_text(faded.week),
        hour=faded.hour,
        claims_before=faded.claims_before,
    )
