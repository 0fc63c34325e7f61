"""What a cold cache costs: new clusters read from the object store what parked nodes still have."""

from typing import Any

import pytest
from firn_simulator.account import Account
from firn_simulator.cache import Cache
from firn_simulator.recorder import Recorder

from tests.simulator.workloads import POOL, workload

GIB = 1 << 30
SPEC = {"size": "S", "autoSuspendSeconds": 5}
COLD = {"coldRead": "1Gi"}


def scans(*moments: float, scan: str = "8Gi") -> dict[str, Any]:
    return {"kind": "list", "statements": [{"at": at, "cpuSeconds": 32, "scan": scan} for at in moments]}


def run(*moments: float, parked: int = 0, disk: str = "32Gi", **rest: Any) -> Recorder:
    node = {"cpu": "8", "memory": "16Gi", "localStorage": disk}
    spec = POOL["spec"] | {"node": node, "parked": {"maxNodes": parked}}  # type: ignore[operator]
    pool = {"name": "default", "spec": spec}
    return Account(workload(SPEC, scans(*moments), pool=pool, duration=max(moments) + 1, **rest)).run()


def test_a_larger_scan_reads_what_is_missing_and_a_smaller_one_nothing() -> None:
    cache = Cache(100, 1000)
    assert [cache.read(size) for size in (10, 10, 4, 25, 20)] == [10, 0, 0, 15, 0]
    assert Cache(0, 1000).read(10) == 0


def test_a_full_cache_keeps_what_it_has() -> None:
    cache = Cache(100, 10)
    assert [cache.read(size) for size in (8, 15, 15, 10)] == [8, 7, 5, 0]


def test_nothing_is_cold_unless_the_workload_says_how_fast_nodes_read() -> None:
    always = run(10, 100)
    assert always.cold_bytes == 0
    assert list(always.ran) == list(run(10, 100, physics={"coldRead": 0}).ran)


def test_only_the_first_scan_of_a_cluster_waits_for_the_object_store() -> None:
    """Two nodes of 1 GiB a second read 8 GiB in four seconds; the second has 16 processors for its work of 32 s."""
    recorder = run(10, 18, physics=COLD | {"join": 0})
    assert recorder.cold_bytes == 8 * GIB
    assert list(recorder.ran) == [pytest.approx(6, abs=0.1), pytest.approx(2, abs=0.1)]


def test_a_suspended_warehouse_comes_back_cold_unless_its_nodes_were_parked() -> None:
    deleted, kept = run(10, 100, physics=COLD), run(10, 100, parked=4, physics=COLD)
    assert (deleted.cold_bytes, kept.cold_bytes) == (16 * GIB, 8 * GIB)
    assert kept.ran[1] < deleted.ran[1] - 3


def test_nodes_with_small_disks_read_again_what_they_have_no_room_for() -> None:
    """Half of a disk is for the cache: of 8 GiB two nodes of 6 GiB keep 6 GiB."""
    recorder = run(10, 18, disk="6Gi", physics=COLD | {"join": 0})
    assert recorder.cold_bytes == (8 + 2) * GIB
    assert list(recorder.ran) == [pytest.approx(6, abs=0.1), pytest.approx(3, abs=0.1)]
