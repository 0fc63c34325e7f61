"""Feeding raw objects into the operator's memory."""

from collections.abc import Callable, Iterable
from typing import Any

import structlog

from firn_operator.build.pod import template_hash
from firn_operator.decide.observed import Cluster, Monitor, Node, Pool, Warehouse
from firn_operator.errors import UnreadableError
from firn_operator.observe import parse
from firn_operator.observe.parse import Raw
from firn_operator.observe.state import Known, Shelf, State

log = structlog.get_logger()

WAREHOUSES = "virtualwarehouses"
CLUSTERS = "warehouseclusters"
POOLS = "warehousepools"
MONITORS = "resourcemonitors"
PODS = "pods"
LEASES = "leases"


class Account:
    """The memory of one account, and the public key that its nodes are made with."""

    def __init__(self, public_key: str) -> None:
        self.public_key = public_key
        self.state = State()
        state = self.state
        self._shelves: dict[str, tuple[Shelf[Any], Callable[[Raw], Known]]] = {
            PODS: (state.nodes, parse.node),
            WAREHOUSES: (state.warehouses, parse.warehouse),
            CLUSTERS: (state.clusters, parse.cluster),
            POOLS: (state.pools, self.read_pool),
            MONITORS: (state.monitors, parse.monitor),
        }

    def learn_node(self, raw: Raw) -> Node:
        """Remember a pod; return what is known of it now."""
        node = parse.node(raw)
        self.state.nodes.put(node)
        return self.state.nodes.get(node.name) or node

    def learn_cluster(self, raw: Raw) -> Cluster:
        """Remember a cluster; return what is known of it now. Raises UnreadableError."""
        cluster = parse.cluster(raw)
        self.state.clusters.put(cluster)
        return self.state.clusters.get(cluster.name) or cluster

    def learn_warehouse(self, raw: Raw) -> Warehouse:
        """Remember a warehouse; return what is known of it now. Raises UnreadableError."""
        warehouse = parse.warehouse(raw)
        self.state.warehouses.put(warehouse)
        return self.state.warehouses.get(warehouse.name) or warehouse

    def learn_pool(self, raw: Raw) -> Pool:
        """Remember a pool; return what is known of it now. Raises UnreadableError."""
        pool = self.read_pool(raw)
        self.state.pools.put(pool)
        return self.state.pools.get(pool.name) or pool

    def learn_monitor(self, raw: Raw) -> Monitor:
        """Remember a monitor; return what is known of it now. Raises UnreadableError."""
        monitor = parse.monitor(raw)
        self.state.monitors.put(monitor)
        return self.state.monitors.get(monitor.name) or monitor

    def read_pool(self, raw: Raw) -> Pool:
        """Return the pool in a raw object, with the hash of the pods it makes now."""
        return parse.pool(raw, template_hash(parse.pool_spec(raw), self.public_key))

    def forget_node(self, node: Node) -> None:
        """Remember that this pod is gone."""
        self.state.nodes.remove(node.name, node.uid)

    def notice(self, resource: str, event: str, raw: Raw) -> None:
        """Take in what a watch brought; what cannot be read is left alone until it changes.

        Most of it is known from the answers to own writes: that is not read again.
        """
        meta = raw["metadata"]
        shelf, read = self._shelves[resource]
        if event == "DELETED":
            shelf.remove(meta["name"], meta["uid"])
            return
        known = shelf.get(meta["name"])
        if known is not None and known.uid == meta["uid"] and known.version >= parse.version_of(raw):
            return
        try:
            shelf.put(read(raw))
        except UnreadableError as error:
            log.warning("object cannot be read", resource=resource, name=meta["name"], error=str(error))

    def read(self, resource: str, listed: Iterable[Raw]) -> list[Known]:
        """Return the objects of a list, those that are known as they are without reading them again."""
        shelf, read = self._shelves[resource]
        items: list[Known] = []
        for raw in listed:
            meta = raw["metadata"]
            known = shelf.get(meta["name"])
            if known is not None and known.uid == meta["uid"] and known.version == parse.version_of(raw):
                items.append(known)
                continue
            try:
                items.append(read({"kind": resource, **raw}))
            except UnreadableError as error:
                log.warning("object cannot be read", resource=resource, name=meta["name"], error=str(error))
        return items

    def settle(self, resource: str, items: list[Known], version: int) -> int:
        """Correct the memory by a whole, consistent list; return how many changes had been missed."""
        return self._shelves[resource][0].settle(items, version)
