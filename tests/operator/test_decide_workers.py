"""A cluster's nodes beside its head: the rules of decide/cluster_workers.py as tables."""

from dataclasses import replace
from typing import Any

import pytest
from firn_model import names
from firn_model.clusters import ClusterSpec, NodeState, NodeStatus
from firn_model.pools import MemoryClass
from firn_model.sizes import WarehouseSize, WarehouseType
from firn_operator.build.cluster_status import cluster_now
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_actions import (
    BindHeadAgain,
    BindNode,
    ClaimHead,
    ClaimNodes,
    ClearHead,
    ReleaseNode,
    TellMembers,
)
from firn_operator.decide.cluster_observed import Failures, HeadAnswer, Observed, Talk
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason

from tests.operator.observations import NOW, ago, cluster, node, worker

HEAD = node(1, epoch="e1")
W2, W3, W4 = worker(2), worker(3), worker(4)
DEAD = replace(W3, phase="Failed", ready=False)
RELEASED_W3 = ReleaseNode(W3, Reason.RESIZED)


def sized(size: WarehouseSize, running: bool = True, type_: WarehouseType = WarehouseType.STANDARD) -> Cluster:
    return cluster(running=running, spec=ClusterSpec(warehouse="w", index=1, size=size, type=type_))


def answer(told: str, joined: str | None = None, busy: str = "", outdated: bool = False) -> HeadAnswer:
    """Return an answer, each set of nodes as its slots: "23" are u2 and u3. Unless said, all have joined."""
    return HeadAnswer(uids(told), uids(told if joined is None else joined), uids(busy), outdated=outdated)


def uids(slots: str) -> frozenset[str]:
    return frozenset(f"u{s}" for s in slots)


def observe(size: WarehouseSize, *others: Node, said: tuple[Talk, ...] = (), **fields: Any) -> Observed:
    plain = Observed(
        sized(size),
        (HEAD, *others),
        talks={t.uid: t for t in said},
        has_token=True,
        pool_words="pool default has none ready",
        memory_class=MemoryClass.STANDARD,
    )
    return replace(plain, **fields)


S, M = WarehouseSize.S, WarehouseSize.M
TOLD2: dict[str, Any] = {"telling": uids("2"), "answer": answer("2")}
TOLD23: dict[str, Any] = {"telling": uids("23"), "answer": answer("23")}


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(observe(WarehouseSize.XS), (), id="one node: the head is not troubled"),
        pytest.param(
            observe(M, spares=(node(2), node(3))),
            (ClaimNodes((node(2), node(3)), names.ROLE_WORKER),),
            id="claims what there is of what it lacks",
        ),
        pytest.param(observe(S, spares=()), (), id="waits for more"),
        pytest.param(
            observe(S, W2, said=(Talk("u2"),)),
            (TellMembers(HEAD, (W2,)), BindNode(W2)),
            id="a claimed node is told of and bound",
        ),
        pytest.param(
            observe(S, W2),
            (TellMembers(HEAD, (W2,)),),
            id="after a restart the head is asked first whether it has joined",
        ),
        pytest.param(observe(S, W2, **TOLD2), (), id="a node that has joined is left alone"),
        pytest.param(
            observe(S, W2, telling=uids("2"), answer=answer("2", joined="")),
            (BindNode(W2),),
            id="a node that the head does not know is bound",
        ),
        pytest.param(
            observe(S, W2, telling=uids("2"), answer=answer("2", joined=""), has_token=False),
            (BindHeadAgain(HEAD),),
            id="the token is heard again first",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", binding=True),), telling=uids("2")), (), id="a bind under way is waited for"
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bind_failing_since=ago(1), bind_tried_at=ago(0.6)),), telling=uids("2")),
            (BindNode(W2),),
            id="a bind that failed is tried again",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bind_failing_since=ago(20), bind_tried_at=ago(1)),), telling=uids("2")),
            (ReleaseNode(W2, Reason.BIND_FAILED), TellMembers(HEAD, ())),
            id="for a while",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bind_failing_since=ago(20), bind_tried_at=ago(1)),), **TOLD2),
            (),
            id="unless it has joined: its answer was lost, or it was parked with this head",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bind_refused="no"),), telling=uids("2")),
            (ReleaseNode(W2, Reason.BIND_FAILED), TellMembers(HEAD, ())),
            id="a node that refuses is given up at once",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bound_at=ago(14)),), telling=uids("2"), answer=answer("2", joined="")),
            (),
            id="a bound node has time to show up at the head",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bound_at=ago(15)),), telling=uids("2"), answer=answer("2", joined="")),
            (ReleaseNode(W2, Reason.NOT_JOINED), TellMembers(HEAD, ())),
            id="and no more",
        ),
        pytest.param(
            observe(S, W2, said=(Talk("u2", bound_at=ago(99)),), telling=uids("2")),
            (),
            id="while the head says nothing nobody is given up",
        ),
        pytest.param(
            observe(M, W2, DEAD, spares=(node(5),), **TOLD23),
            (
                ReleaseNode(DEAD, Reason.NODE_FAILED),
                ClaimNodes((node(5),), names.ROLE_WORKER),
                TellMembers(HEAD, (W2,)),
            ),
            id="a dead node is dropped and replaced",
        ),
        pytest.param(
            observe(S, replace(W2, deleting=True), spares=(node(5),), **TOLD2),
            (ClaimNodes((node(5),), names.ROLE_WORKER), TellMembers(HEAD, ())),
            id="a deleted one too",
        ),
        pytest.param(observe(S, spares=(node(5),), failed_joins=Failures(3, ago(1))), (), id="failed joins are paced"),
        pytest.param(
            observe(S, W2, worker(3, head="other")),
            (ReleaseNode(worker(3, head="other"), Reason.HEAD_LOST),),
            id="a node of a lost head's Ray is released",
        ),
        pytest.param(
            observe(S, W2, W3, **TOLD23), (TellMembers(HEAD, (W2,)),), id="a smaller size first takes work from a node"
        ),
        pytest.param(
            observe(S, W2, W3, telling=uids("2"), answer=answer("23", outdated=True)), (), id="waits for the answer"
        ),
        pytest.param(
            observe(S, W2, W3, telling=uids("2"), answer=answer("2", "2", busy="3")),
            (),
            id="a node that a statement holds stays",
        ),
        pytest.param(observe(S, W2, W3, telling=uids("2"), answer=answer("2")), (RELEASED_W3,), id="until it is done"),
        pytest.param(
            observe(S, W2, W3, telling=uids("23"), answer=answer("23", busy="3")),
            (TellMembers(HEAD, (W3,)),),
            id="the one without work leaves",
        ),
        pytest.param(
            observe(M, W2, W3, telling=uids("2"), answer=answer("2", "2", busy="3"), spares=(node(5),)),
            (
                ClaimNodes((node(5),), names.ROLE_WORKER),
                TellMembers(HEAD, (W2, W3)),
                BindNode(W3),
            ),
            id="a larger size takes it back",
        ),
        pytest.param(
            observe(WarehouseSize.XS, W2), (TellMembers(HEAD, ()),), id="after a restart the last one leaves as well"
        ),
    ],
)
def test_decide(observed: Observed, expected: tuple[object, ...]) -> None:
    assert decide(observed, NOW).actions == expected


