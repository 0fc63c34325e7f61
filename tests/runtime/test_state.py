"""The node's state: tables, then random interleavings."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from firn_model.messages import RefusalReason
from firn_model.names import ROLE_BURST, ROLE_HEAD, ROLE_WORKER
from firn_runtime.node.state import (
    MOST_HELD,
    Accept,
    BindAsked,
    DrainAsked,
    EngineWarm,
    Event,
    Join,
    MembersTold,
    MessageArrived,
    ParkAsked,
    Phase,
    Refuse,
    State,
    StatementDispatched,
    StatementReleased,
    decide,
)
from hypothesis import given
from hypothesis import strategies as st

WARM = State(Phase.WARM)
BOUND = State(Phase.BOUND, "e1", ROLE_HEAD, warehouse_uid="w1")
RUNNING = replace(BOUND, held=MappingProxyType({"s1": 1}))
DRAINING = replace(RUNNING, phase=Phase.DRAINING)
DRAINED = replace(BOUND, phase=Phase.DRAINED)
FULL = replace(BOUND, held=MappingProxyType({f"s{n}": 1 for n in range(MOST_HELD)}))
PARKED = replace(BOUND, phase=Phase.PARKED)
WORKER = replace(BOUND, role=ROLE_WORKER, head="h1")
PARKED_WORKER = replace(WORKER, phase=Phase.PARKED)
AGAIN = replace(BOUND, epoch="e2", past=frozenset({"e1"}))


def bind(epoch: str, warehouse_uid: str = "w1", role: str = ROLE_HEAD, head: str | None = None) -> BindAsked:
    return BindAsked(epoch, role, head, warehouse_uid)


def joining(epoch: str, role: str = ROLE_WORKER, head: str = "h1", warehouse_uid: str = "w1") -> BindAsked:
    return BindAsked(epoch, role, head, warehouse_uid)


@pytest.mark.parametrize(
    ("state", "event", "phase", "held"),
    [
        pytest.param(State(), EngineWarm(), Phase.WARM, set(), id="a booted engine warms the node"),
        pytest.param(BOUND, EngineWarm(), Phase.BOUND, set(), id="an engine that came back changes nothing"),
        pytest.param(WARM, bind("e1"), Phase.BOUND, set(), id="a warm node is bound"),
        pytest.param(RUNNING, bind("e1"), Phase.BOUND, {"s1"}, id="binding again changes nothing"),
        pytest.param(BOUND, StatementDispatched("e1", "s1", 1), Phase.BOUND, {"s1"}, id="a statement is held"),
        pytest.param(RUNNING, StatementReleased("s1"), Phase.BOUND, set(), id="a delivered statement is let go"),
        pytest.param(RUNNING, DrainAsked("e1"), Phase.DRAINING, {"s1"}, id="a drain waits for what is held"),
        pytest.param(DRAINING, StatementReleased("s1"), Phase.DRAINED, set(), id="the last release ends the drain"),
        pytest.param(BOUND, DrainAsked("e1"), Phase.DRAINED, set(), id="an idle node is drained at once"),
        pytest.param(DRAINED, DrainAsked("e1"), Phase.DRAINED, set(), id="draining again changes nothing"),
        pytest.param(WARM, DrainAsked("e1"), Phase.DRAINED, set(), id="a node that was never bound drains too"),
        pytest.param(DRAINING, MessageArrived("e1"), Phase.DRAINING, {"s1"}, id="a report is answered while draining"),
        pytest.param(DRAINED, ParkAsked("e1", "w1"), Phase.PARKED, set(), id="a drained node is parked"),
        pytest.param(PARKED, ParkAsked("e1", "w1"), Phase.PARKED, set(), id="parking again changes nothing"),
        pytest.param(PARKED, DrainAsked("e1"), Phase.PARKED, set(), id="a late drain does not wake a parked node"),
        pytest.param(PARKED, bind("e2"), Phase.BOUND, set(), id="a parked head serves its warehouse again"),
        pytest.param(AGAIN, bind("e2"), Phase.BOUND, set(), id="binding it again changes nothing"),
        pytest.param(AGAIN, StatementDispatched("e2", "s1", 1), Phase.BOUND, {"s1"}, id="it takes statements again"),
        pytest.param(PARKED_WORKER, joining("e2"), Phase.BOUND, set(), id="a parked worker is still joined"),
        pytest.param(
            PARKED_WORKER,
            joining("e2", ROLE_BURST),
            Phase.BOUND,
            set(),
            id="a parked worker comes back as a burst node",
        ),
        pytest.param(WORKER, joining("e1"), Phase.BOUND, set(), id="binding a worker again does not join again"),
        pytest.param(WORKER, DrainAsked("e1"), Phase.DRAINED, set(), id="a worker drains at once"),
        pytest.param(BOUND, MembersTold("e1"), Phase.BOUND, set(), id="a head is told its members"),
        pytest.param(DRAINING, MembersTold("e1"), Phase.DRAINING, {"s1"}, id="also while it drains"),
    ],
)
def test_accepts(state: State, event: Event, phase: Phase, held: set[str]) -> None:
    after, decision = decide(state, event)
    assert decision == Accept()
    assert after.phase is phase
    assert set(after.held) == held


@pytest.mark.parametrize(
    ("state", "event"),
    [
        pytest.param(WARM, joining("e1"), id="a warm node becomes a worker"),
        pytest.param(WARM, joining("e1", ROLE_BURST), id="or a burst node"),
        pytest.param(PARKED, joining("e2"), id="a parked head becomes a worker of its warehouse's other head"),
        pytest.param(PARKED_WORKER, joining("e2", head="h2"), id="a parked worker follows its warehouse's new head"),
    ],
)
def test_joins(state: State, event: BindAsked) -> None:
    after, decision = decide(state, event)
    assert decision == Join()
    assert (after.phase, after.epoch, after.role, after.head) == (Phase.BOUND, event.epoch, event.role, event.head)
    assert decide(after, event) == (after, Accept())


@pytest.mark.parametrize(
    ("state", "event", "reason"),
    [
        pytest.param(State(), bind("e1"), RefusalReason.NOT_READY, id="a booting node is not bound"),
        pytest.param(BOUND, bind("e2"), RefusalReason.WRONG_EPOCH, id="a node is bound once"),
        pytest.param(DRAINED, bind("e1"), RefusalReason.DRAINING, id="a drained node is not bound again"),
        pytest.param(BOUND, DrainAsked("e2"), RefusalReason.WRONG_EPOCH, id="a drain of another epoch"),
        pytest.param(
            WARM, StatementDispatched("e1", "s1", 1), RefusalReason.NOT_BOUND, id="a statement before the bind"
        ),
        pytest.param(BOUND, StatementDispatched("e2", "s1", 1), RefusalReason.WRONG_EPOCH, id="of another epoch"),
        pytest.param(RUNNING, StatementDispatched("e1", "s1", 2), RefusalReason.BUSY, id="a statement that is held"),
        pytest.param(FULL, StatementDispatched("e1", "new", 1), RefusalReason.BUSY, id="one more than the bound"),
        pytest.param(DRAINING, StatementDispatched("e1", "s2", 1), RefusalReason.DRAINING, id="while draining"),
        pytest.param(DRAINED, StatementDispatched("e1", "s2", 1), RefusalReason.DRAINING, id="when drained"),
        pytest.param(WARM, MessageArrived("e1"), RefusalReason.NOT_BOUND, id="a report before the bind"),
        pytest.param(BOUND, MessageArrived("e2"), RefusalReason.WRONG_EPOCH, id="a report of another epoch"),
        pytest.param(WARM, bind("e1", head="h1"), RefusalReason.MALFORMED, id="a head that joins another"),
        pytest.param(
            WARM, bind("e1", role=ROLE_WORKER), RefusalReason.MALFORMED, id="a worker that has nothing to join"
        ),
        pytest.param(WORKER, joining("e1", head="h2"), RefusalReason.WRONG_EPOCH, id="a worker joins once an epoch"),
        pytest.param(WORKER, bind("e1"), RefusalReason.WRONG_EPOCH, id="a worker does not become a head"),
        pytest.param(BOUND, bind("e1", "w2"), RefusalReason.WRONG_EPOCH, id="nor one for another warehouse"),
        pytest.param(BOUND, joining("e1"), RefusalReason.WRONG_EPOCH, id="a head does not become a worker"),
        pytest.param(WORKER, StatementDispatched("e1", "s1", 1), RefusalReason.NOT_BOUND, id="a statement at a worker"),
        pytest.param(WORKER, MembersTold("e1"), RefusalReason.NOT_BOUND, id="members at a worker"),
        pytest.param(WARM, MembersTold("e1"), RefusalReason.NOT_BOUND, id="members before the bind"),
        pytest.param(BOUND, MembersTold("e2"), RefusalReason.WRONG_EPOCH, id="members of another epoch"),
        pytest.param(DRAINED, bind("e2"), RefusalReason.WRONG_EPOCH, id="a node that was not parked stays drained"),
        pytest.param(WARM, ParkAsked("e1", "w1"), RefusalReason.NOT_BOUND, id="parking before the bind"),
        pytest.param(BOUND, ParkAsked("e1", "w1"), RefusalReason.BUSY, id="parking without a drain"),
        pytest.param(DRAINING, ParkAsked("e1", "w1"), RefusalReason.BUSY, id="parking while draining"),
        pytest.param(DRAINED, ParkAsked("e2", "w1"), RefusalReason.WRONG_EPOCH, id="parking of another epoch"),
        pytest.param(DRAINED, ParkAsked("e1", "w2"), RefusalReason.WRONG_EPOCH, id="parking for another warehouse"),
        pytest.param(
            PARKED, bind("e2", "w2"), RefusalReason.WRONG_EPOCH, id="a parked node never leaves its warehouse"
        ),
        pytest.param(PARKED, bind("e2", ""), RefusalReason.WRONG_EPOCH, id="nor follows one that is not named"),
        pytest.param(PARKED, bind("e1"), RefusalReason.DRAINING, id="a late bind does not wake a parked node"),
        pytest.param(
            replace(AGAIN, epoch="e2", phase=Phase.PARKED),
            bind("e1"),
            RefusalReason.DRAINING,
            id="nor one of an earlier epoch",
        ),
        pytest.param(PARKED, StatementDispatched("e1", "s1", 1), RefusalReason.DRAINING, id="a statement while parked"),
        pytest.param(AGAIN, StatementDispatched("e1", "s1", 1), RefusalReason.WRONG_EPOCH, id="of the epoch it left"),
        pytest.param(AGAIN, DrainAsked("e1"), RefusalReason.WRONG_EPOCH, id="a drain of the epoch it left"),
        pytest.param(PARKED_WORKER, bind("e2"), RefusalReason.WRONG_EPOCH, id="a parked worker does not become a head"),
    ],
)
def test_refuses(state: State, event: Event, reason: RefusalReason) -> None:
    after, decision = decide(state, event)
    assert isinstance(decision, Refuse)
    assert decision.reason is reason
    assert after == state


EPOCHS = st.sampled_from(["e1", "e2", "e3"])
WAREHOUSES = st.sampled_from(["w1", "w2"])
STATEMENTS = st.sampled_from(["s1", "s2", "s3"])
EVENTS = st.one_of(
    st.just(EngineWarm()),
    st.builds(bind, EPOCHS, WAREHOUSES),
    st.builds(joining, EPOCHS, st.just(ROLE_WORKER), st.sampled_from(["h1", "h2"]), WAREHOUSES),
    st.builds(DrainAsked, EPOCHS),
    st.builds(ParkAsked, EPOCHS, WAREHOUSES),
    st.builds(MembersTold, EPOCHS),
    st.builds(StatementDispatched, EPOCHS, STATEMENTS, st.integers(1, 5)),
    st.builds(MessageArrived, EPOCHS),
    st.builds(StatementReleased, STATEMENTS),
)
ORDER = list(Phase)


@given(st.lists(EVENTS, max_size=40))
def test_no_interleaving_loses_a_statement(events: list[Event]) -> None:
    state = State()
    accepted: dict[str, int] = {}
    drained: set[str] = set()
    served: set[str] = set()
    for event in events:
        before = state
        state, decision = decide(state, event)
        match event:
            case StatementDispatched() if decision == Accept():
                assert event.epoch not in drained
                assert event.statement_id not in accepted
                assert event.epoch == before.epoch
                assert before.role == ROLE_HEAD
                accepted[event.statement_id] = event.attempt
            case StatementReleased():
                accepted.pop(event.statement_id, None)
            case DrainAsked() if decision == Accept():
                drained.add(event.epoch)
            case BindAsked() if not isinstance(decision, Refuse):
                assert event.epoch not in drained
                served.add(event.warehouse_uid)
            case _:
                pass
        assert dict(state.held) == accepted
        assert state.is_empty == (state.epoch in drained and not accepted)
        forward = ORDER.index(state.phase) >= ORDER.index(before.phase)
        assert forward or (before.phase, state.phase) == (Phase.PARKED, Phase.BOUND)
        assert before.epoch in (None, state.epoch) or before.phase is Phase.PARKED
        assert len(served) <= 1
