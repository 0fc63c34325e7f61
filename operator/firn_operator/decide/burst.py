"""Burst nodes: how many each cluster may lease from its pool.

Source: seed article, "Query Acceleration Service to handle bursts from short-running queries" ("if the scale factor is
5 for a Medium-sized warehouse, the warehouse can lease compute up to 5 times its size"); snowflake-surface.md, "query
acceleration" (warehouse-wide, 0 is no cap, not for Snowpark-optimized warehouses); design.md section 6, "burst nodes"
(within the pool's burst share; a node may serve the warehouse's next scans for up to 60 s after its last).

What they leave open is decided like this. What there is goes to the warehouses one node at a time, to the one that has
least, so that none starves another; who has more keeps it only while nobody else lacks it. A pool counts all its nodes,
and its burst nodes are the first to go when clusters wait for nodes that no machine has room for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.sizes import WarehouseType, node_count

from firn_operator.decide.observed import Cluster, Node, Warehouse, has_no_room
from firn_operator.decide.pool import Census
from firn_operator.decide.reason import Reason

LEAVE_PATIENCE = timedelta(seconds=30)
"""How long after its lease a statement may hold a burst node; then it goes, as if it were lost."""
ROOM_PAUSE = timedelta(seconds=10)
"""How long a node that was given up for the pool's sake counts as the room that it has made."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the statements of one cluster ask for. It ends unless it is repeated."""

    nodes: int = 0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """One cluster that asks for burst nodes, or has some. `warehouse` is a UID."""

    epoch: str
    warehouse: str
    wanted: int = 0
    held: int = 0
    """Nodes on a lease that goes on, claims under way included."""
    leaving: int = 0
    """Nodes whose lease has ended and that are there still."""
    limit: int | None = None
    """Most that all clusters of its warehouse may have; None: no bound but the pool's."""

    @property
    def taken(self) -> int:
        """How many nodes of the pool it has in all."""
        return self.held + self.leaving


@dataclass(frozen=True, slots=True)
class Room:
    """What a pool has for burst nodes: all its nodes, the percentage of them, and those that clusters need back."""

    nodes: int
    share: int
    needed: int = 0

    def capacity(self, taken: int) -> int:
        """Return how many burst nodes the pool may have, of which `taken` are there."""
        most = self.nodes * self.share // 100
        return max(0, min(most, taken - self.needed) if self.needed else most)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one cluster may do: renew the leases of `keep` nodes, claim so many more, end so many leases now."""

    wanted: int = 0
    keep: int = 0
    claim: int = 0
    give_up: int = 0
    reason: Reason = Reason.BURST_LEASED
    """Why it may not have all that it wants."""
    lease: timedelta = timedelta(seconds=60)
    wish_ends_at: datetime | None = None


def wish_of(warehouse: Warehouse, cluster: Cluster, now: datetime) -> Wish:
    """Return what a cluster that takes work asks for. A wish needs nobody to vouch for it: it ends by itself."""
    if warehouse.load is None or not cluster.is_running:
        return Wish()
    asked = (b for b in warehouse.load.burst if b.cluster == cluster.name and now < b.expires_at)
    return next((Wish(b.nodes, b.expires_at) for b in asked), Wish())


def most_bursts(warehouse: Warehouse, is_limited: bool) -> int | None:
    """Return how many burst nodes all clusters of a warehouse may have; None: as many as the pool gives.

    `is_limited`: its resource monitor has suspended it.
    """
    spec, acceleration = warehouse.spec, warehouse.spec.query_acceleration
    if not acceleration.enabled or spec.type is not WarehouseType.STANDARD:
        return 0
    if is_limited or warehouse.deleting or spec.suspended:
        return 0
    return acceleration.max_scale_factor * node_count(spec.size, spec.type) or None


def asker_of(
    cluster: Cluster,
    warehouse: Warehouse | None,
    nodes: Sequence[Node],
    coming: int,
    busy: Set[str],
    is_limited: bool,
    now: datetime,
) -> Asker:
    """Return a cluster that asks for burst nodes, or has some; without its warehouse it may have none.

    `nodes`: those that it has; `coming`: claims under way; `busy`: UIDs of those that work, which it wants at least
    while it wants any.
    """
    leased = {n.uid for n in nodes if n.leased_until and now < n.leased_until}
    held, leaving = len(leased) + coming, len(nodes) - len(leased)
    if warehouse is None:
        return Asker(cluster.uid, cluster.warehouse_uid or "", 0, held, leaving, 0)
    wanted = wish_of(warehouse, cluster, now).nodes
    if wanted:
        wanted = max(wanted, len(leased & busy))
    return Asker(cluster.uid, warehouse.uid, wanted, held, leaving, most_bursts(warehouse, is_limited))


def room_of(census: Census, waiting: int, target: int, share: int, released: int) -> Room:
    """Return what a pool has; `released`: burst nodes that were given up a moment ago.

    Warm nodes that it is about to make count already, or leases would come and go.
    """
    without_room = sum(has_no_room(n) for n in census.booting)
    coming = len(census.free) + len(census.booting) - without_room
    promised = len(census.ready) - len(census.free)
    warm = max(coming, target - without_room)
    alive = sum(n.is_alive for n in census.claimed)
    needed = room_needed(waiting, coming + released, without_room)
    return Room(promised + warm + alive + len(census.parked), share, needed)


def room_needed(waiting: int, coming: int, without_room: int) -> int:
    """Return how many nodes clusters wait for that no machine has room for.

    `waiting`: nodes that clusters have still to claim; `coming`: those that are free or boot.
    """
    return max(0, min(waiting - coming, without_room))


def left_to_others(waiting: int, target: int, share: int) -> int:
    """Return how many free nodes a burst claim leaves: what clusters wait for, and the resumes' part of the target."""
    return waiting + target * (100 - share) // 100


