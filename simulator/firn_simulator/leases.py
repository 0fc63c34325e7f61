"""Burst nodes on the operator's side: what each cluster may lease, seen over all clusters of its pool."""

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from firn_operator.decide.burst import ROOM_PAUSE, Asker, Terms, asker_of, left_to_others, room_of, terms, wish_of
from firn_operator.decide.cluster_observed import NO_BURSTS
from firn_operator.decide.observed import Cluster, Node, Warehouse
from firn_operator.decide.pool import Census


class Lessee(Protocol):
    """A cluster that may ask for burst nodes."""

    @property
    def known(self) -> Cluster:
        """The cluster as the operator knows it."""

    @property
    def warehouse(self) -> Warehouse:
        """Its warehouse."""

    @property
    def asks(self) -> bool:
        """Whether its statements ask for burst nodes."""

    @property
    def burst_nodes(self) -> Sequence[Node]:
        """The burst nodes that it has and that live."""

    @property
    def busy_bursts(self) -> Set[str]:
        """UIDs of the burst nodes that statements work on."""

    @property
    def bursts_coming(self) -> int:
        """How many burst nodes it is claiming."""

    def wake(self) -> None:
        """Have it look now."""


class Leases:
    """The clusters of one pool that may ask for burst nodes."""

    def __init__(self) -> None:
        self._clusters: dict[str, Lessee] = {}
        self._released: list[datetime] = []

    def add(self, cluster: Lessee) -> None:
        """Let a cluster ask."""
        self._clusters[cluster.known.uid] = cluster

    def remove(self, cluster: Lessee) -> None:
        """Forget a cluster."""
        self._clusters.pop(cluster.known.uid, None)

    def released(self, now: datetime) -> None:
        """Note that a burst node makes room."""
        self._released.append(now)

    def wake(self) -> None:
        """Have all look that ask for nodes or have some: what there is has changed."""
        for cluster in self._clusters.values():
            if cluster.burst_nodes or cluster.asks:
                cluster.wake()

    def terms(
        self, cluster: Lessee, census: Census, waiting: int, target: int, share: int, now: datetime
    ) -> tuple[Terms, int]:
        """Return what a cluster may lease, and how many free nodes a claim leaves to others."""
        if cluster.known.uid not in self._clusters:
            return NO_BURSTS, 0
        askers = [self._asker(each, now) for each in self._clusters.values()]
        self._released = [at for at in self._released if now < at + ROOM_PAUSE]
        found = terms(cluster.known.uid, askers, room_of(census, waiting, target, share, len(self._released)))
        spec = cluster.warehouse.spec.query_acceleration
        wish = wish_of(cluster.warehouse, cluster.known, now)
        lease = timedelta(seconds=spec.lease_seconds)
        return replace(found, lease=lease, wish_ends_at=wish.expires_at), left_to_others(waiting, target, share)

    def _asker(self, cluster: Lessee, now: datetime) -> Asker:
        nodes, busy = cluster.burst_nodes, cluster.busy_bursts
        return asker_of(cluster.known, cluster.warehouse, nodes, cluster.bursts_coming, busy, False, now)
