"""What must hold of every account, whatever its statements: seeded simulations with the real decisions."""

import itertools
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from firn_model.warehouses import ScalingPolicy
from firn_simulator.account import Account
from firn_simulator.clock import EPOCH
from firn_simulator.warehouse import SimulatedWarehouse

from tests.simulator.workloads import at, workload

PACING = timedelta(seconds=20)


def random_account(seed: int) -> Account:
    random = Random(seed)
    low = random.randint(1, 3)
    spec = {
        "size": random.choice(["XS", "S", "M"]),
        "minClusterCount": low,
        "maxClusterCount": low + random.randint(0, 4),
        "scalingPolicy": random.choice(list(ScalingPolicy)).value,
        "autoSuspendSeconds": random.choice([0, 1, 60, 600]),
        "maxConcurrencyLevel": random.choice([1, 4, 8]),
        "statementQueuedTimeoutSeconds": random.choice([0, 0, 120]),
    }
    pool = {
        "name": "default",
        "machines": random.choice([None, 40]),
        "spec": {"node": {"cpu": "4"}, "warm": {"min": random.randint(0, 6), "max": 10}},
    }
    streams: list[dict[str, Any]] = [
        {"kind": "poisson", "perHour": random.choice([20, 200, 800]), "cpuSeconds": random.choice([1, 20])},
        at(random.uniform(0, 600), 30, count=random.randint(1, 150)),
    ]
    return Account(workload(spec, *streams, count=random.randint(1, 3), pool=pool, seed=seed, duration=1200))


class Watch:
    """Looks at a warehouse after every event."""

    def __init__(self, warehouse: SimulatedWarehouse) -> None:
        self.warehouse = warehouse
        self.starts: dict[str, Any] = {}

    def look(self) -> None:
        wanted = [c.known for c in self.warehouse.clusters.values() if not c.known.is_leaving]
        assert len(wanted) <= self.warehouse.spec.max_cluster_count
        for cluster in wanted:
            if cluster.automatic:
                self.starts.setdefault(cluster.uid, cluster.requested_at)

    def end(self) -> None:
        moments = sorted(self.starts.values())
        assert all(b - a >= PACING for a, b in itertools.pairwise(moments))


@pytest.mark.parametrize("seed", range(16))
def test_no_statement_is_lost_and_clusters_stay_in_their_range_and_pace(seed: int) -> None:
    account = random_account(seed)
    watches = [Watch(w) for w in account.warehouses.values()]
    account.start()
    while account.step():
        for watch in watches:
            watch.look()
    recorder = account.finish()
    for watch in watches:
        watch.end()
    assert recorder.submitted == len(recorder.arrived) + recorder.expired
    assert all(sum(w.counts) == 0 for w in account.warehouses.values())


@pytest.mark.parametrize("auto_suspend", [1, 60, 600])
def test_a_suspended_warehouse_bills_nothing(auto_suspend: int) -> None:
    spec = {"size": "S", "maxClusterCount": 3, "autoSuspendSeconds": auto_suspend}
    burst = at(5, 10, count=60)
    short, long = (Account(workload(spec, burst, duration=hours * 3600)).run() for hours in (2, 48))
    assert short.credits == long.credits > 0


def test_a_standing_queue_has_ten_clusters_within_about_200_seconds() -> None:
    """The seed article's worked example of the Standard policy."""
    pool = {"name": "default", "spec": {"warm": {"min": 12, "max": 20}}}
    recorder = Account(workload({"maxClusterCount": 10}, at(0, 4000, count=200), duration=400, pool=pool)).run()
    course = zip(recorder.clusters.at_seconds, recorder.clusters.values, strict=True)
    tenth = next(seconds for seconds, clusters in course if clusters == 10)
    assert 150 < tenth <= 200
    assert recorder.clusters.peak == 10
    assert recorder.ended_at > EPOCH


def test_workers_come_from_the_pool_and_join_while_the_first_statement_runs() -> None:
    recorder = Account(workload({"size": "M"}, at(10, 320), duration=60)).run()
    assert (recorder.hits, recorder.misses.total()) == (4, 0)
    assert 10 < recorder.ran[0] < 13  # 320 CPU seconds on 8 processors for 1.7 s, then on 32
