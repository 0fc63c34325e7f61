"""The operator's side of one warehouse cluster, by the operator's own decision: claimed, bound, drained, released."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from firn_model import names
from firn_model.clusters import ClusterPhase, NodeState, NodeStatus
from firn_model.sizes import node_count
from firn_operator.decide import cluster_actions as decisions
from firn_operator.decide.burst import most_bursts, wish_of
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_observed import NO_BURSTS, HeadAnswer, Observed, Talk
from firn_operator.decide.cluster_workers import CLAIMS_AT_ONCE
from firn_operator.decide.metering import meter, metered
from firn_operator.decide.observed import Cluster, Node, Warehouse, memory_class
from firn_operator.decide.parking import to_park
from firn_operator.decide.reason import Reason

from firn_simulator.cache import Cache
from firn_simulator.clock import Clock, Loop
from firn_simulator.pool import SimulatedPool
from firn_simulator.recorder import Recorder
from firn_simulator.sharing import Sharing
from firn_simulator.stock import TEMPLATE
from firn_simulator.workload import Physics


class Owner(Protocol):
    """The warehouse of a cluster, which hears of what happens to it."""

    @property
    def known(self) -> Warehouse:
        """The warehouse as the operator knows it."""

    def most_parked(self, cluster: "SimulatedCluster") -> int:
        """Return how many nodes of a drained cluster may be parked."""

    def head_lost(self, cluster: "SimulatedCluster") -> None:
        """Put its statements back: the connection to its head is lost."""

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
        self.cache = Cache(around.physics.cold_read, pool.cache_bytes * self.size)
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
        self._missed: Reason | None = None
        self._may_burst = most_bursts(owner.known, False) != 0
        if self._may_burst:
            pool.leases.add(self)
        self.bursts_coming = 0
        self._rejoining: set[str] = set()
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
        burst, burst_spares = self._pool.bursts(self) if self._may_burst else (NO_BURSTS, ())
        observed = Observed(
            cluster=self.known,
            nodes=tuple(self._nodes.values()),
            spares=self._spares(),
            talks=self._talks,
            telling=self._telling,
            answer=self._answer,
            has_token=self._started_at is not None,
            memory_class=memory_class(self.known.spec.type),
            to_park=self._to_park() if self.known.status.drained else (),
            burst=burst,
            burst_spares=burst_spares,
        )
        decision = decide(observed, self._clock.now)
        for action in decision.actions:
            self._do(action)
        if decision.reason is Reason.NO_WARM_NODE and not self.known.is_leaving:
            if self._missed is None:
                self._missed = self._pool.why_missed()
            self._pool.wait(self.known.uid, self.wake)
        return decision.wake_at if not decision.actions else None

    def _spares(self) -> tuple[Node, ...]:
        """Return what it could claim: a node as its head, then as many as it lacks."""
        if self.known.is_leaving or (self._nodes and self.known.status.head_uid is None):
            return ()
        if not self._nodes:
            return self._pool.parked(self.known)[:1] or self._pool.spares(1, head=True)
        lacks = min(self.size - self._own_nodes, CLAIMS_AT_ONCE)
        if not lacks:
            return ()
        parked = self._pool.parked(self.known)[:lacks]
        return (*parked, *self._pool.spares(lacks - len(parked), head=False)) if lacks > len(parked) else parked

    @property
    def _own_nodes(self) -> int:
        """How many nodes it has that are no burst nodes."""
        return len(self._nodes) - len(self.burst_nodes) if self._may_burst else len(self._nodes)

    def _to_park(self) -> tuple[Node, ...]:
        most = self._owner.most_parked(self)
        return to_park(self.known, self._nodes.values(), TEMPLATE, most) if most else ()

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
                self.hear()
            case decisions.BindNode(node=node):
                self._talks[node.uid] = Talk(node.uid, binding=True)
                rejoins = node.uid in self._rejoining
                self._clock.after(self._physics.rejoin if rejoins else self._physics.join, lambda: self._joins(node))
            case decisions.SetLease(nodes=nodes, until=until):
                self._nodes |= {n.name: n for n in self._pool.lease(nodes, until)}
                self.wake()
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
                now, nodes = self._clock.now, self._node_statuses() if self._pool.spec.parked.max_nodes else ()
                self._status(phase=ClusterPhase.DRAINED, drained=True, drained_at=now, endpoint=None, nodes=nodes)
            case decisions.DeleteCluster():
                self._put(replace(self.known, deleting=True))
            case decisions.ReleaseNode(node=node):
                self._release(node)
            case decisions.ParkNode(node=node):
                self._pool.park(node, self.cache.held if node.role == names.ROLE_HEAD else 0)
                self._nodes.pop(node.name, None)
                self.wake()
            case decisions.ClearHead():
                self._clear()
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
            if node.is_parked:
                self._rejoining.add(node.uid)
        self.bursts_coming += len(nodes) if role == names.ROLE_BURST else 0
        self._in(self._physics.claim, lambda: self._claimed(nodes, role))

    def _claimed(self, nodes: tuple[Node, ...], role: str) -> None:
        is_burst, now = role == names.ROLE_BURST, self._clock.now
        until = now + timedelta(seconds=self._owner.known.spec.query_acceleration.lease_seconds) if is_burst else None
        for node in nodes:
            self._nodes[node.name] = self._pool.claimed(node, self.known, role, self._missed, until)
            if (seconds := self._pool.fails_in()) is not None:
                self._clock.after(seconds, functools.partial(self._fails, node))
        if is_burst:
            self.bursts_coming -= len(nodes)
        else:
            self._missed = None
        if role == names.ROLE_HEAD:
            self.cache.held = self._pool.cached_by(nodes[0])
        self._note_lack()

    # Nodes that fail

    def _fails(self, node: Node) -> None:
        """Let a node fail, unless it is not this cluster's any more; the operator sees it a little later."""
        if node.name not in self._nodes:
            return
        self._recorder.failures += 1
        if node.uid == self.known.status.head_uid:
            self._owner.head_lost(self)
        self._clock.after(self._physics.detect, lambda: self._seen_dead(node))

    def _seen_dead(self, node: Node) -> None:
        if (known := self._nodes.get(node.name)) is not None:
            self._nodes[node.name] = self._pool.failed(known)
            self._joined.discard(node.uid)
            self._share()
            self.wake()

    def _clear(self) -> None:
        """Take the endpoint away: the head is lost, and its Ray with it."""
        self._owner.head_lost(self)
        self._telling, self._answer = None, None
        self._talks.clear()
        self._joined.clear()
        self._rejoining.clear()
        self._share()
        self._status(phase=ClusterPhase.PENDING, endpoint=None, head=None, head_uid=None, burst_nodes=0)

    def _note_lack(self) -> None:
        """Let the pool know what this cluster has still to claim, and what it has claimed that does not serve yet."""
        is_leaving, has = self.known.is_leaving, self._own_nodes
        lacks = 0 if is_leaving else self.size - has
        self._pool.lacks(self.known.uid, lacks, head=bool(lacks and not self._nodes))
        serving = self.sharing.nodes if self.known.status.head_uid is not None else 0
        self._pool.joins(self.known.uid, 0 if is_leaving else max(0, has - serving))

    def _bound(self, node: Node) -> None:
        if not self._nodes[node.name].is_alive:
            return
        self._started_at = self._clock.now
        self._status(
            phase=ClusterPhase.RUNNING,
            endpoint="http://head",
            head=node.name,
            head_uid=node.uid,
            started_at=self.known.status.started_at or self._clock.now,
        )
        self._note_lack()
        self._owner.cluster_serves(self)

    def _joins(self, node: Node) -> None:
        """Let a node take part: its Ray has joined the head's."""
        if node.name not in self._nodes:
            return
        self._talks[node.uid] = Talk(node.uid, bound_at=self._clock.now)
        self._joined.add(node.uid)
        self._share()
        self._note_lack()
        self._owner.nodes_joined(self)
        self.hear()

    def hear(self) -> None:
        """Take the head's answer: which of the nodes that it was told of have joined, and which work."""
        told = self._telling or frozenset()
        self._share()
        self._answer = HeadAnswer(told, told & self._joined, busy=self.busy_bursts)
        self.wake()

    def _share(self) -> None:
        """Let statements run on the nodes that have joined; burst nodes that were told to go do no more for them."""
        bursts = sum(n.uid in self._joined for n in self.burst_nodes)
        workers = len(self._joined) - bursts
        if self.sharing.nodes != 1 + workers:
            self.sharing.set_nodes(1 + workers, self._clock.now)
        if not self._may_burst:
            return
        told = self._telling or frozenset()
        self.sharing.bursts = sum(n.uid in self._joined and n.uid in told for n in self.burst_nodes)
        if bursts != self.known.status.burst_nodes:
            self._recorder.burst_nodes.add(bursts - self.known.status.burst_nodes, self._clock.now)
            self._status(burst_nodes=bursts)

    # Burst nodes, as its pool shares them out

    @property
    def warehouse(self) -> Warehouse:
        """Its warehouse."""
        return self._owner.known

    @property
    def asks(self) -> bool:
        """Whether its statements ask for burst nodes."""
        return wish_of(self._owner.known, self.known, self._clock.now).nodes > 0

    @property
    def burst_nodes(self) -> list[Node]:
        """The burst nodes that it has and that live."""
        return [n for n in self._nodes.values() if n.role == names.ROLE_BURST and n.is_alive] if self._may_burst else []

    @property
    def busy_bursts(self) -> frozenset[str]:
        """UIDs of the burst nodes that statements work on."""
        if not self.sharing.busy_bursts:
            return frozenset()
        told = self._telling or frozenset()
        return frozenset(n.uid for n in self.burst_nodes if n.uid in self._joined and n.uid in told)

    def close(self) -> None:
        """Bill what it has used so far: the run is over."""
        self.sharing.advance(self._clock.now)
        self._bill()

    def _release(self, node: Node) -> None:
        self._pool.release(node)
        self._nodes.pop(node.name, None)
        self._joined.discard(node.uid)
        if node.role == names.ROLE_BURST:
            self._pool.leases.released(self._clock.now)
            self._share()
        self._note_lack()
        self.wake()

    def _node_statuses(self) -> tuple[NodeStatus, ...]:
        """Return the nodes that work, for parking."""
        working = (n for n in self._nodes.values() if n.role == names.ROLE_HEAD or n.uid in self._joined)
        return tuple(
            NodeStatus(name=n.name, uid=n.uid, address=n.address or "", role=n.role or "", state=NodeState.READY)
            for n in working
        )

    def _bill(self) -> None:
        self._recorder.billed(self.known.status.metering, self._clock.now, self._cores)
        self._recorder.busy_core_seconds += self.sharing.busy_core_seconds

    def _gone(self) -> None:
        self._bill()
        self._recorder.clusters.add(-1, self._clock.now)
        self._pool.leases.remove(self)
        self._owner.cluster_gone(self)

    def _status(self, **changes: object) -> None:
        """Write its status, and what it has used so far, as the operator's metering loop does."""
        status = self.known.status.model_copy(update=changes)
        known = replace(self.known, status=status)
        vars(status).update(metering=meter(metered(known), status.metering, self._clock.now))  # nobody has it yet
        self._put(known)

    def _put(self, known: Cluster) -> None:
        self.known = known
        self.wake()
        self._owner.cluster_changed(self)
