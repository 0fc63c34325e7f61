"""The truth of a simulated account: machines, node agents and services, and what must always hold of them."""

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from firn_model import names
from firn_model.pools import Parked
from firn_model.sizes import SIZES
from firn_model.warehouses import BurstRequest, ClusterLoad, WarehouseLoad
from firn_operator.decide.observed import Cluster, Node, Warehouse

from tests.operator.observations import NOW, REPORTER, pool, warehouse

MOST_NODES = 4
BOOT = timedelta(seconds=4)
TARGET = 2
CONCURRENCY = 3
RANGES: tuple[dict[str, Any], ...] = (
    {},
    {"max_cluster_count": 3, "scaling": {"pacing_seconds": 2, "check_seconds": 1}},
    {
        "min_cluster_count": 2,
        "max_cluster_count": 4,
        "scaling_policy": "Economy",
        "scaling": {"pacing_seconds": 2, "check_seconds": 1, "economy_load_seconds": 90},
    },
)
"""The cluster ranges of the warehouses, one after the other."""
BURSTS: tuple[dict[str, Any], ...] = (
    {"enabled": True, "max_scale_factor": 1, "lease_seconds": 5},
    {"enabled": True, "max_scale_factor": 0, "lease_seconds": 8},
    {},
)
"""And whether they may have burst nodes."""


@dataclass
class Agent:
    """What a node holds."""

    epoch: str | None = None
    draining: bool = False
    held: dict[int, frozenset[str]] = field(default_factory=dict)
    """Statements, and the nodes beside the head that each one runs on."""
    head: str | None = None
    """The head whose Ray this node has joined."""
    members: frozenset[str] = frozenset()
    warehouse: str | None = None
    """The warehouse that it has served, and no other from then on."""


