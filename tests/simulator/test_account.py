"""Whole accounts on the simulated clock, with the real decisions."""

from decimal import Decimal

import pytest
from firn_simulator.account import Account
from firn_simulator.summary import Summary, summarise

from tests.simulator.workloads import at, workload


def run(*arguments: object, **settings: object) -> Summary:
    return summarise("run", Account(workload(*arguments, **settings)).run())  # type: ignore[arg-type]


def test_the_first_statement_resumes_its_warehouse_from_the_pool() -> None:
    summary = run({}, at(10, 8), duration=60)
    assert summary.statements == 1
    assert 0.03 < summary.queued.p50 < 0.15  # the pool was warm: docs/benchmarks.md
    assert summary.ran.p50 == pytest.approx(1.0, abs=0.01)
    assert (summary.pool_hits, summary.pool_misses, summary.resumes) == (1, 0, 1)


def test_without_a_warm_node_it_waits_for_one_to_boot() -> None:
    pool = {"name": "default", "spec": {"warm": {"min": 0, "max": 0}}}
    summary = run({}, at(10, 1), duration=60, pool=pool)
    assert 4.0 < summary.queued.p50 < 5.0
    assert (summary.pool_hits, summary.pool_misses) == (0, 1)


def test_it_is_billed_from_its_head_to_its_release_and_suspended_it_bills_nothing() -> None:
    summary = run({"size": "S", "autoSuspendSeconds": 60}, at(10, 16), duration=36_000)
    assert summary.credits == pytest.approx(2 * Decimal(63) / 3600, rel=Decimal("0.03"))


def test_never_suspending_bills_until_the_end() -> None:
    summary = run({"autoSuspendSeconds": 0}, at(10, 8), duration=3_610)
    assert summary.credits == pytest.approx(Decimal(1), rel=Decimal("0.001"))


def test_a_cluster_runs_as_many_statements_as_it_may() -> None:
    summary = run({}, at(0, 8, count=9), duration=60)
    assert summary.ran.longest == pytest.approx(8.0, abs=0.1)
    assert 8.0 < summary.queued.longest < 8.3
    assert summary.queued.p50 < 0.15


def test_statements_that_wait_too_long_end() -> None:
    summary = run({"statementQueuedTimeoutSeconds": 5}, at(0, 8, count=16), duration=60)
    assert (summary.statements, summary.expired) == (8, 8)


def test_statements_that_run_too_long_end_and_the_next_have_their_turn() -> None:
    summary = run({"statementTimeoutSeconds": 4}, at(0, 8, count=16), duration=60)
    assert (summary.statements, summary.expired) == (0, 16)


def test_small_statements_count_as_fractions() -> None:
    summary = run({"size": "M"}, at(0, 8, count=8 * 32, dop=1), duration=60)  # MAX_CONCURRENCY times MAX_DOP
    assert summary.queued.longest < 0.15


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    stream = {"kind": "poisson", "perHour": 600, "cpuSeconds": 5}
    one, again, other = (run({}, stream, seed=seed).as_json() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_statements_that_end_together_let_a_draining_cluster_go() -> None:
    summary = run({"size": "S", "maxClusterCount": 3, "autoSuspendSeconds": 1}, at(0, 900, count=20), duration=600)
    assert summary.statements == 20


def test_a_released_cluster_is_gone() -> None:
    account = Account(workload({"size": "S", "autoSuspendSeconds": 1}, at(5, 10), duration=100))
    account.run()
    assert account.warehouses["w"].clusters == {}
