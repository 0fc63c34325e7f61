"""The node's state: tables, then random interleavings."""

from types import MappingProxyType

import pytest
from firn_model.messages import RefusalReason
from firn_runtime.state import (
    MOST_HELD,
    Accept,
    BindAsked,
    DrainAsked,
    EngineWarm,
    Event,
    MessageArrived,
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
BOUND = State(Phase.BOUND, "e1")
RUNNING = State(Phase.BOUND, "e1", MappingProxyType({"s1": 1}))
DRAINING = State(Phase.DRAINING, "e1", MappingProxyType({"s1": 1}))
DRAINED = State(Phase.DRAINED, "e1")
FULL = State(Phase.BOUND, "e1", MappingProxyType({f"s{n}": 1 for n in range(MOST_HELD)}))


@pytest.mark.parametrize(
    ("state", "event", "phase", "held"),
    [
        pytest.param(State(), EngineWarm(), Phase.WARM, set(), id="a booted engine warms the node"),
        pytest.param(BOUND, EngineWarm(), Phase.BOUND, set(), id="an engine that came back changes nothing"),
        pytest.param(WARM, BindAsked("e1"), Phase.BOUND, set(), id="a warm node is bound"),
        pytest.param(RUNNING, BindAsked("e1"), Phase.BOUND, {"s1"}, id="binding again changes nothing"),
        pytest.param(BOUND, StatementDispatched("e1", "s1", 1), Phase.BOUND, {"s1"}, id="a statement is held"),
        pytest.param(RUNNING, StatementReleased("s1"), Phase.BOUND, set(), id="a delivered statement is let go"),
        pytest.param(RUNNING, DrainAsked("e1"), Phase.DRAINING, {"s1"}, id="a drain waits for what is held"),
        pytest.param(DRAINING, StatementReleased("s1"), Phase.DRAINED, set(), id="the last release ends the drain"),
        pytest.param(BOUND, DrainAsked("e1"), Phase.DRAINED, set(), id="an idle node is drained at once"),
        pytest.param(DRAINED, DrainAsked("e1"), Phase.DRAINED, set(), id="draining again changes nothing"),
        pytest.param(WARM, DrainAsked("e1"), Phase.DRAINED, set(), id="a node that was never bound drains too"),
        pytest.param(DRAINING, MessageArrived("e1"), Phase.DRAINING, {"s1"}, id="a report is answered while draining"),
    ],
)
def test_accepts(state: State, event: Event, phase: Phase, held: set[str]) -> None:
    after, decision = decide(state, event)
    assert decision == Accept()
    assert after.phase is phase
    assert set(after.held) == held


@pytest.mark.parametrize(
    ("state", "event", "reason"),
    [
        pytest.param(State(), BindAsked("e1"), RefusalReason.NOT_READY, id="a booting node is not bound"),
        pytest.param(BOUND, BindAsked("e2"), RefusalReason.WRONG_EPOCH, id="a node is bound once"),
        pytest.param(DRAINED, BindAsked("e1"), RefusalReason.DRAINING, id="a drained node is not bound again"),
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
    ],
)
def test_refuses(state: State, event: Event, reason: RefusalReason) -> None:
    after, decision = decide(state, event)
    assert isinstance(decision, Refuse)
    assert decision.reason is reason
    assert after == state


EPOCHS = st.sampled_from(["e1", "e2"])
STATEMENTS = st.sampled_from(["s1", "s2", "s3"])
EVENTS = st.one_of(
    st.just(EngineWarm()),
    st.builds(BindAsked, EPOCHS),
    st.builds(DrainAsked, EPOCHS),
    st.builds(StatementDispatched, EPOCHS, STATEMENTS, st.integers(1, 5)),
    st.builds(MessageArrived, EPOCHS),
    st.builds(StatementReleased, STATEMENTS),
)
ORDER = list(Phase)


@given(st.lists(EVENTS, max_size=40))
def test_no_interleaving_loses_a_statement(events: list[Event]) -> None:
    state = State()
    accepted: dict[str, int] = {}
    drain_seen = False
    for event in events:
        before = state
        state, decision = decide(state, event)
        match event:
            case StatementDispatched() if decision == Accept():
                assert not drain_seen
                assert event.statement_id not in accepted
                assert event.epoch == before.epoch
                accepted[event.statement_id] = event.attempt
            case StatementReleased():
                accepted.pop(event.statement_id, None)
            case DrainAsked() if decision == Accept():
                drain_seen = True
            case _:
                pass
        assert dict(state.held) == accepted
        assert (state.phase is Phase.DRAINED) == (drain_seen and not accepted)
        assert before.epoch in (None, state.epoch)
        assert ORDER.index(state.phase) >= ORDER.index(before.phase)
