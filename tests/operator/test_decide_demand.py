"""How many warm nodes a hit rate needs, and what is learnt of the claims: the rules of decide/demand.py."""

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from firn_operator.decide.demand import (
    NO_WEEK,
    Demand,
    booted,
    claimed,
    fade,
    hour_of_week,
    next_look,
    rate,
    replacement_seconds,
    roll,
    stock,
    target,
    week_of,
    week_text,
)
from hypothesis import given
from hypothesis import strategies as st

MONDAY_NINE = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def poisson_below(mean: float, count: int) -> float:
    """Return the chance of fewer than `count`, the plain way."""
    return sum(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(count))


@pytest.mark.parametrize(
    ("mean", "batch", "hit_rate", "expected"),
    [
        pytest.param(0.0, 1.0, 0.99, 0, id="nobody comes"),
        pytest.param(0.005, 1.0, 0.99, 1, id="a claim now and then"),
        pytest.param(0.1, 1.0, 0.99, 2, id="and rarely a second before the first is replaced"),
        pytest.param(1.0, 1.0, 0.99, 5, id="one each replacement"),
        pytest.param(1.0, 1.0, 0.90, 3, id="a lower share needs fewer"),
        pytest.param(180.0, 1.0, 0.99, 213, id="45 a second and 4 s to boot"),
        pytest.param(1.0, 4.0, 0.99, 12, id="clusters of four nodes come in batches"),
        pytest.param(9000.0, 1.0, 0.99, 1000, id="no more than the bound"),
        pytest.param(math.inf, 1.0, 0.99, 1000, id="nor when the pool cannot keep up"),
    ],
)
def test_stock(mean: float, batch: float, hit_rate: float, expected: int) -> None:
    assert stock(mean, batch, hit_rate, most=1000) == expected