def allot(askers: Sequence[Asker], capacity: int) -> Mapping[str, int]:
    """Return how many burst nodes each cluster should have, by epoch, when there are so many for all.

    One at a time, to the warehouse that has least and there to the cluster that has least, so that nobody can have one
    more without another having fewer than that. Of equal ones who holds more comes first: leases do not wander.
    """
    given: Counter[str] = Counter()
    by_warehouse: Counter[str] = Counter()
    for _ in range(capacity):
        lacking = [
            a for a in askers if given[a.epoch] < a.wanted and (a.limit is None or by_warehouse[a.warehouse] < a.limit)
        ]
        if not lacking:
            break
        least = min(lacking, key=lambda a: (by_warehouse[a.warehouse], given[a.epoch], -a.held, a.warehouse, a.epoch))
        given[least.epoch] += 1
        by_warehouse[least.warehouse] += 1
    return {a.epoch: given[a.epoch] for a in askers}


def terms(epoch: str, askers: Sequence[Asker], room: Room) -> Terms:
    """Return what the cluster of this epoch may do; `askers` are all of its pool."""
    mine = next(a for a in askers if a.epoch == epoch)
    siblings = [a for a in askers if a.warehouse == mine.warehouse]
    taken = sum(a.taken for a in askers)
    capacity = room.capacity(taken)
    shares = allot(askers, capacity)
    share = shares[epoch]
    free = capacity - taken
    below_limit = free if mine.limit is None else mine.limit - sum(a.taken for a in siblings)
    claim = max(0, min(share - mine.held, free, below_limit))
    give_up = max(
        _part(mine, askers, shares, capacity),
        0 if mine.limit is None else _part(mine, siblings, shares, mine.limit),
    )
    return Terms(mine.wanted, share, claim, give_up, _why_less(mine, siblings, shares, room))


def _part(mine: Asker, askers: Sequence[Asker], shares: Mapping[str, int], capacity: int) -> int:
    """Return how many leases a cluster ends so that all who share `capacity` come to their shares.

    What leaves already makes room too. Who has most beyond its share gives up first.
    """
    held = sum(a.held for a in askers)
    lacking = sum(max(0, shares[a.epoch] - a.held) for a in askers)
    crowd = held + lacking - capacity
    for asker in sorted(askers, key=lambda a: (shares[a.epoch] - a.held, a.epoch)):
        part = max(0, min(crowd, asker.held - shares[asker.epoch]))
        if asker.epoch == mine.epoch:
            return part
        crowd -= part
    return 0


def _why_less(mine: Asker, siblings: Sequence[Asker], shares: Mapping[str, int], room: Room) -> Reason:
    """Say what keeps a cluster from having all that it wants."""
    if shares[mine.epoch] >= mine.wanted:
        return Reason.BURST_LEASED
    if mine.limit is not None and sum(shares[a.epoch] for a in siblings) >= mine.limit:
        return Reason.SCALE_FACTOR
    return Reason.ROOM_NEEDED if room.needed else Reason.BURST_SHARE
