"""Warehouses of several clusters: ranges, changes of size, type and pool while running, whole-warehouse suspends."""

from dataclasses import replace
from typing import Any

import pytest
from firn_model.clusters import ClusterSpec
from firn_model.sizes import WarehouseSize, WarehouseType
from firn_model.warehouses import ClusterLoad, ScalingStatus, WarehouseLoad
from firn_operator.decide import scaling
from firn_operator.decide.monitor import Limit
from firn_operator.decide.observed import Cluster, Warehouse
from firn_operator.decide.reason import Reason
from firn_operator.decide.scaling import NoteSpare
from firn_operator.decide.warehouse import (
    SETTLED,
    DrainCluster,
    Observed,
    ResizeCluster,
    StartCluster,
    _is_settled,
    _scaling_observed,
    decide,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import ALIVE, NOW, ago, cluster, load, warehouse

AUTO = {"min_cluster_count": 1, "max_cluster_count": 3}


def busy(queued: int, *running: int, age: float = 0) -> WarehouseLoad:
    """A report that names the clusters w-1, w-2 and so on."""
    clusters = tuple(ClusterLoad(name=f"w-{i + 1}", running=n, concurrency=n) for i, n in enumerate(running))
    report = load(queued, sum(running), idle=None if queued or sum(running) else 0)
    return report.model_copy(update={"clusters": clusters, "observed_at": ago(age)})


def remembered(what: Warehouse, **scaling: Any) -> Warehouse:
    return replace(what, status=what.status.model_copy(update={"scaling": ScalingStatus(**scaling)}))


def of(index: int, running: bool = True, drain: bool = False, **spec: Any) -> Cluster:
    plain = cluster(index, running, drain)
    return replace(plain, spec=ClusterSpec(warehouse="w", index=index, drain=drain, **spec))


def start(index: int, reason: Reason, automatic: bool = False) -> StartCluster:
    return StartCluster(index, reason, automatic)


def drain(index: int, reason: Reason) -> DrainCluster:
    return DrainCluster(f"w-{index}", f"e{index}", reason)


def resized(index: int, size: WarehouseSize) -> ResizeCluster:
    return ResizeCluster(f"w-{index}", f"e{index}", size, Reason.SIZE_CHANGED)


@pytest.mark.parametrize(
    ("what", "clusters", "expected"),
    [
        pytest.param(
            warehouse({"min_cluster_count": 3, "max_cluster_count": 3}, load(queued=1)),
            (),
            tuple(start(i, Reason.STATEMENT_QUEUED) for i in (1, 2, 3)),
            id="a resume starts the minimum at once",
        ),
        pytest.param(
            warehouse({"min_cluster_count": 2, "max_cluster_count": 3}, load(queued=1)),
            (cluster(1, drain=True),),
            (start(2, Reason.STATEMENT_QUEUED), start(3, Reason.STATEMENT_QUEUED)),
            id="beside one that still drains, whose index is taken",
        ),
        pytest.param(
            warehouse(AUTO, busy(1, 8)),
            (cluster(1),),
            (start(2, Reason.STATEMENT_QUEUED, automatic=True),),
            id="a queue starts the first extra cluster at once",
        ),
        pytest.param(
            warehouse(AUTO, busy(1, 8, 8)),
            (cluster(1), cluster(2, requested_at=ago(19), automatic=True)),
            (),
            id="the cluster itself says when the last automatic start was",
        ),
        pytest.param(
            remembered(warehouse(AUTO, busy(1, 8)), last_start_at=ago(19)),
            (cluster(1),),
            (),
            id="when it has gone the status does",
        ),
        pytest.param(
            warehouse(AUTO, load(queued=1)),
            (cluster(1, age=1),),
            (),
            id="a report without names, made when the cluster was just ready, starts nothing",
        ),
        pytest.param(
            warehouse(AUTO, load(queued=1, running=8)),
            (cluster(1, age=2),),
            (start(2, Reason.STATEMENT_QUEUED, automatic=True),),
            id="a later one does",
        ),
        pytest.param(
            remembered(warehouse(AUTO, busy(0, 3, 4)), spares_since=ago(120), spares_of=2),
            (cluster(1), cluster(2)),
            (drain(1, Reason.LOAD_FITS),),
            id="a load that fits on one cluster drains the other",
        ),
        pytest.param(
            remembered(warehouse(AUTO, busy(0, 8)), spares_since=ago(120), spares_of=2),
            (cluster(1), cluster(2), of(3, drain=True)),
            (drain(2, Reason.LOAD_FITS),),
            id="a draining cluster and what runs on it count no more",
        ),
        pytest.param(
            warehouse({**AUTO, "auto_suspend_seconds": 60}, busy(0, 0, 0), resumed=900),
            (cluster(1), cluster(2)),
            (NoteSpare(NOW, 2),),
            id="not idle for long enough: the clusters are spared one by one",
        ),
        pytest.param(
            warehouse({**AUTO, "auto_suspend_seconds": 60}, load(idle=60), resumed=900),
            (cluster(1), cluster(2)),
            (drain(1, Reason.IDLE), drain(2, Reason.IDLE)),
            id="auto-suspend is of the whole warehouse",
        ),
        pytest.param(
            warehouse({**AUTO, "suspended": True}, busy(3, 8, 8)),
            (cluster(1), cluster(2)),
            (drain(1, Reason.HELD), drain(2, Reason.HELD)),
            id="and so is the hold",
        ),
        pytest.param(
            warehouse(AUTO, busy(3, 8, 8), suspend_requested_at=ago(1)),
            (cluster(1), cluster(2, age=0.5, resumed_at=ago(3600))),
            (drain(1, Reason.SUSPEND_REQUESTED), drain(2, Reason.SUSPEND_REQUESTED)),
            id="a suspend request is of the run, also for a cluster that was started later",
        ),
        pytest.param(
            warehouse({"size": "M"}, busy(0, 1)),
            (of(1), of(2, drain=True)),
            (resized(1, WarehouseSize.M),),
            id="a new size reaches what is wanted, not what drains",
        ),
        pytest.param(
            warehouse({"size": "XS"}, busy(4, 1)),
            (of(1, size="XL", running=False),),
            (resized(1, WarehouseSize.XS),),
            id="a cluster that starts is resized too",
        ),
        pytest.param(
            warehouse({"type": "SnowparkOptimized", "size": "M"}, busy(0, 5)),
            (of(1, size="M"),),
            (start(2, Reason.NODES_CHANGED),),
            id="another type: a new cluster starts first",
        ),
        pytest.param(
            warehouse({"type": "SnowparkOptimized", "size": "M"}, busy(0, 5)),
            (of(1, size="M"), of(2, size="M", type=WarehouseType.SNOWPARK_OPTIMIZED, running=False)),
            (),
            id="the old one serves until the new one does",
        ),
        pytest.param(
            warehouse({"type": "SnowparkOptimized", "size": "M"}, busy(0, 5)),
            (of(1, size="M"), of(2, size="M", type=WarehouseType.SNOWPARK_OPTIMIZED)),
            (drain(1, Reason.NODES_CHANGED),),
            id="then it drains",
        ),
        pytest.param(
            warehouse({**AUTO, "pool": "big"}, busy(0, 5, 2)),
            (of(1), of(2), of(3, pool="big"), of(4, pool="big", running=False)),
            (drain(2, Reason.NODES_CHANGED),),
            id="one for one, the least loaded first",
        ),
        pytest.param(
            warehouse({"pool": "big"}, busy(3)),
            (of(1, running=False),),
            (start(2, Reason.NODES_CHANGED), drain(1, Reason.NODES_CHANGED)),
            id="one that never ran need not be kept",
        ),
        pytest.param(
            warehouse({"pool": "big", "size": "S"}, busy(0, 5)),
            (of(1),),
            (start(2, Reason.NODES_CHANGED),),
            id="what is replaced is not resized",
        ),
    ],
)
def test_decide(what: Warehouse, clusters: tuple[Cluster, ...], expected: tuple[object, ...]) -> None:
    assert decide(Observed(what, clusters, ALIVE), NOW).actions == expected


@pytest.mark.parametrize("reason", [Reason.MONITOR_SUSPEND, Reason.MONITOR_SUSPEND_IMMEDIATELY])
def test_a_reached_monitor_drains_all_and_refuses_every_resume(reason: Reason) -> None:
    limit = Limit("m", reason, "resource monitor m has reached its limit")
    both = (cluster(1), cluster(2))
    running = Observed(warehouse(AUTO, busy(3, 8, 8)), both, ALIVE, limit)
    assert decide(running, NOW).actions == (drain(1, reason), drain(2, reason))
    asked = warehouse(AUTO, busy(3), suspended=60, resume_requested_at=ago(1))
    assert decide(Observed(asked, (), ALIVE, limit), NOW).actions == ()
    assert decide(Observed(asked, (), ALIVE, limit), NOW).message == limit.message
    assert decide(Observed(asked, (), ALIVE), NOW).actions == (start(1, Reason.STATEMENT_QUEUED),)


@given(
    minimum=st.integers(1, 3),
    policy=st.sampled_from(["Standard", "Economy"]),
    queued=st.sampled_from([0, 0, 1]),
    running=st.lists(st.integers(0, 9), max_size=4),
    named=st.booleans(),
    count=st.integers(1, 4),
    memory=st.sampled_from([None, {}, {"last_start_at": NOW}, {"spares_since": NOW, "spares_of": 2}]),
)
def test_a_settled_warehouse_is_what_no_policy_changes(
    minimum: int,
    policy: str,
    queued: int,
    running: list[int],
    named: bool,
    count: int,
    memory: dict[str, Any] | None,
) -> None:
    spec = {"min_cluster_count": minimum, "max_cluster_count": 4, "scaling_policy": policy}
    report = busy(queued, *running) if named else load(queued, sum(running))
    what = warehouse(spec, report)
    observed = Observed(
        what if memory is None else remembered(what, **memory), tuple(map(of, range(1, count + 1))), ALIVE
    )
    if _is_settled(observed, report):
        assert scaling.decide(_scaling_observed(observed, report), scaling.policy_of(what.spec), NOW) == SETTLED


@given(
    minimum=st.integers(1, 4),
    span=st.integers(0, 4),
    old=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6),
    queued=st.integers(0, 20),
    running=st.integers(0, 20),
)
def test_replacement_ends_and_never_leaves_fewer_that_serve(
    minimum: int, span: int, old: list[tuple[bool, bool]], queued: int, running: int
) -> None:
    """Every decision applied at once: old clusters go, and as many serve as before, within the range."""
    spec = {"min_cluster_count": minimum, "max_cluster_count": minimum + span, "pool": "big", "auto_suspend_seconds": 0}
    what = warehouse(spec, load(queued, running))
    clusters = [of(i + 1, ready, leaving) for i, (ready, leaving) in enumerate(old)]
    before = sum(1 for c in clusters if c.is_running)
    for _ in range(8):
        decision = decide(Observed(what, tuple(clusters), None), NOW)
        drained = {a.name for a in decision.actions if isinstance(a, DrainCluster)}
        clusters = [
            replace(c, spec=c.spec.model_copy(update={"drain": True})) if c.name in drained else c for c in clusters
        ]
        serving = sum(1 for c in clusters if c.is_running)
        assert serving >= min(before, what.spec.max_cluster_count)
        starts = [a.index for a in decision.actions if isinstance(a, StartCluster)]
        clusters = [c if c.is_leaving else of(c.spec.index, pool=c.spec.pool) for c in clusters]
        clusters += [of(i, running=False, pool="big") for i in starts]
    wanted = [c for c in clusters if not c.is_leaving]
    assert all(c.spec.pool == "big" for c in wanted)
    assert not wanted or minimum <= len(wanted) <= minimum + span
