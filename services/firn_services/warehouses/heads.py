"""The clusters of one warehouse as its schedule sees them, and the heads that are avoided for a while."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.messages import RefusalReason
from firn_model.sizes import WarehouseSize, WarehouseType, node_count
from firn_model.warehouses import WarehouseSpec

from firn_services.decide.need import Cluster
from firn_services.statements.attempt import Lost
from firn_services.statements.dispatcher import Head
from firn_services.warehouses.observed import ObservedCluster
from firn_services.warehouses.parts import NodeCapacity

AVOID_AFTER_LOSS = timedelta(seconds=1)
AVOID_WHILE_BUSY = timedelta(milliseconds=50)
_FOR_GOOD = frozenset({RefusalReason.DRAINING, RefusalReason.WRONG_EPOCH, RefusalReason.WRONG_POD})


@dataclass(frozen=True, slots=True)
class Nodes:
    """How many nodes of a warehouse's clusters run work, are still to come, and are about to go; and their sizes."""

    ready: int = 0
    coming: int = 0
    leaving: int = 0
    sizes: frozenset[WarehouseSize] = frozenset()

    def share(self, count: int) -> str:
        """Return a count as percent of all; nothing when there are none, as in Snowflake."""
        total = self.ready + self.coming + self.leaving
        return f"{100 * count / total:.4g}" if total else ""


class Heads:
    """What the watch saw of each cluster, and until when its head is left alone."""

    def __init__(self, capacity: NodeCapacity) -> None:
        self._capacity = capacity
        self._clusters: dict[str, ObservedCluster] = {}
        self._avoid: dict[Head, datetime | None] = {}

    def see(self, name: str, cluster: ObservedCluster | None) -> None:
        """Take the newest state of a cluster; None when it is gone."""
        if cluster is not None:
            self._clusters[name] = cluster
        elif (gone := self._clusters.pop(name, None)) is not None:
            self._avoid = {head: until for head, until in self._avoid.items() if head.epoch != gone.epoch}

    def __iter__(self) -> Iterator[ObservedCluster]:
        """Yield every cluster that is there."""
        return iter(self._clusters.values())

    def __getitem__(self, name: str) -> ObservedCluster:
        return self._clusters[name]

    @property
    def is_serving(self) -> bool:
        """Return whether a cluster takes statements."""
        return any(c.takes_statements for c in self._clusters.values())

    @property
    def serving(self) -> dict[str, int]:
        """Return the number in its warehouse of each cluster that takes statements, by name."""
        return {c.name: c.spec.index for c in self._clusters.values() if c.takes_statements}

    def nodes(self) -> Nodes:
        """Return how the nodes stand; a cluster that changes its size has what it wants when its status says so."""
        wanted = [c for c in self._clusters.values() if not (c.spec.drain or c.is_leaving)]
        leaving = [c for c in self._clusters.values() if c.spec.drain and not c.is_leaving]
        ready = sum(min(c.status.ready_nodes, node_count(c.spec.size, c.spec.type)) for c in wanted)
        total = sum(node_count(c.spec.size, c.spec.type) for c in wanted)
        gone = sum(c.status.ready_nodes for c in leaving)
        return Nodes(ready, total - ready, gone, frozenset(c.spec.size for c in wanted))

    def avoid(self, head: Head, loss: Lost, now: datetime) -> None:
        """Leave a head alone after a loss: for good when it says so, shortly when it is busy."""
        busy = loss.refused in (RefusalReason.BUSY, RefusalReason.NOT_READY)
        pause = AVOID_WHILE_BUSY if busy else AVOID_AFTER_LOSS
        self._avoid[head] = None if loss.refused in _FOR_GOOD else now + pause

    def clusters(self, now: datetime) -> tuple[list[Cluster], datetime | None]:
        """Return every cluster for the schedule, and when the first that is avoided may be tried again."""
        found, wakes = [], list[datetime]()
        for cluster in self._clusters.values():
            head = head_of(cluster)
            is_open = cluster.takes_statements
            if is_open and head in self._avoid:
                until = self._avoid[head]
                if until is not None and now >= until:
                    del self._avoid[head]
                else:
                    is_open = False
                    if until is not None:
                        wakes.append(until)
            found.append(as_scheduled(cluster, self._capacity, is_open=is_open))
        return found, min(wakes, default=None)


def head_of(cluster: ObservedCluster) -> Head:
    """Return the head that a cluster has now."""
    return Head(cluster.status.endpoint or "", cluster.status.head_uid or "", cluster.epoch)


def as_scheduled(cluster: ObservedCluster, capacity: NodeCapacity, *, is_open: bool) -> Cluster:
    """Return what the schedule knows of a cluster.

    Processes are those of its size, also while nodes still join: a share of them is a share of what is there. Memory is
    that of the nodes that are ready.
    """
    status = cluster.status
    high = cluster.spec.type is WarehouseType.SNOWPARK_OPTIMIZED
    return Cluster(
        name=cluster.name,
        index=cluster.spec.index,
        nodes=max(status.desired_nodes, 1),
        cores=capacity.cores,
        memory_bytes=max(status.ready_nodes, 1) * (capacity.high_memory_bytes if high else capacity.memory_bytes),
        is_open=is_open,
        epoch=cluster.epoch,
    )


def whole_cluster(spec: WarehouseSpec | None, capacity: NodeCapacity) -> tuple[int, int]:
    """Return the processes and the memory of a complete cluster of a warehouse; one node when it is unknown."""
    if spec is None:
        return capacity.cores, capacity.memory_bytes
    nodes = node_count(spec.size, spec.type)
    high = spec.type is WarehouseType.SNOWPARK_OPTIMIZED
    return nodes * capacity.cores, nodes * (capacity.high_memory_bytes if high else capacity.memory_bytes)
