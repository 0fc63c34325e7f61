"""The life of one cluster: the rules of decide/cluster.py as tables."""

from dataclasses import replace
from typing import Any

import pytest
from firn_model.clusters import ClusterPhase, ClusterStatus
from firn_model.pools import MemoryClass
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_actions import (
    BeginDrain,
    BindHead,
    ClaimHead,
    ClearHead,
    DeleteCluster,
    DrainHead,
    MarkDrained,
    ProbeHead,
    ReleaseNode,
    RemoveFinalizer,
)
from firn_operator.decide.cluster_observed import Failures, Observed, Talk
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason

from tests.operator.observations import NOW, ago, cluster, node

PENDING = cluster(running=False)
RUNNING = cluster()
CLAIMED = node(1, epoch="e1")
UNREADY = node(1, epoch="e1", phase="Running") and replace(CLAIMED, ready=False)
DEAD = replace(CLAIMED, phase="Failed", ready=False)
LEAVING = cluster(drain=True)
DRAINING = replace(LEAVING, status=LEAVING.status.model_copy(update={"phase": ClusterPhase.DRAINING}))
DRAINED = replace(LEAVING, status=ClusterStatus(phase=ClusterPhase.DRAINED, drained=True, head_uid="u1"))
GOING = replace(DRAINED, deleting=True)


def observe(what: Cluster, *nodes: Node, **fields: Any) -> Observed:
    plain = Observed(what, nodes, pool_words="pool default has none ready", memory_class=MemoryClass.STANDARD)
    return replace(plain, **fields)


def said(talk: Talk) -> dict[str, Talk]:
    return {talk.uid: talk}


