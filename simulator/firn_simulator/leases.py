"""Burst nodes on the operator's side: what each cluster may lease, seen over all clusters of its pool."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from firn_operator.decide.burst import ROOM_PAUSE, Asker, Terms, asker_of, left_to_others, room_of, terms, wish_of
from firn_operator.decide.cluster_observed import NO_BURSTS
from firn_operator.decide.pool import Census

if TYPE_CHECKING:
    from firn_simulator.cluster import SimulatedCluster


class Leases:
    """The clusters of one pool that may ask for burst nodes."""

    def __init__(self) -> None:
        self._clusters: dict[str, SimulatedCluster] = {}
        self._released: list[datetime] = []

    def add(self, cluster: "SimulatedCluster") -> None:
        """Let a cluster ask."""
        self._clusters[cluster.known.uid] = cluster

    def remove(self, cluster: "SimulatedCluster") -> None:
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
        self, cluster: "SimulatedCluster", census: Census, waiting: int, target: int, share: int, now: datetime
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

    def _asker(self, cluster: "SimulatedCluster", now: datetime) -> Asker:
        nodes, busy = cluster.burst_nodes, cluster.busy_bursts
        return asker_of(cluster.known, cluster.warehouse, nodes, cluster.bursts_coming, busy, False, now)
