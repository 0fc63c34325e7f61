"""One warehouse: its queue (the services) and its clusters (the operator), which hear of each other late."""

from datetime import datetime, timedelta

from firn_model.clusters import ClusterSpec, ClusterStatus
from firn_model.sizes import node_count
from firn_model.warehouses import (
    BurstRequest,
    ScalingStatus,
    WarehouseLoad,
    WarehouseSpec,
    WarehouseStatus,
)
from firn_operator.decide import warehouse as decisions
from firn_operator.decide.observed import Cluster, ServicesLease, Warehouse
from firn_operator.decide.parking import most_parked
from firn_operator.decide.scaling import NoteSpare
from firn_services.decide.load import Burst, Load
from firn_services.decide.need import Cluster as ServedCluster

from firn_simulator.clock import EPOCH, Loop
from firn_simulator.cluster import SimulatedCluster, Surroundings
from firn_simulator.pool import SimulatedPool
from firn_simulator.queue import Queue
from firn_simulator.statement import Statement

REPORTER = "services"
ALIVE = ServicesLease(1, REPORTER, EPOCH, timedelta(days=36500))


def _burst_request(burst: Burst) -> BurstRequest:
    return BurstRequest(
        cluster=burst.cluster,
        nodes=burst.nodes,
        expires_at=burst.expires_at,
        remaining_bytes=burst.remaining_bytes,
        remaining_seconds=burst.remaining_seconds,
    )


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
        self._seen_after = timedelta(seconds=self._watch)
        self._seen_at = EPOCH
        # What the API server would hold. It is changed in place: nobody keeps it, and a copy for each report of a
        # million statements takes longer than all that is decided about it.
        self._load = WarehouseLoad(observed_at=EPOCH, reporter=REPORTER, idle_since=EPOCH)
        status = WarehouseStatus(suspended_at=EPOCH, load=self._load)
        self._known = Warehouse(name, name, 1, 1, False, EPOCH, spec, status)
        self._observed: decisions.Observed | None = None
        self._made = 0
        self._nodes = node_count(spec.size, spec.type)
        self._queue = Queue(
            spec,
            cores * self._nodes,
            around.clock,
            around.physics,
            around.recorder,
            self._report,
            self._emptied,
            self._heard,
        )
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
        now = self._clock.now
        vars(self._load).update(
            running=load.running,
            queued=load.queued,
            queued_since=load.queued_since,
            idle_since=load.idle_since,
            queued_seconds=load.queued_seconds,
            clusters=load.clusters,  # they have the fields of a ClusterLoad
            burst=tuple([_burst_request(burst) for burst in load.burst]) if load.burst else (),
            observed_at=now,
        )
        if load.burst:
            for cluster in self.clusters.values():
                cluster.wake()
        self._expect(now)

    def _expect(self, now: datetime) -> None:
        """Have the operator look when it sees the report, if it will do something then: most reports change nothing.

        Reports that follow each other closely are seen together.
        """
        if self._seen_at <= now:
            self._seen_at = now + self._seen_after
        decision = decisions.decide(self._observe(), self._seen_at)
        when = self._seen_at if decision.actions else decision.wake_at
        if when is not None:
            self._loop.wake_at(when)

    def _emptied(self, cluster: str) -> None:
        if found := self.clusters.get(cluster):
            found.emptied()

    def _heard(self, cluster: str) -> None:
        """Let a cluster know which of its burst nodes work."""
        if found := self.clusters.get(cluster):
            found.hear()

    # What the operator decides

    @property
    def known(self) -> Warehouse:
        """The warehouse as the operator knows it."""
        return self._known

    def most_parked(self, cluster: SimulatedCluster) -> int:
        """Return how many nodes of a drained cluster may be parked."""
        return most_parked(cluster.known, self._known, [c.known for c in self.clusters.values()], self._pool.known)

    def _observe(self) -> decisions.Observed:
        """Return what the operator knows; of it the load changes in place, and the rest seldom."""
        if self._observed is None:
            known = tuple([c.known for c in self.clusters.values()])
            self._observed = decisions.Observed(self._known, known, ALIVE)
        return self._observed

    def _reconcile(self) -> datetime | None:
        now, observed = self._clock.now, self._observe()
        decision = decisions.decide(observed, now)
        for action in decision.actions:
            match action:
                case decisions.StartCluster():
                    self._start(action, observed.running_since or now, now)
                case decisions.DrainCluster():
                    self._drain(action, now)
                case NoteSpare(since, clusters):
                    self._remember(spares_since=since, spares_of=clusters)
                case decisions.ResizeCluster():
                    raise AssertionError("no spec changes here")
        return now if decision.actions else decision.wake_at

    def _remember(self, **changes: object) -> None:
        """Keep what the scaling policy remembers, in the status."""
        scaling = (self._known.status.scaling or ScalingStatus()).model_copy(update=changes)
        vars(self._known.status).update(scaling=scaling)

    def _start(self, action: decisions.StartCluster, resumed_at: datetime, now: datetime) -> None:
        name = f"{self.name}-{action.index}"
        spec = ClusterSpec.model_construct(
            warehouse=self.name, index=action.index, size=self.spec.size, type=self.spec.type, pool=self.spec.pool
        )
        recorder = self._around.recorder
        recorder.starts[action.reason.value] += 1
        if all(c.known.is_leaving for c in self.clusters.values()):
            recorder.resumes += 1
            vars(self._known.status).update(resumed_at=now)
        if action.automatic:
            self._remember(last_start_at=now)
        self._made += 1
        known = Cluster(
            name=name,
            uid=f"{name}/{self._made}",
            version=1,
            generation=1,
            deleting=False,
            has_finalizer=True,
            warehouse_uid=self.name,
            created_at=now,
            requested_at=now,
            spec=spec,
            status=ClusterStatus(),
            resumed_at=resumed_at,
            automatic=action.automatic,
        )
        cluster = SimulatedCluster(known, self._pool, self, self._around, self.cores)
        self.clusters[name] = cluster
        self._observed = None
        self._clock.after(self._around.physics.create, cluster.wake)

    def _drain(self, action: decisions.DrainCluster, now: datetime) -> None:
        self.clusters[action.name].drain()
        if all(c.known.is_leaving for c in self.clusters.values()):
            vars(self._known.status).update(suspended_at=now)

    # What its clusters tell

    def cluster_changed(self, cluster: SimulatedCluster) -> None:
        """Look at the warehouse."""
        self._observed = None
        self._loop.wake()

    def cluster_serves(self, cluster: SimulatedCluster) -> None:
        """Let the services see the endpoint, by their watch."""
        self._clock.after(self._watch, lambda: self._serve(cluster))

    def _serve(self, cluster: SimulatedCluster) -> None:
        known = cluster.known
        if known.is_running:
            memory_bytes = self._memory_bytes * cluster.sharing.nodes
            served = ServedCluster(
                known.name, known.spec.index, cluster.size, self.cores, memory_bytes, epoch=known.uid
            )
            self._queue.serve(served, cluster.sharing, cluster.cache)

    def nodes_joined(self, cluster: SimulatedCluster) -> None:
        """Let the services know of its nodes, and its statements go faster."""
        self._serve(cluster)

    def holds_nothing(self, cluster: SimulatedCluster) -> bool:
        """Have it take no more statements; return whether none is left."""
        return self._queue.drain(cluster.known.name)

    def head_lost(self, cluster: SimulatedCluster) -> None:
        """Put its statements back into their places."""
        self._queue.lose(cluster.known.name)

    def cluster_gone(self, cluster: SimulatedCluster) -> None:
        """Forget it; its index is free."""
        del self.clusters[cluster.known.name]
        self._observed = None
        self._loop.wake()
