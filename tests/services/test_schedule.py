"""The schedule of one warehouse: tables for the rules, properties for what always holds."""

from datetime import UTC, datetime, timedelta

import pytest
from firn_services.decide.schedule import (
    Cluster,
    ExpireQueued,
    ExpireRunning,
    Limits,
    Need,
    Observed,
    Queued,
    Running,
    Start,
    schedule,
    timeout_of,
)
from hypothesis import given
from hypothesis import strategies as st

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
GIB = 1 << 30


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def queued(name: str, place: int, memory_bytes: int = 0, cores: int = 1, timeout: timedelta | None = None) -> Queued:
    return Queued(name, place, T0, Need(memory_bytes, cores), timeout)


def running(name: str, cluster: str, memory_bytes: int = 0, cores: int = 1) -> Running:
    return Running(name, cluster, T0, Need(memory_bytes, cores))


def cluster(index: int, cores: int = 2, memory_bytes: int = 4 * GIB) -> Cluster:
    return Cluster(f"w-{index}", index, cores, memory_bytes)


def started(observed: Observed, limits: Limits, after: float = 0) -> list[tuple[str, str]]:
    decision = schedule(observed, limits, T0 + seconds(after))
    return [(a.id, a.cluster) for a in decision.actions if isinstance(a, Start)]


@pytest.mark.parametrize(
    ("observed", "limits", "expected"),
    [
        pytest.param(Observed((queued("a", 1),)), Limits(), [], id="no cluster: it waits"),
        pytest.param(
            Observed((queued("b", 2), queued("a", 1)), clusters=(cluster(1),)),
            Limits(),
            [("a", "w-1"), ("b", "w-1")],
            id="in order of place, whatever the order of arrival",
        ),
        pytest.param(
            Observed((queued("c", 3),), (running("a", "w-1"), running("b", "w-1")), (cluster(1),)),
            Limits(max_concurrency=2),
            [],
            id="a cluster runs no more than its concurrency level",
        ),
        pytest.param(
            Observed((queued("c", 3),), (running("a", "w-1"),), (cluster(1), cluster(2))),
            Limits(),
            [("c", "w-2")],
            id="the cluster with the lowest concurrency",
        ),
        pytest.param(
            Observed((queued("b", 2), queued("c", 3)), (running("a", "w-1"),), (cluster(1), cluster(2))),
            Limits(),
            [("b", "w-2"), ("c", "w-1")],
            id="starts of the same look count",
        ),
        pytest.param(
            Observed(
                (queued("big", 1, 3 * GIB), queued("small", 2, GIB)), (running("a", "w-1", 2 * GIB),), (cluster(1),)
            ),
            Limits(),
            [("small", "w-1")],
            id="a smaller one passes one that fits nowhere yet",
        ),
        pytest.param(
            Observed((queued("huge", 1, 99 * GIB),), (), (cluster(1),)),
            Limits(),
            [("huge", "w-1")],
            id="alone on a cluster anything starts",
        ),
    ],
)
def test_starts(observed: Observed, limits: Limits, expected: list[tuple[str, str]]) -> None:
    assert started(observed, limits) == expected


def test_nothing_passes_a_statement_that_has_waited_for_its_patience() -> None:
    observed = Observed(
        (queued("big", 1, 3 * GIB), queued("small", 2, GIB)), (running("a", "w-1", 2 * GIB),), (cluster(1),)
    )
    limits = Limits(patience=seconds(30))
    assert started(observed, limits, after=29) == [("small", "w-1")]
    assert started(observed, limits, after=30) == []


def test_fewer_cores_let_a_statement_start() -> None:
    busy = Observed((queued("b", 2, cores=2),), (running("a", "w-1", cores=3),), (cluster(1, cores=2),))
    (action,) = schedule(busy, Limits(max_concurrency=2), T0).actions
    assert action == Start("b", "w-1", Need(0, 1))


def test_timeouts_expire_and_wake() -> None:
    observed = Observed(
        (queued("late", 1, timeout=seconds(5)), queued("later", 2, timeout=seconds(9))),
        (Running("slow", "w-1", T0, Need(), seconds(5)), Running("fast", "w-1", T0, Need(), seconds(7))),
    )
    decision = schedule(observed, Limits(), T0 + seconds(5))
    assert decision.actions == (ExpireRunning("slow"), ExpireQueued("late"))
    assert decision.wake_at == T0 + seconds(7)


@pytest.mark.parametrize(
    ("session", "warehouse", "expected"), [(0, 0, None), (0, 5, 5), (5, 0, 5), (3, 5, 3), (5, 3, 3)]
)
def test_the_lowest_timeout_that_is_not_zero_holds(session: int, warehouse: int, expected: int | None) -> None:
    assert timeout_of(session, warehouse) == (None if expected is None else seconds(expected))


needs = st.builds(Need, memory_bytes=st.integers(0, 3 * GIB), cores=st.integers(1, 4))


@st.composite
def observations(draw: st.DrawFn, need: st.SearchStrategy[Need] = needs) -> Observed:
    places = draw(st.lists(st.integers(1, 1000), unique=True, max_size=12))
    clusters = tuple(cluster(i) for i in range(1, draw(st.integers(0, 3)) + 1))
    waiting = tuple(
        Queued(f"q{p}", p, T0 - seconds(draw(st.integers(0, 100))), draw(need), draw(st.none() | st.just(seconds(50))))
        for p in places
    )
    runs = draw(st.lists(st.sampled_from(["w-1", "w-2", "w-3"]), max_size=8))
    return Observed(waiting, tuple(Running(f"r{i}", c, T0, draw(need)) for i, c in enumerate(runs)), clusters)


@given(observations(), st.integers(1, 4))
def test_no_statement_is_lost_or_started_twice_and_no_cluster_overfilled(observed: Observed, level: int) -> None:
    limits = Limits(max_concurrency=level)
    actions = schedule(observed, limits, T0).actions
    touched = [a.id for a in actions]
    assert len(touched) == len(set(touched))
    assert set(touched) <= {q.id for q in observed.queued}
    for one in observed.clusters:
        before = [r.need for r in observed.running if r.cluster == one.name]
        given_ = [a.need for a in actions if isinstance(a, Start) and a.cluster == one.name]
        if given_:
            assert len(before) + len(given_) <= level
            fits = sum(n.memory_bytes for n in (*before, *given_)) <= one.memory_bytes
            assert fits or (not before and len(given_) == 1) or (not before and given_[0].memory_bytes > 0)


@given(observations(need=st.just(Need(GIB, 1))), st.integers(1, 4))
def test_statements_of_one_need_never_overtake(observed: Observed, level: int) -> None:
    actions = schedule(observed, Limits(max_concurrency=level), T0).actions
    expired = {a.id for a in actions if isinstance(a, ExpireQueued)}
    order = [q.id for q in sorted(observed.queued, key=lambda q: q.place) if q.id not in expired]
    starts = [a.id for a in actions if isinstance(a, Start)]
    assert starts == order[: len(starts)]


@given(observations(), st.integers(1, 4))
def test_a_statement_put_back_starts_before_all_behind_it(observed: Observed, level: int) -> None:
    """What is requeued has its old place, so deciding again on the same state gives the same starts."""
    limits = Limits(max_concurrency=level)
    first = schedule(observed, limits, T0)
    shuffled = Observed(tuple(reversed(observed.queued)), observed.running, observed.clusters)
    assert schedule(shuffled, limits, T0) == first


@given(observations())
def test_it_wakes_only_later(observed: Observed) -> None:
    wake_at = schedule(observed, Limits(), T0).wake_at
    assert wake_at is None or wake_at > T0
