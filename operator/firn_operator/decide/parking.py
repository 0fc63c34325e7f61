"""Parked nodes: a suspended warehouse's nodes wait, with their caches, for its next cluster, and for no other's.

Source: design.md section 5 (a released node is deleted or parked, never handed to another warehouse; parked nodes are
given up oldest first when the pool needs the room) and section 8 (the caches are what makes the wait worth it).
A worker is of use only with the head whose Ray it has joined, so they wait and go together.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model import names
from firn_model.clusters import NodeState

from firn_operator.decide.observed import Cluster, Node, Pool, Warehouse
from firn_operator.decide.reason import Reason


def most_parked(cluster: Cluster, warehouse: Warehouse | None, clusters: Iterable[Cluster], pool: Pool | None) -> int:
    """Return how many nodes of a drained cluster may be parked; `clusters` are all of its warehouse.

    None when the warehouse runs on, is gone, or could not use them again: they would only take room.
    """
    if warehouse is None or warehouse.deleting or warehouse.uid != cluster.warehouse_uid:
        return 0
    if pool is None or pool.deleting or any(not c.is_leaving for c in clusters):
        return 0
    same = warehouse.spec.pool == cluster.spec.pool and warehouse.spec.type is cluster.spec.type
    return pool.spec.parked.max_nodes if same else 0


def to_park(cluster: Cluster, nodes: Iterable[Node], template: str, most: int) -> tuple[Node, ...]:
    """Return the nodes of a drained cluster that are worth parking: its head and who had joined it, or none."""
    joined = {n.uid for n in cluster.status.nodes if n.state is NodeState.READY}
    sound = [n for n in nodes if n.is_alive and n.ready and n.template == template and n.uid in joined]
    head = [n for n in sound if n.uid == cluster.status.head_uid]
    workers = (n for n in sound if n.role == names.ROLE_WORKER and n.head_uid == cluster.status.head_uid)
    return tuple([*head, *sorted(workers, key=lambda n: n.name)][:most]) if head else ()


def parked_for(cluster: Cluster, parked: Iterable[Node], template: str, reserved: Collection[str]) -> list[Node]:
    """Return the parked nodes of the cluster's warehouse that it may claim now: heads with most company first.

    Without a head these are heads; with one, the workers that have joined it.
    """
    free = [n for n in parked if n.is_alive and n.ready and n.template == template and n.uid not in reserved]
    free = [n for n in free if n.pool == cluster.spec.pool and n.warehouse_uid == cluster.warehouse_uid]
    head_uid = cluster.status.head_uid
    if head_uid is not None:
        return sorted((n for n in free if n.head_uid == head_uid), key=lambda n: n.name)
    company = Counter(n.head_uid for n in free)
    heads = [n for n in free if n.role == names.ROLE_HEAD]
    return sorted(heads, key=lambda n: (company[n.uid], n.parked_at or n.created_at), reverse=True)


@dataclass(frozen=True, slots=True)
class Parking:
    """The parked nodes of one pool, and who there is besides."""

    pool: Pool
    parked: tuple[Node, ...]
    heads: frozenset[str]
    """UIDs of all heads that are alive, parked or claimed."""
    warehouses: frozenset[str]
    """UIDs of all warehouses."""
    reserved: frozenset[str] = frozenset()
    without_room: int = 0
    """Nodes of the pool that cannot be scheduled."""


def give_up(parking: Parking, now: datetime) -> tuple[list[tuple[Node, Reason]], datetime | None]:
    """Return which parked nodes are deleted and why, and when the next has been kept long enough."""
    keep = timedelta(seconds=parking.pool.spec.parked.keep_seconds)
    free = [n for n in parking.parked if not n.deleting and n.uid not in parking.reserved]
    gone = {n.uid: (n, reason) for n in free if (reason := _useless(parking, n, keep, now))}
    rest = [n for n in free if n.uid not in gone]
    too_many = len(rest) - parking.pool.spec.parked.max_nodes
    for count, reason in ((too_many, Reason.TOO_MANY_PARKED), (parking.without_room, Reason.ROOM_NEEDED)):
        if count > 0:
            for node in sorted(rest, key=_oldest_first)[:count]:
                gone.setdefault(node.uid, (node, reason))
    kept_since = [_since(n) for n in rest if n.uid not in gone]
    return list(gone.values()), min(kept_since) + keep if kept_since else None


def _useless(parking: Parking, node: Node, keep: timedelta, now: datetime) -> Reason | None:
    if node.is_dead:
        return Reason.NODE_FAILED
    if node.template != parking.pool.template:
        return Reason.OUTDATED
    if node.warehouse_uid not in parking.warehouses:
        return Reason.WAREHOUSE_GONE
    if node.role != names.ROLE_HEAD and node.head_uid not in parking.heads:
        return Reason.HEAD_LOST
    return Reason.KEPT_LONG_ENOUGH if now >= _since(node) + keep else None


def _since(node: Node) -> datetime:
    return node.parked_at or node.created_at


def _oldest_first(node: Node) -> tuple[datetime, bool, str]:
    return (_since(node), node.role == names.ROLE_HEAD, node.name)
