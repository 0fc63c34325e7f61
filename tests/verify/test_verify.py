"""The short part of `make verify`: random statements, and some of TPC-DS, each in one of the settings by turns."""

import pytest
from firn_local.cache import Cache
from firn_local.layout import Layout

from tests.verify import suites
from tests.verify.differences import REFUSED
from tests.verify.matrix import Condition, Setting, by_turns, settings
from tests.verify.random_statements import random_statement
from tests.verify.running import Rig, rig
from tests.verify.server import serving
from tests.verify.suites import Suite

pytestmark = pytest.mark.component

RANDOM = [Setting(1, Condition.COLD), Setting(2, Condition.SPILLING), Setting(3, Condition.KILLED)]
BENCHMARK = [Setting(2, Condition.WARM), Setting(2, Condition.KILLED), Setting(3, Condition.STEALING)]


async def answered(suite: Suite, setting: Setting, names: list[str]) -> Rig:
    """Run statements in a setting; each must be right."""
    dataset = suite.dataset.on_one_node() if setting.condition is Condition.STEALING else suite.dataset
    with serving() as server:
        async with rig(setting, server, server.bring(dataset)) as running:
            for name in names:
                ready = running.ready(*suite.statement(name))
                for run, wrong in (await running.verdicts(ready)).items():
                    text = f"{name}, {run}: {wrong}\n{ready.statement.firn}"
                    assert wrong is None or any(words in wrong for words in REFUSED), text
    return running


@pytest.mark.parametrize("turn", range(len(RANDOM)), ids=[str(setting) for setting in RANDOM])
async def test_random_statements_are_right(turn: int) -> None:
    suite = suites.random(100_021, 60)  # the first with a killed node is 100,029: its scans are left without files
    setting, names = list(by_turns(list(suite.names), RANDOM))[turn]
    running = await answered(suite, setting, names)
    assert (running.in_stages > len(names) / 3) == (setting.nodes > 1)
    assert (running.spilled_bytes > 0) == (setting.condition is Condition.SPILLING)
    assert (running.lost_nodes > 0) == (setting.condition is Condition.KILLED)


@pytest.mark.parametrize("turn", range(len(BENCHMARK)), ids=[str(setting) for setting in BENCHMARK])
async def test_statements_of_tpcds_are_right(turn: int) -> None:
    suite = suites.tpcds(Cache(Layout.from_environment().cache), "0.01")
    setting, names = list(by_turns(list(suite.names[::12]), BENCHMARK))[turn]
    running = await answered(suite, setting, names)
    assert running.in_stages == len(names) * len(setting.runs)
    assert (running.stolen > 0) or setting.condition is not Condition.STEALING
    if setting.condition is Condition.WARM:  # a stolen task may read from the store
        assert running.bytes_from_cache[Condition.WARM] > 5 * running.bytes_from_cache[Condition.COLD]


def test_a_seed_is_one_statement() -> None:
    assert random_statement(7) == random_statement(7)
    assert random_statement(7) != random_statement(8)


def test_the_matrix_has_all_that_is_possible() -> None:
    assert len(settings()) == 2 + 3 * len(Condition)
    assert len({name for _, names in by_turns([str(n) for n in range(99)], settings()) for name in names}) == 99
