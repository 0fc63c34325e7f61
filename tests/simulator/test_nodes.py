"""What happens to nodes: parked, failed, leased for a scan, kept warm by the forecast, all by the real decisions."""

from decimal import Decimal
from typing import Any

import pytest
from firn_simulator.account import Account
from firn_simulator.recorder import Recorder
from firn_simulator.summary import Summary, summarise

from tests.simulator.workloads import at, workload

NODE = {"cpu": "8", "memory": "16Gi"}
BURSTS = {"size": "S", "queryAcceleration": {"enabled": True, "leaseSeconds": 20}}
SCAN = at(10, 1600, scan="100Gi")


def pool(**spec: Any) -> dict[str, Any]:
    """Return a pool with some fields of its spec."""
    return {"name": "default", "spec": {"node": NODE, "warm": {"min": 8, "max": 40}, **spec}}


def run(*arguments: Any, **settings: Any) -> tuple[Summary, Recorder]:
    recorder = Account(workload(*arguments, **settings)).run()
    return summarise("run", recorder), recorder


TWICE = {"kind": "list", "statements": [{"at": 10, "cpuSeconds": 320}, {"at": 100, "cpuSeconds": 320}]}
SUSPENDS = {"size": "M", "autoSuspendSeconds": 5}


def test_the_next_resume_takes_the_parked_nodes_and_they_are_not_billed() -> None:
    kept, _ = run(SUSPENDS, TWICE, duration=200)
    deleted, _ = run(SUSPENDS, TWICE, duration=200, pool=pool(parked={"maxNodes": 0}))
    assert (kept.parked_claims, deleted.parked_claims) == (4, 0)
    assert kept.parked_node_hours > 4 * 70 / 3600
    assert kept.credits == pytest.approx(deleted.credits, rel=Decimal("0.1"))
    assert kept.ran.longest == pytest.approx(deleted.ran.longest, abs=0.1)  # of the first, whose nodes come warm
    assert kept.ran.p50 < deleted.ran.p50 - 0.5  # the parked workers have joined their head already


def test_parked_nodes_are_given_up_when_they_were_kept_long_enough() -> None:
    summary, recorder = run(SUSPENDS, TWICE, duration=200, pool=pool(parked={"maxNodes": 4, "keepSeconds": 30}))
    assert summary.parked_claims == 0
    assert (recorder.parked_nodes.peak, recorder.parked_nodes.value) == (4, 0 if recorder.seconds > 160 else 4)


def test_of_a_failed_node_statements_run_again_and_none_is_lost() -> None:
    stream = {"kind": "poisson", "perHour": 400, "cpuSeconds": 60}
    spec = {"size": "S", "maxClusterCount": 2}
    summary, recorder = run(spec, stream, duration=3600, physics={"failures": 6}, seed=2)
    assert summary.node_failures > 5
    assert summary.reruns > 0
    assert recorder.submitted == summary.statements
    again, _ = run(spec, stream, duration=3600, physics={"failures": 6}, seed=2)
    assert again == summary


def test_a_long_scan_gets_burst_nodes_and_they_are_billed_apart() -> None:
    alone, _ = run({"size": "S"}, SCAN, duration=300)
    summary, recorder = run(BURSTS, SCAN, duration=300)
    assert summary.ran.longest < 0.7 * alone.ran.longest
    assert 0 < summary.burst_nodes_peak <= 8 * 2  # the default scale factor, times the warehouse's nodes
    assert 0 < summary.burst_credits < summary.credits
    assert recorder.burst_nodes.value == 0
    assert summary.utilisation <= 1


def test_a_scale_factor_and_the_pools_share_bound_the_burst_nodes() -> None:
    spec = BURSTS | {"queryAcceleration": {"enabled": True, "maxScaleFactor": 1}}
    assert run(spec, SCAN, duration=300)[0].burst_nodes_peak == 2
    assert run(BURSTS, SCAN, duration=300, pool=pool(burstShare=30))[0].burst_nodes_peak == 3
    assert run(BURSTS, SCAN, duration=300, pool=pool(burstShare=0))[0].burst_nodes_peak == 0


def test_short_scans_ask_for_no_burst_nodes() -> None:
    assert run(BURSTS, at(10, 1600, scan="3Gi"), duration=300)[0].burst_nodes_peak == 0
    assert run(BURSTS, at(10, 80, scan="100Gi"), duration=300)[0].burst_nodes_peak == 0


def test_while_burst_nodes_scan_others_have_more_of_the_warehouse() -> None:
    others = {"kind": "list", "statements": [{"at": 30, "cpuSeconds": 4, "count": 40}]}
    spec = BURSTS | {"maxConcurrencyLevel": 1}
    waited, _ = run({"size": "S", "maxConcurrencyLevel": 1}, SCAN, others, duration=300)
    helped, _ = run(spec, SCAN, others, duration=300)
    assert helped.queued.p50 < waited.queued.p50


def test_the_forecast_keeps_as_many_warm_as_the_claims_of_late_need() -> None:
    stream = {"kind": "poisson", "perHour": 120, "cpuSeconds": 4}
    spec = {"autoSuspendSeconds": 1}
    pools = [pool(warm={"min": 0, "max": 20, "forecast": forecast}, parked={"maxNodes": 0}) for forecast in (0, 1)]
    without, forecast = (run(spec, stream, count=4, duration=7200, pool=each)[0] for each in pools)
    assert without.pool_hits == 0
    assert without.misses_by_reason == {"NotKept": without.pool_misses}
    assert forecast.hit_rate is not None
    assert forecast.hit_rate > 0.95
    assert forecast.idle_node_hours < 20 * 2


def test_the_pool_leaves_the_processor_to_nodes_that_join() -> None:
    refill = {"delaySeconds": 1, "maxBooting": 8}
    full_at = []
    for join in (0.1, 30):
        _, recorder = run({"size": "M"}, at(10, 32), duration=60, pool=pool(refill=refill), physics={"join": join})
        nodes = zip(recorder.idle_nodes.at_seconds, recorder.idle_nodes.values, strict=True)
        full_at.append(max(seconds for seconds, idle in nodes if idle == 8))
    assert full_at == [pytest.approx(10 + 1 + 4, abs=0.3), pytest.approx(10 + 5 + 4, abs=0.3)]
