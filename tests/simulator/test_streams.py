"""Where statements come from."""

from typing import Any

import pytest
from firn_simulator.streams.all import arrivals
from firn_simulator.streams.arrival import generator
from firn_simulator.streams.cab import COST_US, SLOTS, pattern, scale_factors
from firn_simulator.streams.fleet import LATENCIES
from firn_simulator.workload import Workload

from tests.simulator.workloads import workload

STREAMS: list[dict[str, Any]] = [
    {"kind": "cab", "totalGb": 100, "cpuHours": 1},
    {"kind": "fleet", "statements": 5000},
    {"kind": "poisson", "perHour": 500, "cpuSeconds": 2},
    {"kind": "list", "statements": [{"at": 20, "cpuSeconds": 1}, {"at": 10, "cpuSeconds": 1, "count": 3}]},
]


def made(stream: dict[str, Any], seed: int = 1) -> Workload:
    return workload({}, stream, count=3, seed=seed, duration=7200)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda s: str(s["kind"]))
def test_arrivals_come_in_order_within_the_duration_and_by_seed(stream: dict[str, Any]) -> None:
    found = list(arrivals(made(stream)))
    assert found
    assert found == list(arrivals(made(stream)))
    times = [a.at for a in found]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 7200
    assert {a.warehouse for a in found} <= {"w-1", "w-2", "w-3"}
    if stream["kind"] != "list":
        assert found != list(arrivals(made(stream, seed=2)))


@pytest.mark.parametrize("total_gb", [50, 1000, 4000, 100_000])
def test_cab_databases_add_up_to_the_total(total_gb: float) -> None:
    factors = scale_factors(20, total_gb)
    assert 0.95 * total_gb <= sum(factors) <= total_gb
    assert factors == sorted(factors)


@pytest.mark.parametrize("seed", range(50))
def test_cab_patterns_are_shares(seed: int) -> None:
    slots = pattern(generator(seed))
    assert len(slots) == SLOTS
    assert min(slots) >= 0 < sum(slots)


def test_cab_uses_at_least_the_cpu_that_it_is_given() -> None:
    work = sum(a.cpu_seconds for a in arrivals(made(STREAMS[0])))
    assert 3600 <= work <= 3600 + 20 * SLOTS * max(COST_US) * 8 * 100 / 1e6


def test_a_fleet_has_the_number_and_the_latencies_of_its_figures() -> None:
    found = list(arrivals(workload({}, {"kind": "fleet", "statements": 20_000}, count=50, duration=86_400)))
    assert len(found) == pytest.approx(20_000, rel=0.05)
    for low, high, percent in LATENCIES[:5]:
        share = sum(low <= a.cpu_seconds < high for a in found) / len(found)
        assert share == pytest.approx(percent / 100, abs=0.01)
