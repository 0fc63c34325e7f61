"""How a pool keeps its warm nodes: the rules of decide/pool.py as tables."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from firn_operator.decide.demand import Demand, hour_of_week
from firn_operator.decide.free_nodes import FreeNodes
from firn_operator.decide.misses import WORDS, why_missed
from firn_operator.decide.observed import Node, Pool, Trouble, TroubleKind, is_claimable
from firn_operator.decide.pool import (
    CreateNode,
    DeleteNode,
    Observed,
    claims_since,
    decide,
    take_census,
    target_of,
    words,
)
from firn_operator.decide.reason import Reason
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import NOW, ago, node, pool

NO_ROOM = Trouble(TroubleKind.UNSCHEDULABLE, "0/2 nodes are available: 2 Insufficient memory.")
FAILED: dict[str, Any] = {
    "phase": "Failed",
    "ready": False,
    "trouble": Trouble(TroubleKind.FAILED, "Error with exit code 1"),
}


def observe(what: Pool, *nodes: Node, **fields: Any) -> Observed:
    plain = Observed(what, nodes, known_epochs=frozenset({"e1"}))
    return replace(plain, **fields)


def created(*slots: int, reason: Reason = Reason.REFILL, failures: int = 0) -> tuple[CreateNode, ...]:
    return tuple(CreateNode(s, reason, failures) for s in slots)


def deleted(what: Node, reason: Reason) -> tuple[DeleteNode, ...]:
    return (DeleteNode(what, reason),)


OLD = node(1, template="old")


def forecast(minimum: int, maximum: int, hit_rate: float = 99) -> Pool:
    plain = pool(minimum, maximum, maxBooting=100)
    warm = plain.spec.warm.model_copy(update={"forecast": True, "hit_rate": hit_rate})
    return replace(plain, spec=plain.spec.model_copy(update={"warm": warm}))


def demand(per_second: float) -> Demand:
    """Return a demand whose nodes boot within 4 s; the pause is 2 s more."""
    return Demand(fast=per_second, slow=per_second, at=NOW, boot=timedelta(seconds=4))


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
            observe(pool(2), node(2), last_claim_at=ago(1), claims_since=ago(9)),
            (),
            id="another pause after each claim",
        ),
        pytest.param(
            observe(pool(2), node(2), last_claim_at=ago(1), claims_since=ago(10)),
            created(1),
            id="five pauses in a row are enough",
        ),
        pytest.param(
            observe(pool(4), node(2), last_claim_at=ago(1)),
            created(1, 3),
            id="a pool that is half empty does not pause",
        ),
        pytest.param(
            observe(pool(4), last_claim_at=ago(3), claims_since=ago(3), joining=True),
            (),
            id="but leaves the processor to nodes that join their cluster",
        ),
        pytest.param(
            observe(pool(4), last_claim_at=ago(3), claims_since=ago(10), joining=True),
            created(1, 2),
            id="for five pauses at most",
        ),
        pytest.param(
            observe(pool(4), last_claim_at=ago(1), claims_since=ago(1), joining=True, waiting=1),
            created(1, 2, reason=Reason.ON_DEMAND),
            id="and not while a cluster waits for a node",
        ),
        pytest.param(
            observe(pool(2), node(1), node(2), waiting=2), (), id="who waits takes what is free before it is replaced"
        ),
        pytest.param(
            observe(pool(2), node(1), node(2, ready=False, age=1), waiting=3),
            created(3, reason=Reason.ON_DEMAND),
            id="who finds nothing free is made one",
        ),
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
        pytest.param(
            observe(pool(2), node(1), node(2), reserved=frozenset({"u2"})),
            (),
            id="and is replaced when it is claimed, not before",
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
    index = FreeNodes()
    for each in nodes:
        index.change(None, each)
    assert [n.slot for n in index.first("default", "t1", 9, frozenset({"u7"}))] == [2, 1, 4]


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


USUAL = replace(demand(0), week=tuple(3600.0 if hour == hour_of_week(NOW) else None for hour in range(168)))


@pytest.mark.parametrize(
    ("what", "known", "expected"),
    [
        pytest.param(pool(2, 50), demand(1.0), 2, id="without forecast the minimum"),
        pytest.param(forecast(2, 50), None, 2, id="nothing learnt yet"),
        pytest.param(forecast(2, 50), demand(0.0), 2, id="no claims"),
        pytest.param(forecast(0, 50), demand(0.0), 0, id="none kept for nobody"),
        pytest.param(forecast(2, 50), demand(1.0), 13, id="six are claimed until one is replaced"),
        pytest.param(forecast(2, 50, 90), demand(1.0), 10, id="of which fewer need to find one"),
        pytest.param(forecast(2, 8), demand(1.0), 8, id="within the maximum"),
        pytest.param(forecast(2, 50), USUAL, 13, id="as is usual at this hour"),
        pytest.param(forecast(2, 50), demand(100.0), 50, id="more than can boot"),
    ],
)
def test_the_target(what: Pool, known: Demand | None, expected: int) -> None:
    assert target_of(observe(what, demand=known), NOW) == expected


def test_a_falling_target_lets_a_few_stay() -> None:
    nodes = [node(slot) for slot in range(1, 16)]
    assert decide(observe(forecast(2, 50), *nodes[:14], demand=demand(1.0)), NOW).actions == ()
    assert decide(observe(forecast(2, 50), *nodes, demand=demand(1.0)), NOW).actions == deleted(
        nodes[14], Reason.SURPLUS
    )


BOOTING = node(3, ready=False, age=1)
LATELY = [node(slot, epoch="e1", claimed_at=ago(3)) for slot in (1, 2)]


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(observe(pool(2), refused_at=ago(1), refusal="quota"), Reason.CREATE_REFUSED, id="a quota"),
        pytest.param(observe(pool(2), node(1, ready=False, trouble=NO_ROOM)), Reason.UNSCHEDULABLE, id="no room"),
        pytest.param(observe(pool(2), node(1, **FAILED)), Reason.BOOT_FAILED, id="it cannot boot"),
        pytest.param(observe(pool(2), node(1, template="old", ready=False, age=1)), Reason.OUTDATED, id="a new image"),
        pytest.param(observe(pool(0)), Reason.NOT_KEPT, id="none are kept"),
        pytest.param(observe(pool(2), *LATELY, BOOTING), Reason.SURGE, id="as many were claimed within one boot"),
        pytest.param(observe(pool(2), LATELY[0], BOOTING), Reason.BOOTING, id="the refill runs"),
        pytest.param(observe(pool(2), LATELY[0]), Reason.EMPTY, id="the refill has not begun"),
    ],
)
def test_why_a_claim_misses(observed: Observed, expected: Reason) -> None:
    reason = why_missed(observed, take_census(observed, NOW), NOW)
    assert reason is expected
    assert WORDS[reason]


@given(
    st.lists(
        st.builds(
            node,
            slot=st.integers(1, 12),
            ready=st.booleans(),
            epoch=st.none() | st.just("e1"),
            age=st.integers(0, 5),
            template=st.sampled_from(["t1", "t2", "t3"]),
        ),
        max_size=40,
    ),
    st.sets(st.integers(1, 12)),
    st.integers(0, 12),
)
def test_the_index_of_free_nodes_agrees_with_a_look_at_all(events: list[Node], promised: set[int], count: int) -> None:
    index, known = FreeNodes(), dict[str, Node]()
    for event in events:
        index.change(known.get(event.uid), event)
        known[event.uid] = event
    uids = {f"u{slot}" for slot in promised}
    free = [n for n in known.values() if is_claimable(n) and n.uid not in uids]
    expected = sorted(free, key=lambda n: (n.template != "t1", n.created_at, n.slot))
    assert index.first("default", "t1", count, uids) == expected[:count]
    assert index.count("default", uids) == len(expected)
    for gone in known.values():
        index.change(gone, None)
    assert index.first("default", "t1", 99, ()) == []


@pytest.mark.parametrize(
    ("since", "last", "began"),
    [
        pytest.param(None, None, NOW, id="the first claim"),
        pytest.param(ago(5), ago(2), ago(5), id="soon after another"),
        pytest.param(ago(5), ago(2.1), NOW, id="after a pause without claims"),
    ],
)
def test_a_run_of_claims_ends_with_a_pause_without_one(
    since: datetime | None, last: datetime | None, began: datetime
) -> None:
    assert claims_since(since, last, 2.0, NOW) == began
