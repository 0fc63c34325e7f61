"""Who is woken by which change."""

from datetime import datetime
from heapq import nsmallest

from firn_model import names

from firn_operator.controllers.loop import Loops
from firn_operator.controllers.reservations import Reservations
from firn_operator.decide.observed import Cluster, Node, Pool, Warehouse
from firn_operator.observe.state import State


class Wiring:
    """Wakes the loops that a change concerns: claims first, then the pools that refill, then statuses."""

    def __init__(
        self,
        state: State,
        reservations: Reservations,
        warehouses: Loops,
        clusters: Loops,
        pools: Loops,
        metering: Loops,
    ) -> None:
        self._state = state
        self._reservations = reservations
        self._warehouses = warehouses
        self._clusters = clusters
        self._pools = pools
        self._metering = metering
        state.listeners.append(self.changed)

    def changed(self, before: object | None, after: object | None) -> None:
        """Wake whom the change of one object concerns."""
        if _asks(before) != _asks(after):
            self._wishes_changed(before or after)
        for thing in (after, before):
            if isinstance(thing, Node):
                self._node_changed(thing)
            elif isinstance(thing, Cluster):
                self._cluster_changed(thing)
            elif isinstance(thing, Warehouse):
                self._warehouse_changed(thing)
            elif isinstance(thing, Pool):
                self._pool_changed(thing, respecified=_generation(before) != _generation(after))

    def all(self) -> None:
        """Wake everyone, as after a start or a resync."""
        for cluster in self._state.clusters.values():
            self._clusters.wake(cluster.name)
            self._metering.wake(cluster.name)
        for pool in self._state.pools.values():
            self._pools.wake(pool.name)
        self.all_warehouses()

    def all_warehouses(self) -> None:
        """Wake all warehouses: who vouches for their load has changed."""
        for warehouse in self._state.warehouses.values():
            self._warehouses.wake(warehouse.name)

    def _node_changed(self, node: Node) -> None:
        if node.cluster:
            self._clusters.wake(node.cluster)
        else:
            self.wake_waiting(node.pool)
        if node.role == names.ROLE_BURST:
            self._wake_bursting(node.pool)
        self._pools.wake(node.pool)

    def wake_waiting(self, pool: str) -> None:
        """Wake who waits for a node of the pool, one for each that is free: heads first, the longest waiting first.

        The others need not look: they would find none, and they look by themselves now and then. Who has burst nodes
        looks in any case, since it may have to give some back.
        """
        free = self._state.free.count(pool, self._reservations.nodes)
        headless = self._state.headless_of_pool(pool) if free else ()
        heads = nsmallest(free, (c for c in headless if self._is_without_node(c)), key=_age)
        for cluster in heads:
            self._clusters.wake(cluster.name)
        if free > len(heads):
            for cluster in self._state.short_of_pool(pool):
                self._clusters.wake(cluster.name)
        self._wake_bursting(pool)

    def _wake_bursting(self, pool: str) -> None:
        """Wake the clusters that have burst nodes or ask for some: what one leaves another may take."""
        for cluster in self._state.bursting(pool):
            self._clusters.wake(cluster.name)

    def _is_without_node(self, cluster: Cluster) -> bool:
        return not self._reservations.count_of(cluster.uid) and not self._state.nodes_of_epoch(cluster.uid)

    def _cluster_changed(self, cluster: Cluster) -> None:
        self._clusters.wake(cluster.name)
        self._warehouses.wake(cluster.spec.warehouse)
        self._pools.wake(cluster.spec.pool)
        self._metering.wake(cluster.name)

    def _warehouse_changed(self, warehouse: Warehouse) -> None:
        self._warehouses.wake(warehouse.name)
        if self._state.warehouses.get(warehouse.name) is not warehouse:
            for cluster in self._state.clusters_of(warehouse.uid):
                self._clusters.wake(cluster.name)
            for node in self._state.parked_of(warehouse.uid):
                self._pools.wake(node.pool)
            return
        for cluster in self._state.clusters_of(warehouse.uid):
            if self._state.is_bursting(cluster):
                self._clusters.wake(cluster.name)

    def _wishes_changed(self, warehouse: object | None) -> None:
        """Wake all that have burst nodes of the same pools: what one asks for may be the other's to give up."""
        if isinstance(warehouse, Warehouse):
            for pool in {c.spec.pool for c in self._state.clusters_of(warehouse.uid)}:
                self._wake_bursting(pool)

    def _pool_changed(self, pool: Pool, respecified: bool) -> None:
        """Wake who waits; all of them, whether a node is free or not, when the pool comes, goes or becomes another."""
        if respecified:
            for cluster in (*self._state.headless_of_pool(pool.name), *self._state.short_of_pool(pool.name)):
                self._clusters.wake(cluster.name)
        self.wake_waiting(pool.name)
        self._pools.wake(pool.name)


def _generation(pool: object | None) -> int | None:
    return pool.generation if isinstance(pool, Pool) else None


def _asks(thing: object | None) -> frozenset[tuple[str, int]]:
    """Return how many burst nodes a warehouse's clusters ask for."""
    load = thing.load if isinstance(thing, Warehouse) else None
    return frozenset((b.cluster, b.nodes) for b in load.burst) if load else frozenset()


def _age(cluster: Cluster) -> datetime:
    return cluster.requested_at
