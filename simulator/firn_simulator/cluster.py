"""The operator's side of one warehouse cluster, by the operator's own decision: claimed, bound, drained, released."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from firn_model.clusters import ClusterPhase
from firn_model.pools import MemoryClass
from firn_model.sizes import WarehouseSize, WarehouseType, node_count
from firn_operator.decide import cluster_actions as decisions
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_observed import Observed, Talk
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason

from firn_simulator.clock import Clock, Loop
from firn_simulator.pool import SimulatedPool
from firn_simulator.recorder import Recorder
from firn_simulator.sharing import Sharing
from firn_simulator.workload import Physics


class Owner(Protocol):
    """The warehouse of a cluster, which hears of what happens to it."""

    def cluster_changed(self, cluster: "SimulatedCluster") -> None:
        """Look at what has changed of its status or spec."""

    def cluster_serves(self, cluster: "SimulatedCluster") -> None:
        """Send it statements: its endpoint is written."""

    def nodes_joined(self, cluster: "SimulatedCluster") -> None:
        """Let its statements run on the nodes that have joined."""

    def holds_nothing(self, cluster: "SimulatedCluster") -> bool:
        """Have it take no more statements; return whether none is left."""

    def cluster_gone(self, cluster: "SimulatedCluster") -> None:
        """Forget it: the resource is gone."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What clusters share."""

    clock: Clock
    physics: Physics
    recorder: Recorder


class SimulatedCluster:
    """A WarehouseCluster, its head's agent and its nodes."""

    def __init__(self, known: Cluster, pool: SimulatedPool, owner: Owner, around: Surroundings, cores: int) -> None:
        self.known = known
        self.size = node_count(known.spec.size, known.spec.type)
        self.sharing = Sharing(cores, self.size, around.clock.now)
        self._pool = pool
        self._owner = owner
        self._clock = around.clock
        self._physics = around.physics
        self._recorder = around.recorder
        self._cores = cores
        self._nodes: dict[str, Node] = {}
        self._talk: Talk | None = None
        self._busy = False
        self._waited = False
        self._started_at: datetime | None = None
        self._loop = Loop(around.clock, self._reconcile)
        self._recorder.clusters.add(1, around.clock.now)

    def wake(self) -> None:
        """Look at it now."""
        self._loop.wake()

    def drain(self) -> None:
        """Have it drain, as its warehouse wants."""
        self._pool.wait_no_more(self.known.uid)
        spec = self.known.spec.model_copy(update={"drain": True})
        self._put(replace(self.known, spec=spec))
        self._owner.holds_nothing(self)

    def emptied(self) -> None:
        """Acknowledge the drain: the last statement has ended."""
        if self._talk is not None:
            self._talk = replace(self._talk, drained=True)
        self.wake()

    @property
    def _head_alone(self) -> Cluster:
        """The cluster as if its head were all: the pool gives heads here, and the other nodes join with them."""
        spec = self.known.spec.model_copy(update={"size": WarehouseSize.XS, "type": WarehouseType.STANDARD})
        return replace(self.known, spec=spec)

    # Deciding and doing

    def _reconcile(self) -> datetime | None:
        if self._busy:
            return None
        now = self._clock.now
        spare = self._pool.spare() if not self._nodes else None
        observed = Observed(
            cluster=self._head_alone,
            nodes=tuple(self._nodes.values()),
            spares=(spare,) if spare else (),
            talks={self._talk.uid: self._talk} if self._talk else {},
            memory_class=MemoryClass.STANDARD,
        )
        decision = decide(observed, now)
        for action in decision.actions:
            self._do(action)
        if decision.reason is Reason.NO_WARM_NODE and not self._waited:
            self._waited = True
            self._pool.wait(self.known.uid, self.wake)
        return decision.wake_at if not decision.actions else None

    def _do(self, action: decisions.Action) -> None:
        match action:
            case decisions.ClaimHead(node=node):
                self._pool.promise(node, self.known.uid)
                self._in(self._physics.claim, lambda: self._claimed(node))
            case decisions.BindHead(node=node):
                self._in(self._physics.bind, lambda: self._bound(node))
            case decisions.BeginDrain():
                self._status(phase=ClusterPhase.DRAINING)
            case decisions.DrainHead(node=node):
                self._talk = Talk(node.uid, drained=self._owner.holds_nothing(self))
                if self._talk.drained:
                    self.wake()
            case decisions.MarkDrained():
                self._status(phase=ClusterPhase.DRAINED, drained=True, endpoint=None)
            case decisions.DeleteCluster():
                self._put(replace(self.known, deleting=True))
            case decisions.ReleaseNode(node=node):
                self._release(node)
            case decisions.RemoveFinalizer():
                self._gone()
            case _:
                raise AssertionError(f"nothing fails here, so nothing asks for {action}")

    def _in(self, seconds: float, done: Callable[[], None]) -> None:
        """Do one thing at a time, as the operator's loop does."""
        self._busy = True

        def finish() -> None:
            self._busy = False
            done()
            self.wake()

        self._clock.after(seconds, finish)

    def _claimed(self, node: Node) -> None:
        claimed = self._pool.claimed(node, self.known.name, self.known.uid, hit=not self._waited)
        self._nodes[node.name] = claimed

    def _bound(self, node: Node) -> None:
        self._started_at = self._clock.now
        self._status(
            phase=ClusterPhase.RUNNING,
            endpoint="http://head",
            head=node.name,
            head_uid=node.uid,
            started_at=self._clock.now,
        )
        self._owner.cluster_serves(self)
        if self.size > 1:
            self._clock.after(self._physics.join, lambda: self._joined(self.size))

    def _joined(self, nodes: int) -> None:
        self.sharing.set_nodes(nodes, self._clock.now)
        self._owner.nodes_joined(self)

    def close(self) -> None:
        """Bill what it has used so far: the run is over."""
        self.sharing.advance(self._clock.now)
        self._bill()

    def _release(self, node: Node) -> None:
        self._pool.release(node)
        self._nodes.pop(node.name, None)
        if not self._nodes:
            self._bill()
        self.wake()

    def _bill(self) -> None:
        if self._started_at is not None:
            now, spec = self._clock.now, self.known.spec
            self._recorder.billed(spec.size, spec.type, self._started_at, now, self._cores)
            self._recorder.busy_core_seconds += self.sharing.busy_core_seconds
            self._started_at = None

    def _gone(self) -> None:
        self._recorder.clusters.add(-1, self._clock.now)
        self._owner.cluster_gone(self)

    def _status(self, **changes: object) -> None:
        self._put(replace(self.known, status=self.known.status.model_copy(update=changes)))

    def _put(self, known: Cluster) -> None:
        self.known = known
        self.wake()
        self._owner.cluster_changed(self)
