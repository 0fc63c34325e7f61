"""Nodes promised to a claim under way: two claims of this process never pick the same pod."""


class Reservations:
    """Which cluster is claiming which node, by UIDs."""

    def __init__(self) -> None:
        self._cluster_by_node: dict[str, str] = {}
        self._node_by_cluster: dict[str, tuple[str, str]] = {}

    @property
    def nodes(self) -> frozenset[str]:
        """UIDs of the promised nodes."""
        return frozenset(self._cluster_by_node)

    def node_of(self, cluster_uid: str) -> tuple[str, str] | None:
        """Return name and UID of the node that the cluster is claiming."""
        return self._node_by_cluster.get(cluster_uid)

    def take(self, cluster_uid: str, node_name: str, node_uid: str) -> None:
        """Promise a free node to a cluster that has no other promise."""
        self._cluster_by_node[node_uid] = cluster_uid
        self._node_by_cluster[cluster_uid] = (node_name, node_uid)

    def release(self, cluster_uid: str) -> None:
        """Take the promise back: the claim's outcome is known."""
        promised = self._node_by_cluster.pop(cluster_uid, None)
        if promised:
            del self._cluster_by_node[promised[1]]
