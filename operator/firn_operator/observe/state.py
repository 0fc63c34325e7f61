"""The operator's memory of the account: fed by watches, by lists and by the answers to its own writes.

An answer to an own write is remembered at once, so that the next decision already sees it; what a watch brings later is
older or equal and is ignored by its resourceVersion. Objects that were deleted are never resurrected by late news.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Generic, Protocol, TypeVar

from firn_model import names

from firn_operator.decide.free_nodes import FreeNodes
from firn_operator.decide.observed import Cluster, Monitor, Node, Pool, ServicesLease, Warehouse

REMEMBERED_DELETIONS = 10_000


class Known(Protocol):
    """What every remembered object has."""

    @property
    def name(self) -> str:
        """Its name, unique in its kind at any moment."""

    @property
    def uid(self) -> str:
        """What tells it from an earlier object of its name."""

    @property
    def version(self) -> int:
        """Its resourceVersion."""


K = TypeVar("K", bound=Known)


class Shelf(Generic[K]):
    """The objects of one kind by name; calls `changed(before, after)` for each change."""

    def __init__(self, changed: Callable[[K | None, K | None], None]) -> None:
        self._items: dict[str, K] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._changed = changed

    def __len__(self) -> int:
        return len(self._items)

    def get(self, name: str) -> K | None:
        """Return the object of this name."""
        return self._items.get(name)

    def values(self) -> tuple[K, ...]:
        """Return all objects."""
        return tuple(self._items.values())

    def put(self, item: K) -> bool:
        """Remember an object unless something newer is known; return whether it was news."""
        before = self._items.get(item.name)
        if item.uid in self._gone:
            return False
        if before is not None and before.uid == item.uid and before.version >= item.version:
            return False
        if before is not None and before.uid != item.uid:
            if before.version > item.version:
                return False
            self._bury(before.uid)
        self._items[item.name] = item
        self._changed(before, item)
        return True

    def remove(self, name: str, uid: str) -> bool:
        """Forget an object that is gone; return whether it was known."""
        self._bury(uid)
        before = self._items.get(name)
        if before is None or before.uid != uid:
            return False
        del self._items[name]
        self._changed(before, None)
        return True

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)

    def settle(self, listed: Iterable[K], listed_version: int) -> int:
        """Correct the memory by a consistent list taken at `listed_version`; return how many changes were missed.

        What is not listed and not younger is gone: watches do not report what vanished between two of them.
        """
        present = {item.uid: item for item in listed}
        missed = sum(self.put(item) for item in present.values())
        for item in self.values():
            if item.uid not in present and item.version <= listed_version:
                missed += self.remove(item.name, item.uid)
        return missed


class State:
    """All that is known of the account, with the indices that decisions need."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[object | None, object | None], None]] = []
        self.changes = 0
        """How often anything has changed: while it stays, so does what follows from the memory."""
        self.warehouses: Shelf[Warehouse] = Shelf(self._warehouse_changed)
        self.clusters: Shelf[Cluster] = Shelf(self._cluster_changed)
        self.pools: Shelf[Pool] = Shelf(self._tell)
        self.monitors: Shelf[Monitor] = Shelf(self._tell)
        self.nodes: Shelf[Node] = Shelf(self._node_changed)
        self.services: ServicesLease | None = None
        self.free = FreeNodes()
        self._nodes_by_pool: defaultdict[str, dict[str, Node]] = defaultdict(dict)
        self._nodes_by_epoch: defaultdict[str, dict[str, Node]] = defaultdict(dict)
        self._bursts_by_epoch: defaultdict[str, dict[str, Node]] = defaultdict(dict)
        self._wishing: set[str] = set()
        self._parked_by_warehouse: defaultdict[str, dict[str, Node]] = defaultdict(dict)
        self._clusters_by_warehouse: defaultdict[str, dict[str, Cluster]] = defaultdict(dict)
        self._clusters_by_name: defaultdict[str, dict[str, Cluster]] = defaultdict(dict)
        self._clusters_by_pool: defaultdict[str, dict[str, Cluster]] = defaultdict(dict)
        self._headless_by_pool: defaultdict[str, dict[str, Cluster]] = defaultdict(dict)
        self._short_by_pool: defaultdict[str, dict[str, Cluster]] = defaultdict(dict)
        self._joining_by_pool: defaultdict[str, dict[str, Cluster]] = defaultdict(dict)
        self._clusters_by_epoch: dict[str, Cluster] = {}

    def nodes_of_pool(self, pool: str) -> tuple[Node, ...]:
        """Return the pool's pods, warm and claimed."""
        return tuple(self._nodes_by_pool.get(pool, {}).values())

    def count_of_pool(self, pool: str) -> int:
        """Return how many pods the pool has, warm and claimed."""
        return len(self._nodes_by_pool.get(pool, ()))

    def nodes_of_epoch(self, epoch: str) -> tuple[Node, ...]:
        """Return the pods claimed for a cluster."""
        return tuple(self._nodes_by_epoch.get(epoch, {}).values())

    def parked_of(self, warehouse_uid: str | None) -> tuple[Node, ...]:
        """Return the pods that are parked for a warehouse."""
        return tuple(self._parked_by_warehouse.get(warehouse_uid or "", {}).values())

    def clusters_of(self, warehouse_uid: str) -> tuple[Cluster, ...]:
        """Return the clusters of a warehouse, leaving ones included."""
        return tuple(self._clusters_by_warehouse.get(warehouse_uid, {}).values())

    def indices_before(self, warehouse: Warehouse) -> frozenset[int]:
        """Return the indices that the clusters of an earlier warehouse of this name still have."""
        namesakes = self._clusters_by_name.get(warehouse.name, {}).values()
        return frozenset(c.spec.index for c in namesakes if c.warehouse_uid != warehouse.uid)

    def clusters_of_pool(self, pool: str) -> tuple[Cluster, ...]:
        """Return the clusters whose nodes come from a pool."""
        return tuple(self._clusters_by_pool.get(pool, {}).values())

    def headless_of_pool(self, pool: str) -> tuple[Cluster, ...]:
        """Return the clusters of a pool that want a head and have none that serves."""
        return tuple(self._headless_by_pool.get(pool, {}).values())

    def is_bursting(self, cluster: Cluster) -> bool:
        """Return whether a cluster has burst nodes, or its warehouse's statements ask for some."""
        return cluster.uid in self._bursts_by_epoch or cluster.warehouse_uid in self._wishing

    def bursting(self, pool: str) -> tuple[Cluster, ...]:
        """Return the clusters of a pool that have burst nodes or may get some."""
        if not self._bursts_by_epoch and not self._wishing:
            return ()
        return tuple(c for c in self.clusters_of_pool(pool) if self.is_bursting(c))

    def short_of_pool(self, pool: str) -> tuple[Cluster, ...]:
        """Return the clusters of a pool that are not headless and lack nodes."""
        return tuple(self._short_by_pool.get(pool, {}).values())

    def has_joining(self, pool: str) -> bool:
        """Return whether a cluster of a pool has claimed nodes that do not serve yet."""
        return pool in self._joining_by_pool

    def epochs(self) -> Collection[str]:
        """Return the epochs of all clusters, as they are at any time."""
        return self._clusters_by_epoch.keys()

    def put_services(self, lease: ServicesLease) -> bool:
        """Remember the services' Lease; return whether who may be believed has changed."""
        before = self.services
        if before is not None and before.version >= lease.version:
            return False
        self.services = lease
        return before is None or before.holder != lease.holder or lease.renewed_at > before.expires_at

    def _tell(self, before: object | None, after: object | None) -> None:
        self.changes += 1
        for listener in self.listeners:
            listener(before, after)

    def _warehouse_changed(self, before: Warehouse | None, after: Warehouse | None) -> None:
        if before is not None:
            self._wishing.discard(before.uid)
        if after is not None and after.load and after.load.burst:
            self._wishing.add(after.uid)
        self._tell(before, after)

    def _node_changed(self, before: Node | None, after: Node | None) -> None:
        self.free.change(before, after)
        if before is not None:
            _drop(self._nodes_by_pool, before.pool, before.uid)
            _drop(self._parked_by_warehouse, before.warehouse_uid or "", before.uid)
            if before.epoch:
                _drop(self._nodes_by_epoch, before.epoch, before.uid)
                _drop(self._bursts_by_epoch, before.epoch, before.uid)
        if after is not None:
            self._nodes_by_pool[after.pool][after.uid] = after
            if after.is_parked and after.warehouse_uid:
                self._parked_by_warehouse[after.warehouse_uid][after.uid] = after
            if after.epoch:
                self._nodes_by_epoch[after.epoch][after.uid] = after
                if after.role == names.ROLE_BURST:
                    self._bursts_by_epoch[after.epoch][after.uid] = after
        for epoch in {n.epoch for n in (before, after) if n is not None}:
            cluster = self._clusters_by_epoch.get(epoch or "")
            if cluster:
                self._review(cluster)
        self._tell(before, after)

    def _cluster_changed(self, before: Cluster | None, after: Cluster | None) -> None:
        if before is not None:
            _drop(self._clusters_by_pool, before.spec.pool, before.uid)
            _drop(self._headless_by_pool, before.spec.pool, before.uid)
            _drop(self._short_by_pool, before.spec.pool, before.uid)
            _drop(self._joining_by_pool, before.spec.pool, before.uid)
            self._clusters_by_epoch.pop(before.uid, None)
            _drop(self._clusters_by_warehouse, before.warehouse_uid or "", before.uid)
            _drop(self._clusters_by_name, before.spec.warehouse, before.uid)
        if after is not None:
            self._clusters_by_epoch[after.uid] = after
            self._review(after)
            self._clusters_by_pool[after.spec.pool][after.uid] = after
            self._clusters_by_name[after.spec.warehouse][after.uid] = after
            if after.waits_for_head:
                self._headless_by_pool[after.spec.pool][after.uid] = after
            if after.warehouse_uid:
                self._clusters_by_warehouse[after.warehouse_uid][after.uid] = after
        self._tell(before, after)

    def _review(self, cluster: Cluster) -> None:
        """Keep the indices of the clusters that lack nodes but are not headless, and of those that nodes join."""
        nodes = self._nodes_by_epoch.get(cluster.uid, {}).values() if not cluster.is_leaving else ()
        has = sum(n.is_alive and n.role != names.ROLE_BURST for n in nodes)
        stands = not cluster.is_leaving and not cluster.waits_for_head
        _keep(self._short_by_pool, cluster, stands and has < cluster.desired_nodes)
        _keep(self._joining_by_pool, cluster, has > cluster.status.ready_nodes)


def _keep(index: defaultdict[str, dict[str, Cluster]], cluster: Cluster, belongs: bool) -> None:
    if belongs:
        index[cluster.spec.pool][cluster.uid] = cluster
    else:
        _drop(index, cluster.spec.pool, cluster.uid)


def _drop(index: defaultdict[str, dict[str, K]], key: str, uid: str) -> None:
    index[key].pop(uid, None)
    if not index[key]:
        del index[key]
