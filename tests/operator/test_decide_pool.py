"""How a pool keeps its warm nodes: the rules of decide/pool.py as tables."""

from dataclasses import replace
from datetime import timedelta

import pytest
from firn_operator.decide.observed import Node, Pool, Trouble, TroubleKind, claimable
from firn_operator.decide.pool import CreateNode, DeleteNode, Observed, decide, words
from firn_operator.decide.reason import Reason
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import NOW, ago, node, pool

NO_ROOM = Trouble(TroubleKind.UNSCHEDULABLE, "0/2 nodes are available: 2 Insufficient memory.")
FAILED = {"phase": "Failed", "ready": False, "trouble": Trouble(TroubleKind.FAILED, "Error with exit code 1")}


def observe(what: Pool, *nodes: Node, **fields: object) -> Observed:
    plain = Observed(what, nodes, known_epochs=frozenset({"e1"}))
    return replace(plain, **fields)  # type: ignore[arg-type]


def created(*slots: int, reason: Reason = Reason.REFILL, failures: int = 0) -> tuple[CreateNode, ...]:
    return tuple(CreateNode(s, reason, failures) for s in slots)


def deleted(what: Node, reason: Reason) -> tuple[DeleteNode, ...]:
    return (DeleteNode(what, reason),)


OLD = node(1, template="old")
LATE = node(2, ready=False, age=131)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(observe(pool(2)), created(1, 2), id="an empty pool is filled"),
        pytest.param(observe(pool(4)), created(1, 2), id="no more boots at once than the bound"),
        pytest.param(observe(pool(2), node(1), node(2)), (), id="full"),
        pytest.param(observe(pool(2), node(1, ready=False, age=1), node(2)), (), id="what boots counts"),
        pytest.param(observe(pool(2), node(2), creating=frozenset({1})), (), id="creations in flight count"),
        pytest.param(observe(pool(2), node(2)), created(1), id="the lowest free slot"),
        pytest.param(
            observe(pool(2), node(1, deleting=True), node(2)), created(3), id="a name that still exists is not free"
        ),
        pytest.param(
            observe(pool(2), node(1, epoch="e1"), node(2)), created(3), id="claimed nodes are no longer the pool's"
        ),
        pytest.param(observe(pool(2), node(2), last_claim_at=ago(1)), (), id="a pause after a claim"),
        pytest.param(observe(pool(2), node(2), last_claim_at=ago(2)), created(1), id="and no longer"),
        pytest.param(
            observe(pool(1), waiting=1, last_claim_at=ago(1)),
            created(1, 2, reason=Reason.ON_DEMAND),
            id="a waiting cluster does not wait for the pause",
        ),
        pytest.param(
            observe(pool(0, 0), waiting=1),
            created(1, reason=Reason.ON_DEMAND),
            id="a pool of none still serves on demand",
        ),
        pytest.param(observe(pool(1), node(1), node(2)), deleted(node(2), Reason.SURPLUS), id="surplus goes"),
        pytest.param(
            observe(pool(1), node(1), node(2), reserved=frozenset({"u2"})),
            (),
            id="a promised node is neither free nor surplus",
        ),
        pytest.param(observe(pool(1), OLD), created(2), id="an outdated node serves until it is replaced"),
        pytest.param(
            observe(pool(2), OLD, node(2), node(3)), deleted(OLD, Reason.OUTDATED), id="and goes when it is replaced"
        ),
        pytest.param(
            observe(pool(2), OLD, replace(OLD, slot=4, uid="u4"), node(2), node(3, ready=False, age=1)),
            deleted(OLD, Reason.OUTDATED),
            id="one outdated node goes for one that is ready",
        ),
        pytest.param(
            observe(pool(1), OLD, node(2, ready=False, trouble=NO_ROOM)),
            deleted(OLD, Reason.OUTDATED),
            id="it makes room for one that finds none",
        ),
        pytest.param(
            observe(pool(1), replace(OLD, ready=False, created_at=ago(1))),
            (*created(2), *deleted(replace(OLD, ready=False, created_at=ago(1)), Reason.OUTDATED)),
            id="an outdated one that still boots goes at once",
        ),
        pytest.param(
            observe(pool(1), OLD, node(2), reserved=frozenset({"u1"})), (), id="a promised one stays, outdated or not"
        ),
        pytest.param(
            observe(pool(1), node(1, epoch="e1", template="old"), node(2)),
            (),
            id="a claimed one is left, outdated or not",
        ),
        pytest.param(
            observe(pool(1), node(1), node(2, epoch="gone")),
            deleted(node(2, epoch="gone"), Reason.ORPHANED),
            id="a node of an epoch that is gone",
        ),
        pytest.param(
            observe(pool(1), node(1, age=30, failed_at=ago(9), **FAILED)),
            (),
            id="a failed node holds its place for a while",
        ),
        pytest.param(
            observe(pool(1), node(1, age=30, failed_at=ago(10), **FAILED)),
            (*created(2, failures=1), *deleted(node(1, age=30, failed_at=ago(10), **FAILED), Reason.NODE_FAILED)),
            id="then it is replaced, and the failure is remembered",
        ),
        pytest.param(
            observe(pool(1), node(1, failed_at=ago(39), boot_failures=2, **FAILED)), (), id="longer after each failure"
        ),
        pytest.param(
            observe(pool(2), node(1), LATE),
            (*created(3, failures=1), *deleted(LATE, Reason.BOOT_TIMEOUT)),
            id="boot timeout",
        ),
        pytest.param(
            observe(pool(1), node(1, ready=False, age=9000, scheduled_at=ago(119))),
            (),
            id="its time to boot begins when it gets room",
        ),
        pytest.param(
            observe(pool(1), node(1, ready=False, age=9000, scheduled_at=ago(131))),
            (
                *created(2, failures=1),
                *deleted(node(1, ready=False, age=9000, scheduled_at=ago(131)), Reason.BOOT_TIMEOUT),
            ),
            id="and is bounded from then on",
        ),
        pytest.param(
            observe(pool(1), node(1, ready=False, age=9000, trouble=NO_ROOM)),
            (),
            id="without room the scheduler keeps trying",
        ),
        pytest.param(observe(pool(1), refused_at=ago(9)), (), id="a refused creation is not hammered"),
        pytest.param(observe(pool(1), refused_at=ago(10)), created(1), id="but tried again"),
        pytest.param(observe(replace(pool(2), deleting=True)), (), id="a pool that goes makes nothing"),
    ],
)
def test_decide(observed: Observed, expected: tuple[object, ...]) -> None:
    assert decide(observed, NOW).actions == expected


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((), "pool default has none ready"),
        ((node(1), node(2, ready=False, age=1)), "pool default has 1 ready; 1 pod booting"),
        (
            (node(1, ready=False, trouble=NO_ROOM), node(2, ready=False, trouble=NO_ROOM)),
            "pool default has none ready; 2 pods cannot be scheduled: 0/2 nodes are available: 2 Insufficient memory.",
        ),
        (
            (node(1, failed_at=ago(1), **FAILED),),
            "pool default has none ready; 1 pod failed to start: Error with exit code 1",
        ),
    ],
)
def test_words(nodes: tuple[Node, ...], text: str) -> None:
    assert words(observe(pool(), *nodes), NOW) == text


