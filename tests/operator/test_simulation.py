"""Random interleavings of statements, suspensions, deaths and restarts against the operator's real decisions."""

import pytest
from firn_operator.decide.warehouse import Observed, decide

from tests.operator.observations import ALIVE
from tests.operator.simulated_account import SimulatedAccount
from tests.operator.simulated_world import TARGET


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_lost_claimed_twice_or_made_too_often(seed: int) -> None:
    account = SimulatedAccount(seed, warehouse_count=1 + seed % 3)
    for _ in range(400):
        account.step()
    account.calm_down()
    assert account.finished == account.accepted
    assert account.clusters == {}
    assert len([n for n in account.nodes.values() if n.is_warm and n.ready]) == TARGET
    assert len(account.nodes) == TARGET
    for known in account.warehouses.values():
        assert decide(Observed(known, (), ALIVE), account.now).actions == ()