class World(ABC):
    """The truth; what the operator knows of it is its subclass's."""

    def __init__(self, seed: int, warehouse_count: int) -> None:
        self.random = random.Random(seed)
        self.now: datetime = NOW
        self.version = 1
        self.serial = 0
        self.nodes: dict[str, Node] = {}
        self.clusters: dict[str, Cluster] = {}
        self.warehouses: dict[str, Warehouse] = {}
        self.agents: dict[str, Agent] = {}
        plain = pool(TARGET, 4)
        parked = Parked(max_nodes=3, keep_seconds=20)
        self.pool = replace(plain, spec=plain.spec.model_copy(update={"parked": parked, "burst_share": 80}))
        self.queued: dict[str, list[int]] = {}
        self.wishes: dict[str, tuple[BurstRequest, ...]] = {}
        self.accepted: set[int] = set()
        self.finished: set[int] = set()
        self.owners_of: dict[str, set[str]] = {}
        self.last_automatic_start: dict[str, datetime] = {}
        self.in_flight: list[Callable[[], None]] = []
        self.creations_in_flight: list[Callable[[], None]] = []
        for number in range(warehouse_count):
            name = f"w{number}"
            self.queued[name] = []
            spec = {
                "size": SIZES[(seed + number) % 3],
                "auto_suspend_seconds": 5,
                "max_concurrency_level": CONCURRENCY,
                "query_acceleration": BURSTS[(seed + number) % len(BURSTS)],
                **RANGES[number % len(RANGES)],
            }
            self.warehouses[name] = replace(warehouse(spec), name=name, uid=f"{name}-uid")

    @abstractmethod
    def deliver(self, everything: bool = False) -> None:
        """Bring the operator what its watches hold, or some of it."""

    def boot_nodes(self) -> None:
        for item in list(self.nodes.values()):
            if item.phase == "Pending" and self.now >= item.created_at + BOOT:
                self.agents[item.uid] = Agent()
                self._write(self.nodes, replace(item, phase="Running", ready=True, address="10.0.0.1"))

    def _kill(self, name: str) -> None:
        """End a node; what it ran goes back to its place in the queue."""
        item = self.nodes[name]
        agent = self.agents.pop(item.uid, None)
        if agent and agent.held:
            owner = next(c.spec.warehouse for c in self.clusters.values() if c.uid == agent.epoch)
            self.queued[owner] = sorted([*self.queued[owner], *agent.held])
            self.report(owner)
        for other in self.agents.values():
            other.held = {s: nodes - {item.uid} for s, nodes in other.held.items()}

    def fail_node(self) -> None:
        alive = [n for n in self.nodes.values() if n.phase == "Running"]
        if alive:
            item = self.random.choice(alive)
            self._kill(item.name)
            self._write(self.nodes, replace(self.nodes[item.name], phase="Failed", ready=False, failed_at=self.now))

    def arrive(self, name: str) -> None:
        self.serial += 1
        self.accepted.add(self.serial)
        self.queued[name].append(self.serial)
        self.report(name)

    def dispatch(self, name: str) -> None:
        """Services give the first statement to a running cluster, whose head may refuse it."""
        for item in self.clusters.values():
            if item.spec.warehouse != name or not item.is_running or not self.queued[name]:
                continue
            agent = self.agents.get(item.status.head_uid or "")
            free = agent and agent.epoch == item.uid and not agent.draining and len(agent.held) < CONCURRENCY
            if agent and free:
                agent.held[self.queued[name].pop(0)] = agent.members & self.joined(item.status.head_uid or "")
        self.report(name)

    def finish(self, name: str) -> None:
        for item in self.clusters.values():
            agent = self.agents.get(item.status.head_uid or "")
            if item.spec.warehouse == name and agent and agent.epoch == item.uid and agent.held:
                self.finished.add(agent.held.popitem()[0])
        self.report(name)

    def joined(self, head_uid: str) -> frozenset[str]:
        """The nodes whose Ray is that of this head; all of them end with it."""
        return frozenset(
            uid for uid, agent in self.agents.items() if head_uid in self.agents and agent.head == head_uid
        )

    def is_busy(self, uid: str) -> bool:
        """Whether a statement runs on this node."""
        return any(uid in nodes for agent in self.agents.values() for nodes in agent.held.values())

    def resize(self, name: str) -> None:
        """Give a warehouse another size."""
        current = self.warehouses[name]
        spec = current.spec.model_copy(update={"size": self.random.choice(SIZES[:3])})
        self._write(self.warehouses, replace(current, spec=spec))

    def running(self, name: str) -> int:
        epochs = {c.uid for c in self.clusters.values() if c.spec.warehouse == name}
        return sum(len(a.held) for a in self.agents.values() if a.epoch in epochs)

    def cluster_loads(self, name: str) -> tuple[ClusterLoad, ...]:
        """What runs on each cluster that takes statements."""
        serving = [c for c in self.clusters.values() if c.spec.warehouse == name and c.is_running]
        held = {
            c.name: len(self.agents[c.status.head_uid or ""].held)
            for c in serving
            if self.agents.get(c.status.head_uid or "")
        }
        return tuple(ClusterLoad(name=n, running=count, concurrency=count) for n, count in sorted(held.items()))

    def wish(self, name: str) -> None:
        """The statements of a cluster ask for burst nodes, of another cluster than before, or for none any more."""
        serving = [c.name for c in self.clusters.values() if c.spec.warehouse == name and c.is_running]
        nodes, expires_at = self.random.randint(0, 5), self.now + timedelta(seconds=self.random.randint(0, 12))
        asked = (
            BurstRequest(cluster=self.random.choice(serving), nodes=nodes, expires_at=expires_at)
            if nodes and serving
            else None
        )
        self.wishes[name] = (asked,) if asked else ()
        self.report(name)

    def report(self, name: str) -> None:
        current = self.warehouses[name]
        queued, running = len(self.queued[name]), self.running(name)
        old = current.load
        idle = None if queued or running else (old.idle_since if old and old.idle_since else self.now)
        requested = current.suspend_requested_at
        at = self.now if requested is None else max(self.now, requested + timedelta(microseconds=1))
        load = WarehouseLoad(
            queued=queued,
            running=running,
            idle_since=idle,
            queued_seconds=queued * 60.0,
            clusters=self.cluster_loads(name),
            burst=self.wishes.get(name, ()),
            observed_at=at,
            reporter=REPORTER,
        )
        still_waits = queued > 0 and old is not None and requested is not None and old.observed_at <= requested
        told, tells = ((w.queued, w.running, w.clusters, w.burst) if w else None for w in (old, load))
        same = told == tells
        if not same or still_waits:
            self._write(self.warehouses, replace(current, status=current.status.model_copy(update={"load": load})))

    def request_suspension(self, name: str) -> None:
        self._write(self.warehouses, replace(self.warehouses[name], suspend_requested_at=self.now))
        self.report(name)

    def set_hold(self, name: str, held: bool) -> None:
        current = self.warehouses[name]
        self._write(self.warehouses, replace(current, spec=current.spec.model_copy(update={"suspended": held})))

    def _uid(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}{self.serial}"

    def _write(self, shelf: dict[str, Any], item: Any) -> None:
        """Store an object; the operator learns of it now or later."""
        self.version += 1
        shelf[item.name] = replace(item, version=self.version)
        if self.random.random() < 0.5:
            self.deliver()

    # What must hold.

    def check_start(self, owner: Warehouse, made: Cluster) -> None:
        """Never more clusters than the range says, and automatic starts keep their distance."""
        wanted = [c for c in self.clusters.values() if c.warehouse_uid == owner.uid and not c.is_leaving]
        assert len(wanted) < owner.spec.max_cluster_count, [c.name for c in wanted]
        if made.automatic:
            last = self.last_automatic_start.get(owner.name)
            assert last is None or self.now - last >= timedelta(seconds=owner.spec.scaling.pacing_seconds)
            self.last_automatic_start[owner.name] = self.now

    def check_pool(self) -> None:
        """The pool never has more warm nodes than its target and what its clusters may want."""
        warm = [n for n in self.nodes.values() if n.is_warm and n.is_alive]
        most = TARGET + MOST_NODES * max(len(self.clusters), len(self.warehouses))
        assert len(warm) <= most, [n.name for n in warm]

    def check(self) -> None:
        """No node serves two warehouses, no epoch has two heads; nothing accepted has vanished."""
        assert all(len(owners) == 1 for owners in self.owners_of.values())
        heads = [n for n in self.nodes.values() if n.role == names.ROLE_HEAD and n.is_alive and n.uid in self.agents]
        bound = Counter(self.agents[n.uid].epoch for n in heads)
        assert all(count == 1 for epoch, count in bound.items() if epoch), bound
        waiting = {s for statements in self.queued.values() for s in statements}
        held = {s for agent in self.agents.values() for s in agent.held}
        assert self.accepted == waiting | held | self.finished