@given(st.floats(0.001, 150), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_the_stock_is_the_least_that_meets_the_share(mean: float, hit_rate: float) -> None:
    needed = stock(mean, 1.0, hit_rate, most=10_000)
    assert poisson_below(mean, needed) >= hit_rate - 1e-9
    assert needed == 1 or poisson_below(mean, needed - 1) < hit_rate + 1e-9


@given(st.floats(0.001, 500), st.floats(1, 50), st.floats(0.5, 0.999), st.integers(1, 2000))
def test_the_stock_grows_with_all_that_asks_for_more(mean: float, batch: float, hit_rate: float, most: int) -> None:
    here = stock(mean, batch, hit_rate, most)
    assert 1 <= here <= most
    assert stock(mean * 1.5, batch, hit_rate, most) >= here
    assert stock(mean, batch, hit_rate + 0.0005, most) >= here


@pytest.mark.parametrize(("per_second", "batch"), [(0.05, 1), (0.5, 1), (5.0, 1), (0.1, 4), (1.0, 4), (1.0, 16)])
def test_a_simulated_pool_meets_the_share_with_this_stock_and_not_with_much_less(per_second: float, batch: int) -> None:
    demand = Demand(boot=4 * SECOND)
    seconds = replacement_seconds(demand, per_second, 2 * SECOND, 1000)
    needed = stock(per_second * seconds, batch, 0.99, 1000)
    assert simulated_hits(per_second, batch, seconds, needed) >= 0.985
    assert simulated_hits(per_second, batch, seconds, needed * 3 // 4 - 1) < 0.99


def simulated_hits(per_second: float, batch: int, replaced_after: float, size: int) -> float:
    """Return the share of claims that find a node in a pool that replaces each after a random time of this mean."""
    chance, now, hits, arrivals = random.Random(7), 0.0, 0, 8000 // batch
    back: list[float] = []
    for _ in range(arrivals):
        now += chance.expovariate(per_second / batch)
        back = [at for at in back if at > now]
        hits += min(batch, max(0, size - len(back)))
        back += [now + chance.uniform(0, 2 * replaced_after) for _ in range(batch)]
    return hits / (arrivals * batch)


@pytest.mark.parametrize(
    ("per_second", "booting", "expected"),
    [
        pytest.param(0.1, 100, 6.0, id="the pause and the boot"),
        pytest.param(0.25, 2, 4 + 2 + 4 * 0.5 ** (math.sqrt(6) - 1) / (2 * 0.5), id="half busy: some wait to boot"),
        pytest.param(0.5, 2, math.inf, id="as many come as can boot"),
    ],
)
def test_replacement(per_second: float, booting: int, expected: float) -> None:
    assert replacement_seconds(Demand(boot=4 * SECOND), per_second, 2 * SECOND, booting) == pytest.approx(expected)


def test_the_rate_follows_a_steady_stream_and_fades() -> None:
    demand, now = Demand(), MONDAY_NINE
    for _ in range(3600):
        now += SECOND / 2
        demand = claimed(demand, 1, now)
    assert rate(demand, now) == pytest.approx(2.0, rel=0.1)
    assert rate(demand, now + timedelta(minutes=10)) == pytest.approx(2.0 / math.e, rel=0.1)
    assert rate(demand, now + timedelta(hours=3)) < 1e-5


def test_a_rush_is_seen_within_the_fast_memory() -> None:
    demand, now = Demand(), MONDAY_NINE
    for _ in range(45 * 60):
        now += SECOND / 45
        demand = claimed(demand, 1, now)
    assert rate(demand, now) > 45 * 0.6


def test_boots_are_smoothed() -> None:
    demand = booted(booted(Demand(), 4 * SECOND), 14 * SECOND)
    assert demand.boot == 5 * SECOND


def test_batches_are_learnt() -> None:
    demand = Demand()
    for _ in range(200):
        demand = claimed(demand, 4, MONDAY_NINE)
    assert demand.batch == pytest.approx(4, abs=0.01)


def test_an_hour_is_learnt_and_prepared_for_a_week_later() -> None:
    demand = roll(Demand(), 100, MONDAY_NINE)
    demand = roll(demand, 3700, MONDAY_NINE + HOUR)
    assert demand.week[hour_of_week(MONDAY_NINE)] == 3600
    assert rate(demand, MONDAY_NINE + timedelta(days=7)) == 1.0
    assert rate(demand, MONDAY_NINE + timedelta(days=7, minutes=-5)) == 1.0
    assert rate(demand, MONDAY_NINE + timedelta(days=7, minutes=-6)) == 0.0
    assert rate(demand, MONDAY_NINE + timedelta(days=7, hours=1)) == 0.0


def test_the_weeks_are_smoothed() -> None:
    demand = Demand()
    for week, claims in enumerate((0, 100, 300)):
        begins = MONDAY_NINE + timedelta(days=7 * week)
        demand = roll(roll(demand, 1000, begins), 1000 + claims, begins + HOUR)
    assert demand.week[hour_of_week(MONDAY_NINE)] == pytest.approx(0.7 * 30 + 0.3 * 300)


@pytest.mark.parametrize(
    ("began", "rolled"),
    [
        pytest.param(MONDAY_NINE + timedelta(minutes=20), MONDAY_NINE + HOUR, id="begun in its midst"),
        pytest.param(MONDAY_NINE, MONDAY_NINE + 3 * HOUR, id="nobody watched at its end"),
    ],
)
def test_an_hour_that_was_not_wholly_counted_teaches_nothing(began: datetime, rolled: datetime) -> None:
    assert roll(roll(Demand(), 0, began), 50, rolled).week == NO_WEEK


@given(st.lists(st.none() | st.floats(0, 1e5).map(lambda claims: round(claims, 1)), max_size=168))
def test_a_week_survives_the_status(known: list[float | None]) -> None:
    week = (*known, *NO_WEEK[len(known) :])
    assert week_of(week_text(week)) == week
    assert len(week_text(week)) < 168 * 9


@pytest.mark.parametrize("text", ["", "x", "nan,-1,inf", "1," * 500])
def test_a_week_that_somebody_wrote_is_no_trouble(text: str) -> None:
    assert len(week_of(text)) == 168


@given(st.floats(0, 100), st.floats(0, 100), st.integers(0, 10_000), st.integers(1, 400))
def test_the_target_is_never_above_the_most(fast: float, slow: float, most: int, booting: int) -> None:
    demand = Demand(fast=fast, slow=slow, at=MONDAY_NINE)
    assert 0 <= target(demand, 0.99, 2 * SECOND, booting, most, MONDAY_NINE) <= most


def test_one_looks_again_before_the_hour_and_while_rates_fade() -> None:
    quiet = Demand()
    assert next_look(quiet, MONDAY_NINE) == MONDAY_NINE + timedelta(minutes=55)
    assert next_look(quiet, MONDAY_NINE + timedelta(minutes=57)) == MONDAY_NINE + HOUR
    assert next_look(claimed(quiet, 1, MONDAY_NINE), MONDAY_NINE) == MONDAY_NINE + timedelta(seconds=15)
    assert fade(replace(quiet, fast=1.0, at=MONDAY_NINE), MONDAY_NINE + timedelta(minutes=1)).fast < 0.37
