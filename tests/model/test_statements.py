"""A statement ends once, and only a running one goes back to its place."""

import pytest
from firn_model.statements import FINAL_STATES, TRANSITIONS, StatementState

QUEUED, RUNNING = StatementState.QUEUED, StatementState.RUNNING


@pytest.mark.parametrize("state", StatementState)
def test_a_final_state_is_one_that_nothing_follows(state: StatementState) -> None:
    assert state.is_final == (not TRANSITIONS[state]) == (state in FINAL_STATES)


@pytest.mark.parametrize("state", [QUEUED, RUNNING])
def test_an_open_statement_may_end_in_every_way(state: StatementState) -> None:
    assert TRANSITIONS[state] >= FINAL_STATES
    assert state not in TRANSITIONS[state]


def test_a_lost_cluster_sends_a_running_statement_back_to_the_queue() -> None:
    assert QUEUED in TRANSITIONS[RUNNING]
    assert RUNNING in TRANSITIONS[QUEUED]
