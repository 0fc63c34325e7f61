"""One warehouse: its queue (the services) and its clusters (the operator), which hear of each other late."""

from datetime import datetime, timedelta

from firn_model.clusters import ClusterSpec
from firn_model.warehouses import WarehouseLoad, WarehouseSpec, WarehouseStatus
from firn_operator.decide import warehouse as decisions
from firn_operator.decide.observed import ServicesLease, Warehouse
from firn_services.decide.load import Load
from firn_services.decide.schedule import Cluster as ServedCluster

from firn_simulator.clock import EPOCH, Loop
from firn_simulator.cluster import SimulatedCluster, Surroundings, new_cluster
from firn_simulator.pool import SimulatedPool
from firn_simulator.queue import Queue
from firn_simulator.statement import Statement

REPORTER = "services"
ALIVE = ServicesLease(1, REPORTER, EPOCH, timedelta(days=36500))


class SimulatedWarehouse:
    """A VirtualWarehouse."""

    def __init__(
        self, name: str, spec: WarehouseSpec, pool: SimulatedPool, cores: int, memory_bytes: int, around: Surroundings
    ) -> None:
        self.name = name
        self.spec = spec
        self.clusters: dict[str, SimulatedCluster] = {}
        self._pool = pool
        self.cores = cores
        self._memory_bytes = memory_bytes
        self._around = around
        self._clock = around.clock
        self._watch = around.physics.watch
        self._load: WarehouseLoad | None = None
        self._status = WarehouseStatus(suspended_at=EPOCH)
        self._made = 0
        self._queue = Queue(spec, around.clock, around.physics, around.recorder, self._report, self._emptied)
        self._loop = Loop(around.clock, self._reconcile)

    def submit(self, statement: Statement) -> None:
        """Take a statement."""
        self._queue.add(statement)

    @property
    def counts(self) -> tuple[int, int]:
        """How many statements wait and run."""
        return self._queue.counts

    def close(self) -> None:
        """Bill what still runs: the run is over."""
        for cluster in self.clusters.values():
            cluster.close()

    # What the services write

    def _report(self, load: Load) -> None:
        self._load = WarehouseLoad.model_construct(
            running=load.running,
            queued=load.queued,
            queued_since=load.queued_since,
            idle_since=load.idle_since,
            observed_at=self._clock.now,
            reporter=REPORTER,
        )
        self._loop.wake(self._watch)

    def _emptied(self, cluster: str) -> None:
        if found := self.clusters.get(cluster):
            found.emptied()

    # What the operator decides

    def _reconcile(self) -> datetime | None:
        now = self._clock.now
        known = tuple(c.known for c in self.clusters.values())
        decision = decisions.decide(decisions.Observed(self._warehouse(), known, ALIVE), now)
        for action in decision.actions:
            if isinstance(action, decisions.StartCluster):
                self._start(action, now)
            else:
                self._drain(action, now)
        return None if decision.actions else decision.wake_at

    def _warehouse(self) -> Warehouse:
        status = self._status.model_copy(update={"load": self._load})
        return Warehouse(self.name, self.name, 1, 1, False, EPOCH, self.spec, status)

    def _start(self, action: decisions.StartCluster, now: datetime) -> None:
        name = f"{self.name}-{action.index}"
        spec = ClusterSpec.model_construct(
            warehouse=self.name, index=action.index, size=self.spec.size, type=self.spec.type, pool=self.spec.pool
        )
        recorder = self._around.recorder
        recorder.starts[action.reason.value] += 1
        if not any(not c.known.is_leaving for c in self.clusters.values()):
            recorder.resumes += 1
            self._status = self._status.model_copy(update={"resumed_at": now})
        self._made += 1
        known = new_cluster(name, self.name, spec, now, self._made)
        cluster = SimulatedCluster(known, self._pool, self, self._around, self.cores)
        self.clusters[name] = cluster
        self._clock.after(self._around.physics.create, cluster.wake)

    def _drain(self, action: decisions.DrainCluster, now: datetime) -> None:
        self.clusters[action.name].drain()
        if all(c.known.is_leaving for c in self.clusters.values()):
            self._status = self._status.model_copy(update={"suspended_at": now})

    # What its clusters tell

    def cluster_changed(self, cluster: SimulatedCluster) -> None:
        """Look at the warehouse."""
        self._loop.wake()

    def cluster_serves(self, cluster: SimulatedCluster) -> None:
        """Let the services see the endpoint, by their watch."""
        self._clock.after(self._watch, lambda: self._serve(cluster))

    def _serve(self, cluster: SimulatedCluster) -> None:
        if not cluster.known.is_leaving:
            index = cluster.known.spec.index
            served = ServedCluster(cluster.known.name, index, self.cores, self._memory_bytes)
            self._queue.serve(served, cluster.sharing)

    def nodes_joined(self, cluster: SimulatedCluster) -> None:
        """Let its statements go faster."""
        self._queue.nodes_changed(cluster.known.name)

    def holds_nothing(self, cluster: SimulatedCluster) -> bool:
        """Have it take no more statements; return whether none is left."""
        return self._queue.drain(cluster.known.name)

    def cluster_gone(self, cluster: SimulatedCluster) -> None:
        """Forget it; its index is free."""
        del self.clusters[cluster.known.name]
        self._loop.wake()