def test_only_ready_unpromised_nodes_are_claimed_current_ones_first_then_the_oldest() -> None:
    nodes = [
        node(1, age=1),
        node(2, age=9),
        node(3, ready=False),
        node(4, age=99, template="old"),
        node(5, deleting=True),
        node(6, epoch="e1"),
        node(7),
    ]
    assert [n.slot for n in claimable(nodes, "t1", frozenset({"u7"}))] == [2, 1, 4]


node_lists = st.lists(
    st.builds(
        lambda slot, ready, age, claimed, deleting, failed, old: node(
            slot,
            ready and not failed,
            "e1" if claimed else None,
            age,
            deleting=deleting,
            template="old" if old else "t1",
            **({"phase": "Failed", "failed_at": ago(age)} if failed else {}),
        ),
        st.integers(1, 12),
        st.booleans(),
        st.floats(0, 300),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda n: n.slot,
)


@given(node_lists, st.integers(0, 5), st.integers(0, 3), st.sets(st.integers(13, 16)), st.floats(0, 10))
def test_never_over_creates(
    nodes: list[Node], target: int, waiting: int, creating: set[int], claimed_ago: float
) -> None:
    observed = observe(
        pool(target), *nodes, waiting=waiting, creating=frozenset(creating), last_claim_at=ago(claimed_ago)
    )
    decision = decide(observed, NOW)
    creations = [a for a in decision.actions if isinstance(a, CreateNode)]
    kept = [n for n in nodes if n.is_warm and not n.deleting and n.template == "t1" and not n.is_dead]
    in_time = [n for n in kept if n.ready or n.created_at + timedelta(seconds=120) > NOW]
    if creations:
        assert len(in_time) + len(creating) + len(creations) <= target + waiting
    booting = [n for n in in_time if not n.ready]
    assert len(creations) <= max(0, 2 - len(booting) - len(creating))
    assert not {a.slot for a in creations} & ({n.slot for n in nodes} | creating)
    gone = [a.node for a in decision.actions if isinstance(a, DeleteNode)]
    assert all(n.is_warm for n in gone)
    assert len(gone) == len({n.uid for n in gone})
    assert decision.wake_at is None or decision.wake_at > NOW
    serving = [n for n in nodes if n.is_warm and n.ready and not n.deleting]
    lost = [n for n in gone if n in serving]
    assert not lost or len(serving) - len(lost) >= target + waiting
