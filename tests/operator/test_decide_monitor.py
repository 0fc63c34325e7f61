"""Resource monitors: periods, triggers and limits as Snowflake documents them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from firn_model.clusters import MeterLedger
from firn_model.monitors import MonitorAction, MonitorFrequency, MonitorSpec, MonitorStatus, MonitorTrigger
from firn_operator.decide.metering import Ledger
from firn_operator.decide.monitor import (
    LONGEST_SLEEP,
    Period,
    ledger_in,
    limit_of,
    news,
    period_at,
    stand,
    start_of,
    words,
)
from firn_operator.decide.observed import Monitor
from firn_operator.decide.reason import Reason
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import NOW, ago

NOTIFY, SUSPEND, AT_ONCE = MonitorAction
FOREVER = Period(NOW, None)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("frequency", "start", "now", "begins", "ends"),
    [
        pytest.param("Daily", "2026-01-31 15:30", "2026-01-31 15:30", "2026-01-31 15:30", "2026-02-01", id="first day"),
        pytest.param("Daily", "2026-01-31 15:30", "2026-02-01 00:00", "2026-02-01", "2026-02-02", id="at midnight"),
        pytest.param("Weekly", "2026-01-28 15:30", "2026-02-11 23:59", "2026-02-11", "2026-02-18", id="a weekday"),
        pytest.param("Monthly", "2026-01-31 15:30", "2026-02-27 23:59", "2026-01-31 15:30", "2026-02-28", id="first"),
        pytest.param("Monthly", "2026-01-31 15:30", "2026-02-28 00:00", "2026-02-28", "2026-03-31", id="a short month"),
        pytest.param("Monthly", "2025-12-05 00:00", "2026-02-05 00:00", "2026-02-05", "2026-03-05", id="over a year"),
        pytest.param("Yearly", "2024-02-29 10:00", "2025-03-01 00:00", "2025-02-28", "2026-02-28", id="a leap day"),
        pytest.param("Never", "2024-02-29 10:00", "2029-03-01 00:00", "2024-02-29 10:00", None, id="never reset"),
    ],
)
def test_periods(frequency: str, start: str, now: str, begins: str, ends: str | None) -> None:
    period = period_at(MonitorFrequency(frequency), at(start), at(now))
    assert period == Period(at(begins), at(ends) if ends else None)


def test_nothing_counts_before_the_start() -> None:
    assert period_at(MonitorFrequency.DAILY, at("2026-01-02 00:00"), at("2026-01-01 23:59")) is None


moments = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  UTC is added


@given(frequency=st.sampled_from(MonitorFrequency), start=moments, later=st.timedeltas(timedelta(0), timedelta(3000)))
def test_periods_cover_time_without_gap_or_overlap(
    frequency: MonitorFrequency, start: datetime, later: timedelta
) -> None:
    now = start + later
    period = period_at(frequency, start, now)
    assert period is not None
    assert period.start <= now
    if period.end is None:
        assert frequency is MonitorFrequency.NEVER
        return
    assert now < period.end
    assert period.end.time() == datetime.min.time()
    following = period_at(frequency, start, period.end)
    assert following
    assert following.start == period.end
    before = period_at(frequency, start, period.end - timedelta(microseconds=1))
    assert before == period
    if period.start > start:
        assert period.start.time() == datetime.min.time()


def spec(quota: int = 10, *triggers: tuple[int, MonitorAction]) -> MonitorSpec:
    return MonitorSpec(credit_quota=quota, triggers=tuple(MonitorTrigger(percent=p, action=a) for p, a in triggers))


RULES = spec(10, (50, NOTIFY), (80, NOTIFY), (100, SUSPEND), (110, AT_ONCE))


@pytest.mark.parametrize(
    ("used", "reached", "limit"),
    [
        pytest.param("0", [], None, id="nothing used"),
        pytest.param("4.999", [], None, id="just under"),
        pytest.param("5", [50], None, id="exactly at it"),
        pytest.param("9.99", [50, 80], None, id="notified only"),
        pytest.param("10", [50, 80, 100], SUSPEND, id="suspend"),
        pytest.param("11", [50, 80, 100, 110], AT_ONCE, id="suspend immediately beats suspend; over 100 % is allowed"),
    ],
)
def test_triggers(used: str, reached: list[int], limit: MonitorAction | None) -> None:
    standing = stand(RULES, FOREVER, Decimal(used) * 3600, Decimal(0), NOW)
    assert [t.percent for t in standing.reached] == reached
    assert standing.limit is limit


def test_a_raised_quota_takes_the_limit_back() -> None:
    used = Decimal(10) * 3600
    assert stand(RULES, FOREVER, used, Decimal(0), NOW).limit is SUSPEND
    raised = RULES.model_copy(update={"credit_quota": 11})
    assert stand(raised, FOREVER, used, Decimal(0), NOW).limit is None


def test_each_trigger_is_told_once_a_period() -> None:
    standing = stand(RULES, FOREVER, Decimal(10) * 3600, Decimal(0), NOW)
    assert [t.percent for t in news(standing, ())] == [50, 80, 100]
    assert [t.percent for t in news(standing, (50, 80))] == [100]
    assert news(standing, (50, 80, 100)) == ()


@given(used=st.integers(0, 36_000_000), rate=st.integers(1, 40_000))
def test_it_wakes_within_a_microsecond_of_the_crossing(used: int, rate: int) -> None:
    """At the present burn rate; `used` in thousandths of credit-seconds."""
    amount, hourly = Decimal(used) / 1000, Decimal(rate) / 4
    standing = stand(RULES, FOREVER, amount, hourly, NOW)
    asleep = standing.wake_at - NOW
    then = amount + hourly * Decimal(asleep // timedelta(microseconds=1)) / 1_000_000
    if len(standing.reached) == len(RULES.triggers):
        assert asleep == LONGEST_SLEEP
    else:
        later = stand(RULES, FOREVER, then, hourly, standing.wake_at)
        assert len(later.reached) > len(standing.reached) or asleep == LONGEST_SLEEP
        sooner = stand(RULES, FOREVER, then - hourly / 1_000_000, hourly, standing.wake_at)
        assert sooner.reached == standing.reached


def test_it_wakes_when_the_period_ends() -> None:
    period = Period(ago(3600), NOW + timedelta(seconds=30))
    assert stand(RULES, period, Decimal(0), Decimal(1), NOW).wake_at == period.end
    assert stand(spec(10**9, (1000, SUSPEND)), FOREVER, Decimal(0), Decimal("0.1"), NOW).wake_at == NOW + LONGEST_SLEEP


def monitor(status: MonitorStatus, **spec_fields: Any) -> Monitor:
    return Monitor("m", "m-uid", 1, 1, False, ago(9000), MonitorSpec(credit_quota=10, **spec_fields), status)


def test_what_was_counted_is_of_its_period() -> None:
    counted = MeterLedger(credit_seconds=Decimal(360), counted=("e1",))
    known = monitor(MonitorStatus(period_start=NOW, metering=counted))
    assert ledger_in(known, Period(NOW, None)) == Ledger(Decimal(360), ("e1",))
    assert ledger_in(known, Period(NOW + timedelta(days=1), None)) == Ledger()
    assert ledger_in(monitor(MonitorStatus()), FOREVER) == Ledger()


def test_the_limit_names_the_monitor_and_says_what_helps() -> None:
    reached = monitor(MonitorStatus(limit=SUSPEND, period_end=at("2026-02-01 00:00")))
    limit = limit_of(reached)
    assert limit is not None
    assert limit.reason is Reason.MONITOR_SUSPEND
    assert "resource monitor m has reached its limit" in limit.message
    assert "2026-02-01 00:00 UTC" in limit.message
    assert "spec.creditQuota" in limit.message
    assert limit_of(replace(reached, deleting=True)) is None
    assert limit_of(monitor(MonitorStatus())) is None


def test_it_starts_at_creation_unless_it_says_when() -> None:
    assert start_of(monitor(MonitorStatus())) == ago(9000)
    assert start_of(monitor(MonitorStatus(), start=NOW.replace(tzinfo=None))) == NOW


def test_words() -> None:
    standing = stand(RULES, FOREVER, Decimal(4500), Decimal(0), NOW)
    assert words(RULES, standing, FOREVER) == "1.250 of 10 credits used since 2026-01-02 03:04 UTC"


@given(start=moments, days=st.integers(1, 60))
def test_days_follow_each_other(start: datetime, days: int) -> None:
    found = [period_at(MonitorFrequency.DAILY, start, start + timedelta(days=d)) for d in range(days)]
    assert all(a and b and a.end == b.start for a, b in pairwise(found))