def kinds(observed: Observed) -> list[str]:
    return [type(a).__name__ for a in decide(observed, NOW).actions]


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(observe(PENDING, spares=(node(4),)), (ClaimHead(node(4)),), id="claims the spare node"),
        pytest.param(observe(PENDING), (), id="waits for one"),
        pytest.param(
            observe(PENDING, CLAIMED), (BindHead(CLAIMED),), id="binds what it has claimed, also after a restart"
        ),
        pytest.param(
            observe(PENDING, CLAIMED, talks=said(Talk("u1", bind_failing_since=ago(1), bind_tried_at=ago(1)))),
            (BindHead(CLAIMED),),
            id="binds the same node again for a while",
        ),
        pytest.param(
            observe(PENDING, CLAIMED, talks=said(Talk("u1", bind_failing_since=ago(3), bind_tried_at=ago(1)))),
            (ReleaseNode(CLAIMED, Reason.BIND_FAILED),),
            id="then deletes it",
        ),
        pytest.param(
            observe(PENDING, CLAIMED, talks=said(Talk("u1", bind_refused="wrong epoch"))),
            (ReleaseNode(CLAIMED, Reason.BIND_FAILED),),
            id="a node that refuses is deleted at once",
        ),
        pytest.param(
            observe(PENDING, CLAIMED, talks=said(Talk("other", bind_refused="wrong epoch"))),
            (BindHead(CLAIMED),),
            id="what another node said does not matter",
        ),
        pytest.param(
            observe(PENDING, spares=(node(4),), failed_heads=Failures(3, ago(1))), (), id="failed binds are paced"
        ),
        pytest.param(observe(RUNNING, CLAIMED), (), id="a ready head is left alone"),
        pytest.param(observe(RUNNING, UNREADY), (ProbeHead(UNREADY),), id="one that is not ready is asked"),
        pytest.param(
            observe(RUNNING, UNREADY, talks=said(Talk("u1", silent_since=ago(4), probed_at=ago(0.5)))),
            (),
            id="and given some seconds",
        ),
        pytest.param(
            observe(RUNNING, CLAIMED, talks=said(Talk("u1", silent_since=ago(60), probed_at=ago(1)))),
            (),
            id="ready and silent is not dead",
        ),
        pytest.param(
            observe(RUNNING, CLAIMED, node(2, epoch="e1")),
            (ReleaseNode(node(2, epoch="e1"), Reason.EXTRA_NODE),),
            id="a second head of the epoch is released",
        ),
        pytest.param(observe(LEAVING, CLAIMED), (BeginDrain(),), id="says first that it drains"),
        pytest.param(observe(DRAINING, CLAIMED), (DrainHead(CLAIMED),), id="then asks the head"),
        pytest.param(
            observe(DRAINING, CLAIMED, talks=said(Talk("u1", drained=True))),
            (MarkDrained(Reason.DRAINED),),
            id="the acknowledgement permits deletion",
        ),
        pytest.param(
            observe(DRAINING, CLAIMED, talks=said(Talk("other", drained=True))),
            (DrainHead(CLAIMED),),
            id="only that of this very head",
        ),
        pytest.param(observe(DRAINING, DEAD), (MarkDrained(Reason.HEAD_LOST),), id="so does a head proven dead"),
        pytest.param(observe(DRAINING), (MarkDrained(Reason.HEAD_LOST),), id="or gone"),
        pytest.param(
            observe(DRAINING, CLAIMED, talks=said(Talk("u1", silent_since=ago(9000), probed_at=ago(9)))),
            (DrainHead(CLAIMED),),
            id="a silent head that is ready is asked for ever: unknown is not dead",
        ),
        pytest.param(
            observe(DRAINING, UNREADY, talks=said(Talk("u1", silent_since=ago(5), probed_at=ago(1)))),
            (MarkDrained(Reason.HEAD_SILENT),),
            id="silent and not ready is dead",
        ),
        pytest.param(
            observe(cluster(running=False, drain=True)),
            (MarkDrained(Reason.DRAINED),),
            id="without a head nothing is held",
        ),
        pytest.param(observe(DRAINED, CLAIMED), (DeleteCluster(Reason.DRAINED),), id="drained is deleted"),
        pytest.param(observe(GOING, CLAIMED), (ReleaseNode(CLAIMED, Reason.RELEASED),), id="then its nodes"),
        pytest.param(observe(GOING), (RemoveFinalizer(),), id="then its finalizer"),
        pytest.param(
            observe(GOING, replace(CLAIMED, deleting=True)), (RemoveFinalizer(),), id="nodes on their way are no hold"
        ),
        pytest.param(
            observe(RUNNING, CLAIMED, warehouse_exists=False),
            (DeleteCluster(Reason.WAREHOUSE_GONE),),
            id="a cluster without its warehouse goes",
        ),
        pytest.param(
            observe(replace(RUNNING, deleting=True), CLAIMED), (BeginDrain(),), id="a deleted cluster drains first"
        ),
    ],
)
def test_decide(observed: Observed, expected: tuple[object, ...]) -> None:
    assert decide(observed, NOW).actions == expected


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((), "head default-1 is gone; claiming another"),
        ((DEAD,), "head default-1 ended (Failed); claiming another"),
        ((replace(CLAIMED, deleting=True),), "head default-1 is being deleted; claiming another"),
    ],
)
def test_a_lost_head_takes_the_endpoint_along_first(nodes: tuple[Node, ...], words: str) -> None:
    decision = decide(observe(RUNNING, *nodes, spares=(node(4),)), NOW)
    assert decision.actions == (ClearHead(Reason.HEAD_LOST, words),)


def test_a_silent_head_is_cleared_and_released() -> None:
    observed = observe(RUNNING, UNREADY, talks=said(Talk("u1", silent_since=ago(5), probed_at=ago(1))))
    assert kinds(observed) == ["ClearHead", "ReleaseNode"]


def test_what_it_waits_for_is_said_in_words() -> None:
    assert decide(observe(PENDING), NOW).message == "waits for a node: pool default has none ready"
    assert decide(observe(PENDING, memory_class=None), NOW).reason is Reason.POOL_MISSING
