"""The schedule of one warehouse: the seed article's examples, and a table of its rules."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from firn_services.decide.line import Queued
from firn_services.decide.need import ANY_DOP, Cluster, Grant, Limits, Need
from firn_services.decide.schedule import ExpireQueued, ExpireRunning, Reason, Schedule, Start, timeout_of

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
GIB = 1 << 30


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def one(name: str, place: int, need: Need = Need(), **more: object) -> Queued:  # noqa: B008  frozen
    return Queued(name, place, T0, need, **more)  # type: ignore[arg-type]


def cluster(index: int = 1, nodes: int = 1, cores: int = 1, memory_bytes: int = 4 * GIB, **more: object) -> Cluster:
    return Cluster(f"w-{index}", index, nodes, cores, memory_bytes, **more)  # type: ignore[arg-type]


def schedule(clusters: Iterable[Cluster], level: int = 8, patience_seconds: float = 30) -> Schedule:
    made = Schedule(Limits(level, patience_seconds))
    made.see(clusters)
    return made


def starts(found: Schedule, after: float = 0) -> list[tuple[str, str]]:
    return [(a.id, a.cluster) for a in found.decide(T0 + seconds(after)).actions if isinstance(a, Start)]


@pytest.mark.parametrize(
    ("level", "dop", "jobs"),
    [
        pytest.param(1, 1, 32, id="32 jobs of DOP 1"),
        pytest.param(1, 4, 8, id="8 jobs of DOP 4"),
        pytest.param(1, ANY_DOP, 1, id="one job of all 32"),
        pytest.param(8, ANY_DOP, 8, id="MAX_CONCURRENCY jobs of MAX_DOP"),
        pytest.param(8, 1, 256, id="MAX_CONCURRENCY x MAX_DOP jobs of DOP 1"),
        pytest.param(8, 4, 64, id="small ones count as fractions of the level"),
    ],
)
def test_the_articles_warehouse_of_4_nodes_with_8_processes_each(level: int, dop: int, jobs: int) -> None:
    """Source: seed article, "Primer on job scheduling in virtual warehouses"."""
    found = schedule([cluster(nodes=4, cores=8)], level)
    for place in range(2 * jobs):
        found.add(one(f"q{place}", place, Need(dop=dop, lowest_dop=dop)))
    assert len(starts(found)) == jobs
    ((_, running, concurrency),) = found.load()
    assert (running, concurrency) == (jobs, level)


def test_other_combinations_are_possible_while_their_total_is_32() -> None:
    found = schedule([cluster(nodes=4, cores=8)], level=1)
    for place, dop in enumerate((16, 8, 4, 4, 1)):
        found.add(one(f"dop{dop}-{place}", place, Need(dop=dop, lowest_dop=dop)))
    assert [name for name, _ in starts(found)] == ["dop16-0", "dop8-1", "dop4-2", "dop4-3"]
    found.end("dop4-2")
    assert starts(found) == [("dop1-4", "w-1")]


def test_in_order_of_place_whatever_the_order_of_arrival() -> None:
    found = schedule([])
    found.add(one("b", 2))
    found.add(one("a", 1))
    assert starts(found) == []  # no cluster: they wait
    found.see([cluster()])
    assert starts(found) == [("a", "w-1"), ("b", "w-1")]


def test_the_cluster_with_the_lowest_concurrency_and_starts_of_the_same_look_count() -> None:
    found = schedule([cluster(1), cluster(2)])
    for place, name in enumerate("abc"):
        found.add(one(name, place))
    assert starts(found) == [("a", "w-1"), ("b", "w-2"), ("c", "w-1")]
    found.end("a")
    found.end("c")
    found.add(one("d", 9))
    assert starts(found) == [("d", "w-1")]


def test_among_equals_the_one_that_has_read_its_files_then_the_lowest_index() -> None:
    found = schedule([cluster(2), cluster(1)])
    found.add(one("a", 1, reads=("x", "y")))
    found.add(one("b", 2, reads=("z",)))
    assert starts(found) == [("a", "w-1"), ("b", "w-2")]
    found.end("a")
    found.end("b")
    found.add(one("c", 3, reads=("z", "y")))
    assert starts(found) == [("c", "w-1")]  # each has read one of them
    found.end("c")
    found.add(one("d", 4, reads=("z", "new")))
    found.see([cluster(1, epoch="another"), cluster(2)])  # its caches are gone
    assert starts(found) == [("d", "w-2")]


def test_a_cluster_that_drains_takes_nothing_but_still_holds_what_runs() -> None:
    found = schedule([cluster()])
    found.add(one("a", 1))
    assert starts(found) == [("a", "w-1")]
    found.see([cluster(is_open=False)])
    found.add(one("b", 2))
    assert starts(found) == []
    assert found.load() == [("w-1", 1, 1.0)]


def test_a_smaller_one_passes_until_the_patience_ends_then_one_cluster_is_kept() -> None:
    found = schedule([cluster(1), cluster(2)], level=2, patience_seconds=30)
    for place, name in enumerate(("a", "b")):
        found.add(one(name, place, Need(2 * GIB)))
    assert len(starts(found)) == 2
    found.add(one("big", 3, Need(7 * GIB // 2)))
    found.add(one("small", 4, Need(GIB)))
    assert starts(found, after=29) == [("small", "w-1")]
    for place in range(5, 8):
        found.add(one(f"s{place}", place, Need(GIB)))
    found.end("small")
    assert starts(found, after=30) == [("s5", "w-2")]  # w-1 is kept for it, the other one works on
    found.end("b")
    assert starts(found, after=31) == [("s6", "w-2")]
    found.end("a")
    assert starts(found, after=32) == [("big", "w-1")]


def test_alone_on_a_cluster_anything_starts() -> None:
    found = schedule([cluster()])
    found.add(one("huge", 1, Need(99 * GIB)))
    found.add(one("tiny", 2, Need(1)))
    assert starts(found) == [("huge", "w-1")]


@pytest.mark.parametrize(
    ("taken", "need", "expected"),
    [
        pytest.param(0, Need(dop=8), (8, Reason.CAPACITY_FREE), id="what it wants"),
        pytest.param(12, Need(dop=8, lowest_dop=2), (4, Reason.DOP_LOWERED), id="less starts it now"),
        pytest.param(12, Need(dop=8, lowest_dop=5), None, id="not below its lowest"),
        pytest.param(2, Need(dop=4, highest_dop=5), (5, Reason.DOP_RAISED), id="what is free, up to its highest"),
        pytest.param(2, Need(dop=4), (14, Reason.DOP_RAISED), id="all that is free"),
        pytest.param(0, Need(dop=99, lowest_dop=50), (16, Reason.CAPACITY_FREE), id="no more than a cluster has"),
    ],
)
def test_the_dop_is_lowered_or_raised_within_its_limits(
    taken: int, need: Need, expected: tuple[int, Reason] | None
) -> None:
    found = schedule([cluster(nodes=2, cores=8)], level=1)
    if taken:
        found.add(one("before", 1, Need(dop=taken, highest_dop=taken)))
        found.decide(T0)
    found.add(one("a", 2, need))
    if expected == (8, Reason.CAPACITY_FREE):
        found.add(one("behind", 3, Need(dop=16, lowest_dop=16)))  # somebody waits: nothing is raised
    actions = found.decide(T0).actions
    assert [(a.grant.dop, a.reason) for a in actions if isinstance(a, Start)] == ([expected] if expected else [])


def test_a_reservation_shrinks_while_burst_nodes_work_for_it() -> None:
    found = schedule([cluster(nodes=4, cores=8)], level=1)
    found.add(one("scan", 1, Need(dop=32)))
    found.add(one("next", 2, Need(dop=16, lowest_dop=16)))
    assert starts(found) == [("scan", "w-1")]
    found.change("scan", Grant(0, 16))
    assert starts(found) == [("next", "w-1")]
    found.end("scan")
    assert found.load() == [("w-1", 1, 0.5)]


def test_what_is_put_back_starts_before_all_behind_it() -> None:
    found = schedule([cluster()], level=1)
    for place, name in enumerate("abc"):
        found.add(one(name, place))
    assert starts(found) == [("a", "w-1")]
    found.end("a")
    found.add(one("a", 0))
    assert starts(found) == [("a", "w-1")]


def test_timeouts_expire_once_and_wake() -> None:
    found = schedule([cluster()], level=2)
    found.add(one("slow", 1, run_timeout=seconds(5)))
    found.add(one("fast", 2, run_timeout=seconds(7)))
    found.decide(T0)
    found.add(one("late", 3, queued_timeout=seconds(5)))
    found.add(one("later", 4, queued_timeout=seconds(9)))
    decision = found.decide(T0 + seconds(5))
    assert decision.actions == (ExpireQueued("late"), ExpireRunning("slow"))
    assert decision.wake_at == T0 + seconds(7)
    found.bound("fast", seconds(8))
    assert found.decide(T0 + seconds(7)).wake_at == T0 + seconds(8)
    found.end("fast")
    assert starts(found, after=7) == [("later", "w-1")]
    assert found.decide(T0 + seconds(99)).actions == ()


@pytest.mark.parametrize(
    ("session", "warehouse", "expected"), [(0, 0, None), (0, 5, 5), (5, 0, 5), (3, 5, 3), (5, 3, 3)]
)
def test_the_lowest_timeout_that_is_not_zero_holds(session: int, warehouse: int, expected: int | None) -> None:
    assert timeout_of(session, warehouse) == (None if expected is None else seconds(expected))


def test_what_waits_is_estimated_as_work_of_one_cluster() -> None:
    found = schedule([], level=4)
    found.add(one("whole", 1, Need(dop=ANY_DOP), run_seconds=100))
    found.add(one("half", 2, Need(dop=16), run_seconds=40))
    assert found.queued_seconds(most_dop=32) == pytest.approx((100 + 20) / 4)
    found.remove("whole")
    assert found.queued_seconds(most_dop=32) == pytest.approx(5)
