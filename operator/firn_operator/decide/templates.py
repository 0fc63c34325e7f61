"""Which nodes may be together in one cluster: those made by one pod template, that of the head.

Source: design.md sections 5 and 6 (rolling replacement on a new image). Nodes of another template may run another
engine, whose plans, pieces and Ray speak another language: they are never mixed. A pool makes nodes of its present
template only, so a cluster whose head is older and that lacks nodes gets none any more: it serves on with what it has
until the pool has a node for another cluster's head, which takes its place (`warehouse.renewal`).
"""

from collections.abc import Iterable

from firn_operator.decide.observed import Cluster, Node, Pool


def template_for(head: Node | None, pool: Pool) -> str:
    """Return the template of the nodes that may join a head; without one, of those that it is best taken from."""
    return head.template if head is not None else pool.template


def is_outdated(head: Node | None, pool: Pool | None) -> bool:
    """Return whether a pool makes no nodes any more that could join this head."""
    return head is not None and pool is not None and head.template != pool.template


def is_stranded(cluster: Cluster, head: Node | None, pool: Pool | None, lacks: int, free: Iterable[Node]) -> bool:
    """Return whether a cluster lacks nodes that it will never get; `free`: those of its pool that may be claimed."""
    if not cluster.is_running or lacks <= 0 or head is None or not is_outdated(head, pool):
        return False
    return all(node.template != head.template for node in free)
