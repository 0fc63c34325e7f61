"""A cluster's burst nodes: the rules of decide/cluster_bursts.py as tables and properties."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from firn_model import names
from firn_model.clusters import ClusterPhase, NodeState, NodeStatus
from firn_model.conditions import Condition, ConditionStatus
from firn_model.sizes import WarehouseSize
from firn_operator.build.cluster_status import cluster_draining, cluster_now
from firn_operator.decide.burst import LEAVE_PATIENCE, Terms
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_actions import (
    BindNode,
    ClaimNodes,
    DrainHead,
    ReleaseNode,
    SetLease,
    TellMembers,
)
from firn_operator.decide.cluster_bursts import burst_words
from firn_operator.decide.cluster_observed import Failures, HeadAnswer, Observed, Talk
from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.observations import NOW, ago, node, worker
from tests.operator.test_decide_workers import HEAD, answer, observe, sized, uids

XS = WarehouseSize.XS
LEASE = timedelta(seconds=60)


def burst(slot: int, left: float = 50, **fields: Any) -> Node:
    """Return a burst node whose lease has so many seconds left."""
    return worker(slot, **{"role": names.ROLE_BURST, "leased_until": NOW + timedelta(seconds=left), **fields})


def bursting(terms: Terms, *bursts: Node, **fields: Any) -> Observed:
    """Return a cluster of one node beside which these burst nodes have joined."""
    slots = "".join(str(b.slot) for b in bursts)
    told = {"telling": uids(slots), "answer": answer(slots)} if bursts else {}
    return observe(XS, *bursts, burst=terms, **{**told, **fields})


WANTS2, ASKS_NOTHING = Terms(2, keep=2), Terms()
B2, B3 = burst(2), burst(3)
LATE2, LATE3, ENDED2 = burst(2, 30), burst(3, 30), burst(2, 0)
W4 = worker(4)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(
            bursting(replace(WANTS2, claim=2), burst_spares=(node(2), node(3))),
            (ClaimNodes((node(2), node(3)), names.ROLE_BURST),),
            id="claims what it may",
        ),
        pytest.param(bursting(replace(WANTS2, claim=2)), (), id="waits for nodes that the pool can spare"),
        pytest.param(
            bursting(replace(WANTS2, claim=1), burst_spares=(node(2), node(3))),
            (ClaimNodes((node(2),), names.ROLE_BURST),),
            id="and no more",
        ),
        pytest.param(
            bursting(replace(WANTS2, claim=1), B2, telling=None, answer=None, burst_spares=(node(3),)),
            (TellMembers(HEAD, (B2,)),),
            id="claims when nothing else is to be done",
        ),
        pytest.param(
            bursting(replace(WANTS2, claim=1), burst_spares=(node(3),), failed_bursts=Failures(3, NOW)),
            (),
            id="paced after failures in a row",
        ),
        pytest.param(
            bursting(WANTS2, B2, telling=None, answer=None, talks={"u2": Talk("u2")}),
            (TellMembers(HEAD, (B2,)), BindNode(B2)),
            id="joins outside the cluster's own nodes",
        ),
        pytest.param(bursting(WANTS2, B2, B3), (), id="a lease that has long to go is left alone"),
        pytest.param(
            bursting(WANTS2, LATE2, LATE3),
            (SetLease((LATE2, LATE3), NOW + LEASE, Reason.BURST_LEASED),),
            id="renewed at half of the lease while asked for",
        ),
        pytest.param(bursting(ASKS_NOTHING, LATE2), (), id="design 6: kept for the next scan without being renewed"),
        pytest.param(
            bursting(Terms(1, keep=1), LATE2, LATE3, answer=answer("23", busy="3")),
            (SetLease((LATE3,), NOW + LEASE, Reason.BURST_LEASED),),
            id="who has work is renewed first",
        ),
        pytest.param(bursting(ASKS_NOTHING, ENDED2), (TellMembers(HEAD, ()),), id="then the head is asked without it"),
        pytest.param(
            bursting(ASKS_NOTHING, ENDED2, telling=uids(""), answer=answer("", busy="2")),
            (),
            id="a statement may finish with it",
        ),
        pytest.param(
            bursting(ASKS_NOTHING, ENDED2, telling=uids(""), answer=answer("")),
            (ReleaseNode(ENDED2, Reason.LEASE_ENDED),),
            id="and it goes when nothing holds it",
        ),
        pytest.param(
            bursting(WANTS2, ENDED2, telling=uids(""), answer=answer("", busy="2")),
            (),
            id="an ended lease is not taken up again",
        ),
        pytest.param(
            bursting(ASKS_NOTHING, burst(2, -30), telling=uids(""), answer=answer("", busy="2")),
            (ReleaseNode(burst(2, -30), Reason.LEASE_ENDED),),
            id="it goes when it is held for too long",
        ),
        pytest.param(
            bursting(
                replace(WANTS2, keep=1, give_up=1, reason=Reason.ROOM_NEEDED), B2, B3, answer=answer("23", busy="3")
            ),
            (SetLease((B2,), NOW, Reason.ROOM_NEEDED),),
            id="who has no work is given up first",
        ),
        pytest.param(
            bursting(WANTS2, replace(B2, phase="Failed", ready=False), B3),
            (
                ReleaseNode(replace(B2, phase="Failed", ready=False), Reason.NODE_FAILED),
                TellMembers(HEAD, (B3,)),
            ),
            id="a lost one is simply gone",
        ),
        pytest.param(
            observe(WarehouseSize.S, W4, B2, telling=uids("24"), answer=answer("24"), burst=WANTS2),
            (),
            id="beside the workers",
        ),
        pytest.param(
            observe(WarehouseSize.S, B2, telling=uids("2"), answer=answer("2"), burst=WANTS2, spares=(node(4),)),
            (ClaimNodes((node(4),), names.ROLE_WORKER),),
            id="it takes no worker's place",
        ),
        pytest.param(
            bursting(WANTS2, burst(2, head_uid="gone")),
            (ReleaseNode(burst(2, head_uid="gone"), Reason.HEAD_LOST),),
            id="it goes with its head",
        ),
        pytest.param(
            bursting(ASKS_NOTHING, replace(B2, leased_until=None), telling=uids("")),
            (ReleaseNode(replace(B2, leased_until=None), Reason.LEASE_ENDED),),
            id="a lease that cannot be read has ended",
        ),
    ],
)
def test_bursts(observed: Observed, expected: tuple[object, ...]) -> None:
    assert decide(observed, NOW).actions == expected


def draining(observed: Observed) -> Observed:
    known = observed.cluster
    spec = known.spec.model_copy(update={"drain": True})
    status = known.status.model_copy(update={"phase": ClusterPhase.DRAINING})
    return replace(observed, cluster=replace(known, spec=spec, status=status))


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(
            bursting(WANTS2, B2),
            (SetLease((B2,), NOW, Reason.DRAINING), TellMembers(HEAD, ())),
            id="design 6: never while draining",
        ),
        pytest.param(
            bursting(WANTS2, ENDED2, telling=uids(""), answer=answer("", busy="2")),
            (DrainHead(HEAD),),
            id="a statement may finish with it",
        ),
        pytest.param(
            bursting(WANTS2, ENDED2, telling=uids(""), answer=answer("")),
            (ReleaseNode(ENDED2, Reason.LEASE_ENDED),),
            id="gone before the last statement is",
        ),
        pytest.param(
            observe(WarehouseSize.S, W4, ENDED2, telling=uids("24"), answer=answer("24")),
            (TellMembers(HEAD, (W4,)),),
            id="the workers stay",
        ),
        pytest.param(
            observe(WarehouseSize.S, W4, telling=uids("4"), answer=answer("4")), (DrainHead(HEAD),), id="none"
        ),
    ],
)
def test_draining(observed: Observed, expected: tuple[object, ...]) -> None:
    assert decide(draining(observed), NOW).actions == expected


@pytest.mark.parametrize(
    ("observed", "wake_in"),
    [
        pytest.param(bursting(WANTS2, B2, B3), 20, id="to renew"),
        pytest.param(bursting(ASKS_NOTHING, B2), 50, id="when a lease ends"),
        pytest.param(
            bursting(ASKS_NOTHING, ENDED2, telling=uids(""), answer=answer("", busy="2")),
            LEAVE_PATIENCE.total_seconds(),
            id="when it is held for too long",
        ),
        pytest.param(bursting(replace(WANTS2, wish_ends_at=ago(-7)), B2), 7, id="when the wish ends"),
    ],
)
def test_looks_again(observed: Observed, wake_in: float) -> None:
    decision = decide(observed, NOW)
    assert decision.actions == ()
    assert decision.wake_at == NOW + timedelta(seconds=wake_in)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(bursting(WANTS2, B2, B3), (True, Reason.BURST_LEASED, "2 burst nodes"), id="all"),
        pytest.param(
            bursting(Terms(9, keep=1, reason=Reason.SCALE_FACTOR), B2),
            (True, Reason.SCALE_FACTOR, "1 burst node; spec.queryAcceleration.maxScaleFactor allows no more"),
            id="at the scale factor",
        ),
        pytest.param(
            bursting(WANTS2, B2, answer=answer("2", joined="")),
            (False, Reason.NODES_JOINING, "more are joining"),
            id="joining",
        ),
        pytest.param(
            bursting(replace(WANTS2, claim=2)),
            (False, Reason.NO_WARM_NODE, "waits for a node that the pool can spare"),
            id="no node",
        ),
        pytest.param(bursting(ASKS_NOTHING), (False, Reason.BURST_NOT_WANTED, ""), id="none"),
    ],
)
def test_says_what_it_has(observed: Observed, expected: tuple[bool, Reason, str]) -> None:
    assert burst_words(observed, NOW) == expected


def test_the_status_counts_them_apart() -> None:
    observed = observe(
        WarehouseSize.S, W4, B2, B3, telling=uids("234"), answer=answer("234", joined="24"), burst=WANTS2
    )
    status = cluster_now(observed, Reason.HEAD_READY, "", NOW)
    assert (status.ready_nodes, status.burst_nodes) == (2, 1)
    condition = next(c for c in status.conditions if c.type == names.CONDITION_BURST)
    assert (condition.status, condition.message) == (ConditionStatus.TRUE, "1 burst node; more are joining")
    again = replace(observed, burst=ASKS_NOTHING, nodes=(HEAD, W4), cluster=replace(observed.cluster, status=status))
    after = cluster_now(again, Reason.HEAD_READY, "", NOW)
    assert (after.ready_nodes, after.burst_nodes) == (2, 0)
    assert _condition(after.conditions).reason == Reason.BURST_NOT_WANTED


def _condition(conditions: tuple[Condition, ...]) -> Condition:
    return next(c for c in conditions if c.type == names.CONDITION_BURST)


def test_a_cluster_that_never_asked_says_nothing_of_them() -> None:
    assert [c.type for c in cluster_now(bursting(ASKS_NOTHING), Reason.HEAD_READY, "", NOW).conditions] == ["Ready"]


def test_a_draining_cluster_stops_paying_for_those_that_are_gone() -> None:
    observed = bursting(WANTS2, B2, B3)
    status = cluster_now(observed, Reason.HEAD_READY, "", NOW)
    known = replace(observed.cluster, status=status)
    left = draining(replace(observed, cluster=known, nodes=(HEAD, B3)))
    after = cluster_draining(left)
    assert after.burst_nodes == 1
    assert [n.name for n in after.nodes] == [HEAD.name, B3.name]


def test_a_node_that_leaves_is_paid_until_it_is_gone() -> None:
    before = NodeStatus(name=B2.name, uid="u2", address="", role=names.ROLE_BURST, state=NodeState.READY)
    status = sized(XS).status.model_copy(update={"nodes": (before,)})
    observed = bursting(ASKS_NOTHING, ENDED2, telling=uids(""), answer=answer("", busy="2"))
    observed = replace(observed, cluster=replace(observed.cluster, status=status))
    assert cluster_now(observed, Reason.HEAD_READY, "", NOW).burst_nodes == 1


# Properties


@st.composite
def _lives(draw: st.DrawFn) -> list[tuple[float, bool, bool]]:
    """Steps of time in seconds, whether nodes are asked for then, and whether a statement holds what there is."""
    step = st.tuples(st.floats(0.1, 40), st.booleans(), st.booleans())
    return draw(st.lists(step, max_size=12))


@settings(max_examples=200, deadline=None)
@given(_lives())
def test_every_lease_ends(steps: list[tuple[float, bool, bool]]) -> None:
    """A node that nobody asks for any more is gone within its lease and the patience after it, busy or not."""
    now, last_wish, held = NOW, NOW, burst(2, 60)
    there: Node | None = held
    telling = uids("2")
    for seconds, asked, busy in [*steps, *[(5.0, False, True)] * 20]:
        now += timedelta(seconds=seconds)
        last_wish = now if asked else last_wish
        there, telling = _live(there, telling, asked, busy, now)
        if there is None:
            break
    assert there is None
    assert now <= last_wish + LEASE + LEAVE_PATIENCE + timedelta(seconds=40)


def _live(
    there: Node | None, telling: frozenset[str], asked: bool, busy: bool, now: datetime
) -> tuple[Node | None, frozenset[str]]:
    """Do what is decided, again and again, until nothing is."""
    for _ in range(5):
        if there is None:
            return None, telling
        known = HeadAnswer(telling, telling, uids("2") if busy else frozenset())
        observed = observe(XS, there, telling=telling, answer=known, burst=Terms(int(asked), keep=int(asked)))
        actions = decide(observed, now).actions
        for action in actions:
            match action:
                case SetLease(until=until):
                    there = replace(there, leased_until=until)
                case TellMembers(members=members):
                    telling = frozenset(n.uid for n in members)
                case ReleaseNode():
                    return None, telling
        if not actions:
            break
    return there, telling
