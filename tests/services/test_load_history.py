"""A warehouse's load over time. Source: seed article, "Warehouse load & Warehouse utilization"."""

from datetime import UTC, datetime, timedelta

import pytest
from firn_services.decide.load_history import (
    COARSE,
    FINE,
    ClusterInterval,
    ClusterState,
    LoadMeter,
    Slots,
    State,
    coarser,
    grain_of,
    intervals,
    length_for,
)
from firn_services.store.database import open_database
from firn_services.store.load import LoadStore
from firn_services.store.writer import Writer
from hypothesis import given
from hypothesis import strategies as st

from tests.postgres import on_both_databases

T0 = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ONE = {"w-1": ClusterState(1, 2, 0.5)}


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def meter(*changes: tuple[float, State], until: float) -> Slots:
    """Count states that begin at seconds after T0, until another."""
    counting = LoadMeter(T0)
    for seconds, state in changes:
        counting.change(state, at(seconds))
    return counting.take(at(until))


@pytest.mark.parametrize(
    ("changes", "running", "queued_load", "provisioning"),
    [
        pytest.param([(0, State(running=1))], 1.0, 0.0, 0.0, id="one statement all the time"),
        pytest.param([(0, State(running=2)), (75, State())], 0.5, 0.0, 0.0, id="two for a quarter"),
        pytest.param([(0, State(running=1)), (150, State(3, 2))], 2.0, 1.0, 0.0, id="a rise in the middle"),
        pytest.param([(0, State(queued_provisioning=4)), (30, State(running=4))], 3.6, 0.0, 0.4, id="a resume"),
        pytest.param([(299.999, State(running=3000))], 0.01, 0.0, 0.0, id="a moment of many"),
        pytest.param([], 0.0, 0.0, 0.0, id="nothing"),
    ],
)
def test_the_average_is_the_sum_of_seconds_in_a_state_over_the_interval(
    changes: list[tuple[float, State]], running: float, queued_load: float, provisioning: float
) -> None:
    (found,) = intervals(meter(*changes, until=300), T0, at(300), COARSE, at(300))
    assert found.running == pytest.approx(running, rel=1e-3)
    assert (found.queued_load, found.queued_provisioning) == pytest.approx((queued_load, provisioning))
    assert found.blocked == 0


def test_an_interval_that_goes_on_is_averaged_over_what_is_past() -> None:
    slots = meter((0, State(running=1)), until=60)
    (found,) = intervals(slots, T0, at(300), COARSE, at(60))
    assert found.running == pytest.approx(1.0)


def test_utilisation_is_of_the_time_that_a_cluster_served() -> None:
    both = {**ONE, "w-2": ClusterState(2, 0, 0.0)}
    slots = meter((0, State(2, clusters=ONE)), (100, State(2, clusters=both)), (200, State()), until=300)
    (found,) = intervals(slots, T0, at(300), COARSE, at(300))
    first, second = found.clusters
    assert (first.cluster, first.number) == ("w-1", 1)
    assert (first.running, first.utilization) == pytest.approx((2.0, 0.5))
    assert second == ClusterInterval("w-2", 2, 0.0, 0.0)
    assert found.utilization == pytest.approx(200 * 0.5 / 300), "1: 200 s, 2: 100 s"
    (idle,) = intervals({}, T0, at(300), COARSE, at(300))
    assert idle.utilization is None


def test_a_clock_that_goes_back_counts_nothing_twice() -> None:
    counting = LoadMeter(T0)
    counting.change(State(running=1), at(10))
    counting.change(State(running=1), at(4))
    (found,) = intervals(counting.take(at(20)), T0, at(20), COARSE, at(20))
    assert found.running == pytest.approx(10 / 20)


steps = st.lists(st.tuples(st.floats(0, 700), st.integers(0, 9), st.integers(0, 9)), max_size=12)


@given(steps, st.lists(st.floats(0, 700), max_size=6))
def test_no_second_is_lost_or_counted_twice(changes: list[tuple[float, int, int]], takes: list[float]) -> None:
    counting, taken = LoadMeter(T0), list[Slots]()
    events = sorted([(s, State(r, q)) for s, r, q in changes] + [(s, None) for s in takes], key=lambda e: e[0])
    expected_running, state, since = 0.0, State(), 0.0
    for seconds, change in [*events, (700.0, None)]:
        expected_running += state.running * (seconds - since)
        since = seconds
        if change is None:
            taken.append(counting.take(at(seconds)))
        else:
            counting.change(change, at(seconds))
            state = change
    fine = [slot for slots in taken for slot in slots.values()]
    assert sum(slot.sums.running for slot in fine) == pytest.approx(expected_running, abs=1e-3)
    coarse = [slot for slots in taken for slot in coarser(slots, COARSE).values()]
    assert sum(slot.sums.running for slot in coarse) == pytest.approx(expected_running, abs=1e-3)
    assert all(slot.sums.running <= 9 * 5 + 1e-6 for slots in taken for slot in slots.values())


def test_intervals_are_of_one_grain() -> None:
    assert grain_of(timedelta(hours=1)) == COARSE
    assert grain_of(timedelta(seconds=35)) == FINE
    for wrong in (timedelta(seconds=7), timedelta(0), timedelta(seconds=-5)):
        with pytest.raises(ValueError, match="multiple of 5 s"):
            grain_of(wrong)


@pytest.mark.parametrize(("hours", "minutes"), [(1, 5), (8, 5), (9, 15), (24, 15), (25, 60), (336, 60)])
def test_a_chart_has_intervals_of_5_minutes_to_an_hour(hours: int, minutes: int) -> None:
    assert length_for(timedelta(hours=hours)) == timedelta(minutes=minutes)


@on_both_databases
async def test_the_store_adds_up_and_prunes_by_grain(database_url: str) -> None:
    engine = open_database(database_url)
    writer = Writer(engine)
    writer.start()
    store, named = LoadStore(engine, writer), ("w", "W")
    try:
        counting = LoadMeter(T0)
        counting.change(State(2, 1, clusters=ONE), T0)
        await store.add({named: counting.take(at(7))}, at(7))
        await store.add({named: counting.take(at(12))}, at(12))
        fine = store.slots("w", FINE, T0, at(60))
        assert [slot.sums.running for slot in fine.values()] == pytest.approx([10, 10, 4])
        (coarse,) = store.slots("w", COARSE, T0, at(60)).values()
        assert (coarse.sums.running, coarse.sums.queued_load) == pytest.approx((24, 12))
        one = coarse.clusters["w-1"]
        assert (one.up, one.running, one.busy) == pytest.approx((12, 24, 6))
        assert store.slots("other", COARSE, T0, at(60)) == {}
        counting.change(State(), at(12))
        later = T0 + timedelta(hours=2)
        counting.change(State(1), later)
        await store.add({named: counting.take(later + FINE)}, later + FINE)
        assert list(store.slots("w", FINE, T0, later + FINE)) == [later]
        assert list(store.slots("w", COARSE, T0, later + FINE)) == [T0, later]
        last = later + timedelta(days=14, seconds=1)
        counting.change(State(), later + FINE)
        counting.change(State(1), last)
        await store.add({named: counting.take(last + FINE)}, last + FINE)
        assert len(store.slots("w", COARSE, T0, last + FINE)) == 1
    finally:
        writer.close()
        engine.dispose()
