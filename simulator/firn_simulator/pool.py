"""The operator's side of one pool: nodes that boot, wait, are claimed and go, by the operator's own decision."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from random import Random

from firn_model import names
from firn_model.pools import PoolSpec, PoolStatus
from firn_operator.decide import pool as decisions
from firn_operator.decide.burst import Terms
from firn_operator.decide.demand import Demand, booted, claimed, roll
from firn_operator.decide.misses import why_missed
from firn_operator.decide.observed import Cluster, Node, Pool, Trouble, TroubleKind, has_no_room
from firn_operator.decide.parking import Parking, parked_for
from firn_operator.decide.reason import Reason

from firn_simulator.clock import Clock, Loop
from firn_simulator.leases import Leases, Lessee
from firn_simulator.recorder import Recorder
from firn_simulator.stock import TEMPLATE, Stock
from firn_simulator.workload import Physics, quantity

CACHE_SHARE = Decimal("0.5")
"""Part of a node's local disk that its cache may take; the rest is for spills and exchanges (runtime, config)."""
NO_ROOM = Trouble(TroubleKind.UNSCHEDULABLE, "no machine has room")


class SimulatedPool:
    """A WarehousePool with its nodes, warm and claimed."""

    def __init__(
        self,
        name: str,
        spec: PoolSpec,
        machines: int | None,
        clock: Clock,
        physics: Physics,
        recorder: Recorder,
        random: Random,
    ) -> None:
        self.name = name
        self.spec = spec
        self.nodes: dict[str, Node] = {}
        self.leases = Leases()
        self.known = Pool(name, name, 1, 1, False, spec, PoolStatus(), TEMPLATE)
        self._machines = machines
        self._clock = clock
        self._physics = physics
        self._recorder = recorder
        self._random = random
        self._demand = Demand()
        self._claims = 0
        self._stock = Stock()
        self.cache_bytes = int(quantity(spec.node.local_storage) * CACHE_SHARE)
        self._cached: dict[str, int] = {}
        self._heads: set[str] = set()
        self._waiting: dict[str, Callable[[], None]] = {}
        self._lacks: dict[str, int] = {}
        self._lacking = 0
        self._headless: dict[str, None] = {}
        self._joining: set[str] = set()
        self._reserved: set[str] = set()
        self._is_changed = True
        self._look_at: datetime | None = None
        self._crowded: deque[str] = deque()
        self._last_claim_at: datetime | None = None
        self._claims_since: datetime | None = None
        self._made = 0
        self._loop = Loop(clock, self._reconcile)

    def fill(self) -> None:
        """Start with all the nodes that the pool wants, ready."""
        while True:
            before = self._made
            self._reconcile()
            if self._made == before:
                return
            for name in [n.name for n in self._stock.booting.values() if n.trouble is None]:
                self._booted(name)

    def wake(self) -> None:
        """Look at the pool soon; changes that fall together are one."""
        self._loop.wake(self._physics.reconcile)

    def lacks(self, cluster: str, nodes: int, head: bool) -> None:
        """Note how many nodes a cluster has still to claim, and whether a head is among them."""
        if nodes == self._lacks.get(cluster, 0) and head == (cluster in self._headless):
            return
        self._lacking += nodes - self._lacks.pop(cluster, 0)
        if nodes:
            self._lacks[cluster] = nodes
        else:
            self._waiting.pop(cluster, None)
        self._is_changed = True
        if head:
            self._headless[cluster] = None
        else:
            self._headless.pop(cluster, None)
        self.wake()

    def joins(self, cluster: str, nodes: int) -> None:
        """Note how many nodes a cluster has claimed that do not serve yet."""
        if bool(nodes) != (cluster in self._joining):
            self._joining ^= {cluster}
            self._is_changed = True
            self.wake()

    def spares(self, count: int, head: bool) -> tuple[Node, ...]:
        """Return the nodes that the next claim takes; those that are no heads leave one to each cluster without."""
        return self._spares(count, 0 if head else len(self._headless))

    def _spares(self, count: int, keep: int) -> tuple[Node, ...]:
        free = self._stock.first(self.name, count + keep, self._reserved)
        return tuple(free[: max(0, min(count, len(free) - keep))])

    def parked(self, cluster: Cluster) -> tuple[Node, ...]:
        """Return the parked nodes that a cluster may claim before any warm one."""
        parked = self._stock.parked_of(cluster.warehouse_uid)
        return tuple(parked_for(cluster, parked, TEMPLATE, self._reserved)) if parked else ()

    def park(self, node: Node, cached_bytes: int) -> None:
        """Keep a drained cluster's node for its warehouse; what the cluster had cached goes with its head."""
        self._cached[node.name] = cached_bytes
        self._put(replace(node, state=names.STATE_PARKED, cluster=None, epoch=None, parked_at=self._clock.now))

    def cached_by(self, node: Node) -> int:
        """Return what the cluster of a parked head had cached; 0 for a new node."""
        return self._cached.pop(node.name, 0)

    def bursts(self, cluster: Lessee) -> tuple[Terms, tuple[Node, ...]]:
        """Return what a cluster may lease, and which nodes it may claim for that."""
        now = self._clock.now
        observed = self._whole()
        target = decisions.target_of(observed, now)
        share = self.known.spec.burst_share
        census = decisions.take_census(observed, now)
        terms, keep = self.leases.terms(cluster, census, self._lacking, target, share, now)
        return terms, self._spares(terms.claim, keep) if terms.claim else ()

    def lease(self, nodes: Sequence[Node], until: datetime) -> tuple[Node, ...]:
        """Have leases end then."""
        changed = tuple(replace(n, leased_until=until) for n in nodes)
        for node in changed:
            self._put(node)
        return changed

    def wait(self, cluster: str, wake: Callable[[], None]) -> None:
        """Let a cluster wait for a node; it is woken when one is ready."""
        self._waiting[cluster] = wake

    def promise(self, node: Node) -> None:
        """Promise a node to a claim that begins."""
        self._reserved.add(node.uid)
        self._is_changed = True
        pause, now = self.known.spec.refill.delay_seconds, self._clock.now
        self._claims_since = decisions.claims_since(self._claims_since, self._last_claim_at, pause, now)
        self._last_claim_at = now

    def claimed(self, node: Node, cluster: Cluster, role: str, missed: Reason | None, until: datetime | None) -> Node:
        """Carry out a claim; `missed`: why it had to wait for a node, `until`: the end of a burst node's lease."""
        self._reserved.discard(node.uid)
        self._is_changed = True
        now = self._clock.now
        if role != names.ROLE_BURST:
            self._count(node, cluster, missed, now)
        changed = replace(
            node,
            state=names.STATE_CLAIMED,
            role=role,
            warehouse_uid=cluster.warehouse_uid,
            cluster=cluster.name,
            epoch=cluster.uid,
            head_uid=None if role == names.ROLE_HEAD else cluster.status.head_uid,
            claimed_at=now,
            parked_at=None,
            leased_until=until,
        )
        self._put(changed)
        return changed

    def fails_in(self) -> float | None:
        """Return in how many seconds a node that was just claimed fails; None: it does not."""
        rate = self._physics.failures
        return self._random.expovariate(rate / 3600) if rate else None

    def failed(self, node: Node) -> Node:
        """Let a node's process end for good."""
        dead = replace(node, phase="Failed", ready=False)
        self._put(dead)
        return dead

    def why_missed(self) -> Reason:
        """Say why there is no node for a claim."""
        observed, now = self._whole(), self._clock.now
        return why_missed(observed, decisions.take_census(observed, now), now)

    def _count(self, node: Node, cluster: Cluster, missed: Reason | None, now: datetime) -> None:
        self._claims += 1
        if missed is None:
            self._recorder.hits += 1
        else:
            self._recorder.misses[missed.value] += 1
        if node.parked_at is None:
            self._demand = claimed(self._demand, cluster.desired_nodes, now)
        else:
            self._recorder.parked_claims += 1

    def release(self, node: Node) -> None:
        """Delete a node's pod; its machine has room again when it is gone."""
        current = self.nodes.get(node.name)
        if current is None or current.deleting:
            return
        self._put(replace(current, deleting=True))
        self._clock.after(self._physics.release, lambda: self._gone(node.name))

    # Deciding and doing

    def _reconcile(self) -> datetime | None:
        now = self._clock.now
        if not self._is_changed and (self._look_at is None or now < self._look_at):
            return self._look_at
        self._is_changed = False
        observed = self._observe(tuple(self._stock.booting.values()), now)
        decision = decisions.decide(observed, now, self._census(observed, now))
        for action in decision.actions:
            if isinstance(action, decisions.CreateNode):
                self._create()
            else:
                self.release(action.node)
        self._look_at = now if decision.actions else decision.wake_at
        self.leases.wake()
        return self._look_at

    def _census(self, observed: decisions.Observed, now: datetime) -> decisions.Census:
        """Sort the nodes that boot; who is ready is known, and claimed and parked ones are not the pool's to count."""
        boot = decisions.take_census(observed, now)
        return decisions.Census(
            tuple(self._stock.ready.values()), boot.booting, boot.failed, reserved=observed.reserved
        )

    def _observe(self, nodes: tuple[Node, ...], now: datetime) -> decisions.Observed:
        """Return what is known of the pool and of these nodes."""
        self._demand = roll(self._demand, self._claims, now)
        return decisions.Observed(
            pool=self.known,
            nodes=nodes,
            reserved=frozenset(self._reserved),
            parking=self._parking() if self._stock.parked else None,
            waiting=self._lacking,
            joining=bool(self._joining),
            last_claim_at=self._last_claim_at,
            claims_since=self._claims_since,
            demand=self._demand,
        )

    def _whole(self) -> decisions.Observed:
        return self._observe(tuple(self.nodes.values()), self._clock.now)

    def _parking(self) -> Parking:
        parked, booting = self._stock.parked.values(), self._stock.booting
        return Parking(
            pool=self.known,
            parked=tuple(parked),
            heads=frozenset([n.head_uid for n in parked if n.head_uid and n.head_uid in self._heads]),
            warehouses=frozenset([n.warehouse_uid or "" for n in parked]),
            reserved=frozenset(self._reserved),
            without_room=sum(has_no_room(booting[name]) for name in self._crowded if name in booting),
        )

    def _create(self) -> None:
        """Create a pod. Only the warm nodes are shown to the decision, so slots are numbered here."""
        self._made += 1
        name = f"{self.name}-{self._made}"
        crowded = self._machines is not None and len(self.nodes) >= self._machines
        node = Node(
            name=name,
            uid=name,
            version=1,
            pool=self.name,
            slot=self._made,
            state=names.STATE_WARM,
            template=TEMPLATE,
            phase="Pending",
            ready=False,
            deleting=False,
            created_at=self._clock.now,
            address="10.0.0.1",
            trouble=NO_ROOM if crowded else None,
        )
        self._put(node)
        if crowded:
            self._crowded.append(name)
        else:
            self._boot(name)

    def _boot(self, name: str) -> None:
        self._clock.after(self._physics.boot, lambda: self._booted(name))

    def _booted(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None or node.deleting or node.ready:
            return
        self._put(replace(node, phase="Running", ready=True))
        self._demand = booted(self._demand, self._clock.now - node.boots_since)
        for wake in list(self._waiting.values()):  # who has waited longest looks first
            wake()

    def _gone(self, name: str) -> None:
        del self.nodes[name]
        self._cached.pop(name, None)
        self._schedule_next()
        self.wake()

    def _schedule_next(self) -> None:
        """Give the room that there is now to the pod that has waited longest for it."""
        while self._crowded:
            node = self.nodes.get(self._crowded.popleft())
            if node is not None and not node.deleting:
                self._put(replace(node, trouble=None))
                self._boot(node.name)
                return

    def _put(self, node: Node) -> None:
        stock, now = self._stock, self._clock.now
        ready, parked = len(stock.ready), len(stock.parked)
        if stock.change(self.nodes.get(node.name), node):
            self._is_changed = True
        self.nodes[node.name] = node
        if node.role == names.ROLE_HEAD and node.is_alive:
            self._heads.add(node.uid)
        else:
            self._heads.discard(node.uid)
        if change := len(stock.parked) - parked:
            self._recorder.parked_nodes.add(change, now)
        if change := len(stock.ready) - ready:
            self._recorder.idle_nodes.add(change, now)
        self.wake()
