"""The operator's side of one pool: nodes that boot, wait, are claimed and go, by the operator's own decision."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from firn_model import names
from firn_model.pools import PoolSpec, PoolStatus
from firn_operator.decide import pool as decisions
from firn_operator.decide.observed import Node, Pool, Trouble, TroubleKind, claimable

from firn_simulator.clock import Clock, Loop
from firn_simulator.recorder import Recorder
from firn_simulator.workload import Physics

TEMPLATE = "simulated"
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
    ) -> None:
        self.name = name
        self.spec = spec
        self.nodes: dict[str, Node] = {}
        self._pool = Pool(name, name, 1, 1, False, spec, PoolStatus(), TEMPLATE)
        self._machines = machines
        self._clock = clock
        self._physics = physics
        self._recorder = recorder
        self._waiting: dict[str, Callable[[], None]] = {}
        self._lacks: dict[str, int] = {}
        self._lacking = 0
        self._headless: dict[str, None] = {}
        self._warm: dict[str, Node] = {}
        self._reserved: set[str] = set()
        self._free: list[Node] | None = None
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
            for name in [n.name for n in self._warm.values() if not n.ready and n.trouble is None]:
                self._booted(name)

    def wake(self) -> None:
        """Look at the pool soon; changes that fall together are one."""
        self._loop.wake(self._physics.reconcile)

    def lacks(self, cluster: str, nodes: int, head: bool) -> None:
        """Note how many nodes a cluster has still to claim, and whether a head is among them."""
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

    def spares(self, count: int, head: bool) -> tuple[Node, ...]:
        """Return the nodes that the next claim takes; those that are no heads leave one to each cluster without."""
        if self._free is None:
            self._free = claimable(self._warm.values(), TEMPLATE, self._reserved)
        free = self._free
        keep = 0 if head else len(self._headless)
        return tuple(free[: max(0, min(count, len(free) - keep))])

    def wait(self, cluster: str, wake: Callable[[], None]) -> None:
        """Let a cluster wait for a node; it is woken when one is ready."""
        self._waiting[cluster] = wake

    def promise(self, node: Node) -> None:
        """Promise a node to a claim that begins."""
        self._reserved.add(node.uid)
        self._changed()
        pause, now = self._pool.spec.refill.delay_seconds, self._clock.now
        self._claims_since = decisions.claims_since(self._claims_since, self._last_claim_at, pause, now)
        self._last_claim_at = now

    def claimed(self, node: Node, role: str, cluster: str, epoch: str, head_uid: str | None, hit: bool) -> Node:
        """Carry out a claim; `hit`: the node waited for it and not the other way round."""
        self._reserved.discard(node.uid)
        self._changed()
        self._recorder.hits += hit
        self._recorder.misses += not hit
        changed = replace(
            node,
            state=names.STATE_CLAIMED,
            role=role,
            cluster=cluster,
            epoch=epoch,
            head_uid=head_uid,
            claimed_at=self._clock.now,
        )
        self._put(changed)
        return changed

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
        observed = decisions.Observed(
            pool=self._pool,
            nodes=tuple(self._warm.values()),
            reserved=frozenset(self._reserved),
            waiting=self._lacking,
            last_claim_at=self._last_claim_at,
            claims_since=self._claims_since,
        )
        decision = decisions.decide(observed, now)
        for action in decision.actions:
            if isinstance(action, decisions.CreateNode):
                self._create()
            else:
                self.release(action.node)
        self._look_at = now if decision.actions else decision.wake_at
        return self._look_at

    def _changed(self) -> None:
        """Note that what the pool's decision reads has changed."""
        self._is_changed = True
        self._free = None

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
        for wake in list(self._waiting.values()):  # who has waited longest looks first
            wake()

    def _gone(self, name: str) -> None:
        del self.nodes[name]
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
        was, is_ = self._warm.get(node.name), node.is_warm and not node.deleting
        self.nodes[node.name] = node
        if is_ or was is not None:
            self._changed()
        if is_:
            self._warm[node.name] = node
        else:
            self._warm.pop(node.name, None)
        change = (is_ and node.ready) - (was is not None and was.ready)
        if change:
            self._recorder.idle_nodes.add(change, self._clock.now)
        self.wake()