def test_no_worker_is_claimed_before_the_head_is_bound() -> None:
    observed = observe(M, spares=(node(2), node(3)), cluster=sized(M, running=False), nodes=())
    assert decide(observed, NOW).actions == (ClaimHead(node(2)),)


def test_a_lost_head_takes_its_workers_along() -> None:
    lost = observe(M, W2, W3, nodes=(W2, W3))
    assert [type(a) for a in decide(lost, NOW).actions] == [ClearHead]
    cleared = replace(lost, cluster=sized(M, running=False), spares=(node(5),))
    expected = tuple(ReleaseNode(n, Reason.HEAD_LOST) for n in (W2, W3))
    assert decide(cleared, NOW).actions == expected


def test_what_it_lacks_is_said_in_words() -> None:
    waiting = decide(observe(M, W2, **TOLD2), NOW)
    assert (waiting.reason, waiting.message) == (
        Reason.NO_WARM_NODE,
        "2 of 4 nodes ready; waits for more: pool default has none ready",
    )
    joining = decide(observe(S, W2, said=(Talk("u2", bound_at=ago(1)),), telling=uids("2")), NOW)
    assert joining.message == "1 of 2 nodes ready; the others are joining"
    assert decide(observe(S, W2, **TOLD2), NOW).message == ""


@pytest.mark.parametrize(
    ("type_", "memory_class", "words"),
    [
        (WarehouseType.SNOWPARK_OPTIMIZED, MemoryClass.STANDARD, "needs a pool of memory class High"),
        (WarehouseType.STANDARD, MemoryClass.HIGH, "needs a pool of memory class Standard"),
    ],
)
def test_a_pool_of_another_memory_class_serves_no_claim(
    type_: WarehouseType, memory_class: MemoryClass, words: str
) -> None:
    pending = observe(M, nodes=(), spares=(node(2),), memory_class=memory_class, cluster=sized(M, False, type_))
    decision = decide(pending, NOW)
    assert decision.actions == ()
    assert decision.reason is Reason.WRONG_MEMORY_CLASS
    assert words in decision.message


def test_a_snowpark_optimized_cluster_of_size_m_is_one_node() -> None:
    pending = sized(M, False, WarehouseType.SNOWPARK_OPTIMIZED)
    observed = observe(M, nodes=(), spares=(node(2),), memory_class=MemoryClass.HIGH, cluster=pending)
    assert decide(observed, NOW).actions == (ClaimHead(node(2)),)
    running = sized(M, True, WarehouseType.SNOWPARK_OPTIMIZED)
    assert decide(replace(observed, nodes=(HEAD,), cluster=running), NOW).actions == ()


def test_the_status_shows_every_node() -> None:
    left = NodeStatus(name="default-4", uid="u4", address="10.0.0.4", role="worker", state=NodeState.LEAVING)
    observed = observe(M, W2, W3, W4, telling=uids("23"), answer=answer("23", joined="2"))
    status = cluster_now(observed, Reason.NODES_JOINING, "", NOW)
    assert [(n.name, n.state.value) for n in status.nodes] == [
        ("default-1", "Ready"),
        ("default-2", "Ready"),
        ("default-3", "Claimed"),
        ("default-4", "Leaving"),
    ]
    assert status.nodes[3] == left
    assert (status.ready_nodes, status.desired_nodes) == (2, 4)
