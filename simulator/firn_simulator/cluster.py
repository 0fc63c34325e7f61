"""The operator's side of one warehouse cluster, by the operator's own decision: claimed, bound, drained, released."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from firn_model import names
from firn_model.clusters import ClusterPhase
from firn_model.sizes import node_count
from firn_operator.decide import cluster_actions as decisions
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_observed import HeadAnswer, Observed, Talk
from firn_operator.decide.cluster_workers import CLAIMS_AT_ONCE
from firn_operator.decide.metering import meter, metered
from firn_operator.decide.observed import Cluster, Node, memory_class
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
        self._talks: dict[str, Talk] = {}
        self._telling: frozenset[str] | None = None
        self._answer: HeadAnswer | None = None
        self._joined: set[str] = set()
        self._busy = False
        self._waited = False
        self._started_at: datetime | None = None
        self._loop = Loop(around.clock, self._reconcile)
        self._recorder.clusters.add(1, around.clock.now)
        self._note_lack()

    def wake(self) -> None:
        """Look at it now."""
        self._loop.wake()

    def drain(self) -> None:
        """Have it drain, as its warehouse wants."""
        spec = self.known.spec.model_copy(update={"drain": True})
        self._put(replace(self.known, spec=spec))
        self._note_lack()
        self._owner.holds_nothing(self)

    def emptied(self) -> None:
        """Acknowledge the drain: the last statement has ended."""
        head = self.known.status.head_uid
        if head in self._talks:
            self._talks[head] = replace(self._talks[head], drained=True)
        self.wake()

    # Deciding and doing

    def _reconcile(self) -> datetime | None:
        if self._busy:
            return None
        observed = Observed(
            cluster=self.known,
            nodes=tuple(self._nodes.values()),
            spares=self._spares(),
            talks=self._talks,
            telling=self._telling,
            answer=self._answer,
            has_token=self._started_at is not None,
            memory_class=memory_class(self.known.spec.type),
        )
        decision = decide(observed, self._clock.now)
        for action in decision.actions:
            self._do(action)
        if decision.reason is Reason.NO_WARM_NODE and not self.known.is_leaving:
            self._waited = True
            self._pool.wait(self.known.uid, self.wake)
        return decision.wake_at if not decision.actions else None

    def _spares(self) -> tuple[Node, ...]:
        """Return what it could claim: a node as its head, then as many as it lacks."""
        if self.known.is_leaving or (self._nodes and self.known.status.head_uid is None):
            return ()
        if not self._nodes:
            return self._pool.spares(1, head=True)
        lacks = self.size - len(self._nodes)
        return self._pool.spares(min(lacks, CLAIMS_AT_ONCE), head=False) if lacks else ()

    def _do(self, action: decisions.Action) -> None:
        match action:
            case decisions.ClaimHead(node=node):
                self._claim((node,), names.ROLE_HEAD)
            case decisions.ClaimNodes(nodes=nodes, role=role):
                self._claim(nodes, role)
            case decisions.BindHead(node=node):
                self._in(self._physics.bind, lambda: self._bound(node))
            case decisions.TellMembers(members=members):
                self._telling = frozenset(n.uid for n in members)
                self._hear()
            case decisions.BindNode(node=node):
                self._talks[node.uid] = Talk(node.uid, binding=True)
                self._clock.after(self._physics.join, lambda: self._joins(node))
            case _:
                self._leave(action)

    def _leave(self, action: decisions.Action) -> None:
        match action:
            case decisions.BeginDrain():
                self._status(phase=ClusterPhase.DRAINING)
            case decisions.DrainHead(node=node):
                self._talks[node.uid] = Talk(node.uid, drained=self._owner.holds_nothing(self))
                if self._talks[node.uid].drained:
                    self.wake()
            case decisions.MarkDrained():
                now = self._clock.now
                self._status(phase=ClusterPhase.DRAINED, drained=True, drained_at=now, endpoint=None)
                self._meter()
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

    def _claim(self, nodes: tuple[Node, ...], role: str) -> None:
        for node in nodes:
            self._pool.promise(node)
            if role != names.ROLE_HEAD:
                self._talks[node.uid] = Talk(node.uid)
        self._in(self._physics.claim, lambda: self._claimed(nodes, role))

    def _claimed(self, nodes: tuple[Node, ...], role: str) -> None:
        for node in nodes:
            head_uid = None if role == names.ROLE_HEAD else self.known.status.head_uid
            hit = not self._waited
            claimed = self._pool.claimed(node, role, self.known.name, self.known.uid, head_uid, hit)
            self._nodes[node.name] = claimed
        self._waited = False
        self._note_lack()

    def _note_lack(self) -> None:
        """Let the pool know what this cluster has still to claim."""
        lacks = 0 if self.known.is_leaving else self.size - len(self._nodes)
        self._pool.lacks(self.known.uid, lacks, head=bool(lacks and not self._nodes))

    def _bound(self, node: Node) -> None:
        self._started_at = self._clock.now
        self._status(
            phase=ClusterPhase.RUNNING,
            endpoint="http://head",
            head=node.name,
            head_uid=node.uid,
            started_at=self._clock.now,
        )
        self._meter()
        self._owner.cluster_serves(self)

    def _meter(self) -> None:
        """Write down what it has used so far, as the operator's metering loop does."""
        self._status(metering=meter(metered(self.known), self.known.status.metering, self._clock.now))

    def _joins(self, node: Node) -> None:
        """Let a node take part: its Ray has joined the head's."""
        if node.name not in self._nodes:
            return
        now = self._clock.now
        self._talks[node.uid] = Talk(node.uid, bound_at=now)
        self._joined.add(node.uid)
        self.sharing.set_nodes(1 + len(self._joined), now)
        self._owner.nodes_joined(self)
        self._hear()

    def _hear(self) -> None:
        """Take the head's answer: which of the nodes that it was told of have joined."""
        told = self._telling or frozenset()
        self._answer = HeadAnswer(told, told & self._joined)
        self.wake()

    def close(self) -> None:
        """Bill what it has used so far: the run is over."""
        self.sharing.advance(self._clock.now)
        self._bill()

    def _release(self, node: Node) -> None:
        self._pool.release(node)
        self._nodes.pop(node.name, None)
        self.wake()

    def _bill(self) -> None:
        self._recorder.billed(self.known.status.metering, self._clock.now, self._cores)
        self._recorder.busy_core_seconds += self.sharing.busy_core_seconds

    def _gone(self) -> None:
        self._bill()
        self._recorder.clusters.add(-1, self._clock.now)
        self._owner.cluster_gone(self)

    def _status(self, **changes: object) -> None:
        self._put(replace(self.known, status=self.known.status.model_copy(update=changes)))

    def _put(self, known: Cluster) -> None:
        self.known = known
        self.wake()
        self._owner.cluster_changed(self)
