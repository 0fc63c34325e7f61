"""What burst nodes would have done for a past statement."""

from typing import Any

import pytest
from firn_services.decide.acceleration import Estimate, Obstacle, Past, Status, estimate
from hypothesis import given
from hypothesis import strategies as st

GIB = 1 << 30


def past(**more: Any) -> Past:
    """Return a statement of 300 s that scanned 100 GiB for 200 of them, on four nodes."""
    usual = {"seconds": 300.0, "scan_seconds": 200.0, "scan_bytes": 100 * GIB, "nodes": 4, "cores": 8}
    return Past(**{**usual, **more})


def small(seconds: float = 300) -> Estimate:
    return Estimate(Status.INELIGIBLE, seconds, obstacle=Obstacle.SMALL_SCAN)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(None, Estimate(Status.INVALID), id="no such statement"),
        pytest.param(past(burst_tasks=1), Estimate(Status.ACCELERATED, 300), id="it had burst nodes"),
        pytest.param(past(scan_bytes=0), small(), id="it scanned nothing"),
        pytest.param(past(scan_bytes=4 * GIB - 1), small(), id="it scanned too little"),
        pytest.param(past(scan_seconds=9.9), small(), id="not for long enough"),
        pytest.param(past(nodes=128, scan_bytes=100 << 20), small(), id="too little for as many nodes again"),
        pytest.param(
            past(obstacle=Obstacle.WRITES), Estimate(Status.INELIGIBLE, 300, obstacle=Obstacle.WRITES), id="it writes"
        ),
        pytest.param(past(seconds=5.0), small(5), id="no scan is longer than its statement"),
    ],
)
def test_who_gains_nothing(found: Past | None, expected: Estimate) -> None:
    assert estimate(found, 4 * GIB, 10) == expected


def test_scans_are_shared_and_the_rest_stays() -> None:
    found = estimate(past(), 4 * GIB, 10)
    assert found.status is Status.ELIGIBLE
    assert found.times[1] == 100 + 200 / 2
    assert found.times[8] == 100 + 200 / 9
    assert found.upper_limit == 28  # 106.9 s; a hundred would make it 102 s
    assert list(found.times) == [1, 2, 4, 8, 16, 28]


def test_what_was_not_measured_is_guessed_from_bytes_and_processes() -> None:
    found = estimate(past(scan_seconds=0.0, nodes=1, cores=1, scan_bytes=10 * 10**9), 4 * GIB, 10)
    assert found.times[1] == 300 - 100 / 2


def test_a_statement_that_only_scans_little_more_than_its_cluster_does() -> None:
    found = estimate(past(nodes=64, scan_bytes=2 * GIB), GIB, 10)
    assert list(found.times) == [1, 2]


@given(
    st.floats(0, 1e5), st.floats(0, 1e5), st.integers(0, 1 << 50), st.integers(1, 512), st.integers(1, 64)
)  # fmt: skip
def test_more_nodes_are_never_slower(seconds: float, scan: float, size: int, nodes: int, cores: int) -> None:
    found = estimate(Past(seconds, scan, size, nodes, cores), 4 * GIB, 10)
    times = [found.times[factor] for factor in sorted(found.times)]
    assert times == sorted(times, reverse=True)
    assert all(0 < time <= seconds for time in times)
    assert found.upper_limit <= 100
    assert (found.status is Status.ELIGIBLE) == bool(times)
