"""Which nodes are parked, who may claim them, and when they are given up. Source: design.md sections 5 and 8."""

from dataclasses import replace
from datetime import timedelta

import pytest
from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterStatus, NodeState, NodeStatus
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.parking import Parking, give_up, most_parked, parked_for, to_park
from firn_operator.decide.reason import Reason
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.observations import NOW, TEMPLATE, ago, cluster, node, pool, warehouse, worker


def drained(*nodes: Node) -> Cluster:
    told = tuple(
        NodeStatus(name=n.name, uid=n.uid, address="", role=n.role or "", state=NodeState.READY) for n in nodes
    )
    status = ClusterStatus(phase=ClusterPhase.DRAINED, drained=True, head="default-1", head_uid="u1", nodes=told)
    return cluster(drain=True, status=status)


def parked(
    slot: int, role: str = names.ROLE_HEAD, head: str | None = None, age: float = 60, uid: str = "w-uid"
) -> Node:
    return node(
        slot, state=names.STATE_PARKED, role=role, head_uid=head, warehouse_uid=uid, parked_at=ago(age), epoch=None
    )


HEAD = node(1, epoch="e1")


@pytest.mark.parametrize(
    ("nodes", "most", "expected"),
    [
        pytest.param((HEAD,), 4, ["u1"], id="the head alone"),
        pytest.param((HEAD, worker(2), worker(3)), 4, ["u1", "u2", "u3"], id="the head and who had joined it"),
        pytest.param((HEAD, worker(2), worker(3)), 2, ["u1", "u2"], id="no more than the pool keeps"),
        pytest.param((HEAD,), 0, [], id="a pool that keeps none"),
        pytest.param((worker(2),), 4, [], id="workers are of no use without their head"),
        pytest.param((HEAD, worker(2, head="u9")), 4, ["u1"], id="a worker of another head"),
        pytest.param((HEAD, worker(2, template="old")), 4, ["u1"], id="an outdated worker"),
        pytest.param((replace(HEAD, ready=False), worker(2)), 4, [], id="a head that is not well"),
    ],
)
def test_what_is_worth_parking(nodes: tuple[Node, ...], most: int, expected: list[str]) -> None:
    assert [n.uid for n in to_park(drained(*nodes), nodes, TEMPLATE, most)] == expected


def test_only_a_suspended_warehouse_that_could_use_them_again_has_nodes_parked() -> None:
    leaving, well = drained(HEAD), warehouse()
    kept = pool().spec.parked.max_nodes
    assert most_parked(leaving, well, [leaving], pool()) == kept
    assert most_parked(leaving, well, [leaving, cluster(2)], pool()) == 0, "it runs on"
    assert most_parked(leaving, None, [leaving], pool()) == 0, "it is gone"
    assert most_parked(leaving, replace(well, uid="another"), [leaving], pool()) == 0, "it is another of that name"
    assert most_parked(leaving, warehouse({"pool": "other"}), [leaving], pool()) == 0, "it has moved to another pool"
    assert most_parked(leaving, warehouse({"type": "SnowparkOptimized", "size": "M"}), [leaving], pool()) == 0
    assert most_parked(leaving, well, [leaving], None) == 0, "its pool is gone"


def test_a_head_with_company_is_claimed_first_and_then_its_company() -> None:
    nodes = [parked(1), parked(2), parked(3, names.ROLE_WORKER, "u2"), parked(4, uid="other")]
    starting = cluster(running=False)
    assert [n.uid for n in parked_for(starting, nodes, TEMPLATE, ())] == ["u2", "u1"]
    assert [n.uid for n in parked_for(starting, nodes, TEMPLATE, {"u2"})] == ["u1"]
    running = cluster(status=replace_head(starting.status, "u2"))
    assert [n.uid for n in parked_for(running, nodes, TEMPLATE, ())] == ["u3"]


def replace_head(status: ClusterStatus, uid: str) -> ClusterStatus:
    return status.model_copy(update={"head_uid": uid})


def parking(*nodes: Node, most: int = 4, keep: int = 600, without_room: int = 0) -> Parking:
    plain = pool()
    kept = plain.spec.parked.model_copy(update={"max_nodes": most, "keep_seconds": keep})
    spec = plain.spec.model_copy(update={"parked": kept})
    heads = frozenset(n.uid for n in nodes if n.role == names.ROLE_HEAD)
    return Parking(replace(plain, spec=spec), nodes, heads, frozenset({"w-uid"}), without_room=without_room)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(parking(parked(1)), [], id="kept"),
        pytest.param(parking(parked(1, age=600)), [("u1", Reason.KEPT_LONG_ENOUGH)], id="kept long enough"),
        pytest.param(
            parking(parked(1, age=9), parked(2, age=8), most=1), [("u1", Reason.TOO_MANY_PARKED)], id="oldest"
        ),
        pytest.param(parking(parked(1), without_room=1), [("u1", Reason.ROOM_NEEDED)], id="the pool needs the room"),
        pytest.param(parking(parked(1, uid="gone")), [("u1", Reason.WAREHOUSE_GONE)], id="its warehouse is gone"),
        pytest.param(
            parking(parked(2, names.ROLE_WORKER, "u1")), [("u2", Reason.HEAD_LOST)], id="a worker whose head is gone"
        ),
        pytest.param(parking(replace(parked(1), template="old")), [("u1", Reason.OUTDATED)], id="outdated"),
        pytest.param(parking(replace(parked(1), phase="Failed")), [("u1", Reason.NODE_FAILED)], id="it has ended"),
    ],
)
def test_what_is_given_up(observed: Parking, expected: list[tuple[str, Reason]]) -> None:
    assert [(n.uid, reason) for n, reason in give_up(observed, NOW)[0]] == expected


def test_the_next_look_is_when_the_oldest_has_been_kept_long_enough() -> None:
    _, wake_at = give_up(parking(parked(1, age=100), parked(2, age=50)), NOW)
    assert wake_at == NOW + timedelta(seconds=500)


@settings(derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=12), st.integers(0, 6))
def test_never_more_are_kept_than_the_pool_says(nodes: list[tuple[int, bool]], most: int) -> None:
    all_ = [parked(i, age=age, uid="w-uid" if own else "gone") for i, (age, own) in enumerate(nodes)]
    gone = {n.uid for n, _ in give_up(parking(*all_, most=most), NOW)[0]}
    kept = [n for n in all_ if n.uid not in gone]
    assert len(kept) <= most
    assert all(n.warehouse_uid == "w-uid" for n in kept)
    claimable = parked_for(cluster(running=False, warehouse_uid="another"), kept, TEMPLATE, ())
    assert claimable == []
