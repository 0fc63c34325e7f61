"""Resource monitors: periods, what was used in one, and what follows from it.

Source: Snowflake's resource monitors (snowflake-surface.md; "regardless of the time specified in the start date and
time, resource monitors reset at 12:00 AM UTC"); design.md section 6, "metering". A trigger is reached when that share
of the quota is used; a raised quota or a new period takes it back.
"""

import calendar
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from firn_model.credits import SECONDS_PER_HOUR, to_credits
from firn_model.monitors import MonitorAction, MonitorFrequency, MonitorSpec, MonitorTrigger

from firn_operator.decide.decision import earliest
from firn_operator.decide.metering import Ledger
from firn_operator.decide.observed import Monitor
from firn_operator.decide.reason import Reason

LONGEST_SLEEP = timedelta(days=1)
MONTHS = {MonitorFrequency.MONTHLY: 1, MonitorFrequency.YEARLY: 12}
DAYS = {MonitorFrequency.DAILY: 1, MonitorFrequency.WEEKLY: 7}
LIMITS = {
    MonitorAction.SUSPEND: Reason.MONITOR_SUSPEND,
    MonitorAction.SUSPEND_IMMEDIATELY: Reason.MONITOR_SUSPEND_IMMEDIATELY,
}


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when one quota lasts; None: for ever."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Limit:
    """What a monitor does to the warehouses that name it."""

    monitor: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a monitor stands. `wake_at` is when the next trigger is reached at the present rate, or the period ends."""

    credit_seconds: Decimal
    reached: tuple[MonitorTrigger, ...]
    limit: MonitorAction | None
    wake_at: datetime


def start_of(monitor: Monitor) -> datetime:
    """Return when a monitor starts to count."""
    start = monitor.spec.start or monitor.created_at
    return start if start.tzinfo else start.replace(tzinfo=UTC)


def period_at(frequency: MonitorFrequency, start: datetime, now: datetime) -> Period | None:
    """Return the period that `now` is in; None before the start. Later periods begin at midnight, UTC."""
    if now < start:
        return None
    if frequency is MonitorFrequency.NEVER:
        return Period(start, None)
    first, today = start.astimezone(UTC).date(), now.astimezone(UTC).date()
    number = _periods_between(frequency, first, today)
    begins = _midnight(_boundary(frequency, first, number)) if number else start
    return Period(begins, _midnight(_boundary(frequency, first, number + 1)))


def _periods_between(frequency: MonitorFrequency, first: date, today: date) -> int:
    if frequency in DAYS:
        return (today - first).days // DAYS[frequency]
    step = MONTHS[frequency]
    number = ((today.year - first.year) * 12 + today.month - first.month) // step
    return number if _boundary(frequency, first, number) <= today else number - 1


def _boundary(frequency: MonitorFrequency, first: date, number: int) -> date:
    """Return the first day of a period; in a month that is too short it is the month's last day."""
    if frequency in DAYS:
        return first + timedelta(days=DAYS[frequency] * number)
    month = first.month - 1 + MONTHS[frequency] * number
    year, month = first.year + month // 12, month % 12 + 1
    return date(year, month, min(first.day, calendar.monthrange(year, month)[1]))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def ledger_in(monitor: Monitor, period: Period) -> Ledger:
    """Return what was counted in this period; in a new one nothing was."""
    status = monitor.status
    if status.metering is None or status.period_start != period.start:
        return Ledger()
    return Ledger(status.metering.credit_seconds, status.metering.counted)


def stand(
    spec: MonitorSpec, period: Period, credit_seconds: Decimal, credits_per_hour: Decimal, now: datetime
) -> Standing:
    """Return how a monitor stands that has used so much and uses so much more an hour."""
    reached = tuple(t for t in spec.triggers if credit_seconds >= _threshold(spec, t))
    actions = {t.action for t in reached}
    limit = next((a for a in reversed(LIMITS) if a in actions), None)
    ahead = (_threshold(spec, t) - credit_seconds for t in spec.triggers if t not in reached)
    crossing = _after(min(ahead, default=None), credits_per_hour)
    times = (period.end, now + min(crossing, LONGEST_SLEEP))
    return Standing(credit_seconds, reached, limit, earliest(times) or now + LONGEST_SLEEP)


def _threshold(spec: MonitorSpec, trigger: MonitorTrigger) -> Decimal:
    """Return the credit-seconds at which a trigger is reached."""
    return Decimal(spec.credit_quota) * SECONDS_PER_HOUR * trigger.percent / 100


def _after(credit_seconds: Decimal | None, credits_per_hour: Decimal) -> timedelta:
    """Return how long so much takes; credits an hour are credit-seconds a second."""
    if credit_seconds is None or credits_per_hour <= 0:
        return LONGEST_SLEEP
    seconds = min(credit_seconds / credits_per_hour, Decimal(LONGEST_SLEEP.total_seconds()))
    return timedelta(microseconds=math.ceil(seconds * 1_000_000))


def news(standing: Standing, told: Iterable[int]) -> tuple[MonitorTrigger, ...]:
    """Return the triggers that were reached and not told in this period yet."""
    known = set(told)
    return tuple(t for t in standing.reached if t.percent not in known)


def words(spec: MonitorSpec, standing: Standing, period: Period) -> str:
    """Say how a monitor stands."""
    used = to_credits(standing.credit_seconds).quantize(Decimal("0.001"))
    until = f", until {period.end:%Y-%m-%d %H:%M} UTC" if period.end else ""
    return f"{used} of {spec.credit_quota} credits used since {period.start:%Y-%m-%d %H:%M} UTC{until}"


def limit_of(monitor: Monitor) -> Limit | None:
    """Return what a monitor does to its warehouses now, as its status says."""
    if monitor.status.limit not in LIMITS or monitor.deleting:
        return None
    end = monitor.status.period_end
    until = f"until its next period at {end:%Y-%m-%d %H:%M} UTC, or " if end else ""
    message = (
        f"resource monitor {monitor.name} has reached its limit: {monitor.spec.credit_quota} credits are its quota; "
        f"it stays suspended {until}until spec.creditQuota is raised"
    )
    return Limit(monitor.name, LIMITS[monitor.status.limit], message)
