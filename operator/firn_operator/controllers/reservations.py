"""Nodes promised to claims under way: two claims of this process never pick the same pod."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from firn_operator.decide.observed import Node


class Reservations:
    """Which cluster is claiming which nodes, by UIDs."""

    def __init__(self) -> None:
        self._cluster_by_node: dict[str, str] = {}
        self._nodes_by_cluster: dict[str, dict[str, str]] = {}
        self._bursts: set[str] = set()
        self.changes = 0
        """How often anything has changed."""

    @property
    def nodes(self) -> AbstractSet[str]:
        """UIDs of the promised nodes."""
        return self._cluster_by_node.keys()

    def nodes_of(self, cluster_uid: str) -> dict[str, str]:
        """Return the names by UID of the nodes that the cluster is claiming."""
        return dict(self._nodes_by_cluster.get(cluster_uid, {}))

    def count_of(self, cluster_uid: str) -> int:
        """Return how many nodes the cluster is claiming."""
        return len(self._nodes_by_cluster.get(cluster_uid, ()))

    def coming(self, cluster_uid: str, has: Iterable[Node], is_burst: bool) -> int:
        """Return how many nodes the cluster is claiming, as burst nodes or as its own, beside those that it has.

        A claim is seen by the watch before its answer has come: that node counts only as one that it has.
        """
        known = {n.uid for n in has}
        promised = self._nodes_by_cluster.get(cluster_uid, ())
        return sum((uid in self._bursts) is is_burst and uid not in known for uid in promised)

    def take(self, cluster_uid: str, node_name: str, node_uid: str, is_burst: bool = False) -> None:
        """Promise a free node to a cluster."""
        self.changes += 1
        if is_burst:
            self._bursts.add(node_uid)
        self._cluster_by_node[node_uid] = cluster_uid
        self._nodes_by_cluster.setdefault(cluster_uid, {})[node_uid] = node_name

    def release(self, cluster_uid: str, node_uid: str) -> None:
        """Take a promise back: the claim's outcome is known."""
        if self._cluster_by_node.pop(node_uid, None) is None:
            return
        self.changes += 1
        self._bursts.discard(node_uid)
        promised = self._nodes_by_cluster[cluster_uid]
        del promised[node_uid]
        if not promised:
            del self._nodes_by_cluster[cluster_uid]
