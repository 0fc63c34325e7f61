"""The warm and the parked nodes of a simulated pool, sorted with every change: a look at them costs what boots."""

from collections import defaultdict
from collections.abc import Collection

from firn_model import names
from firn_operator.decide.free_nodes import FreeNodes
from firn_operator.decide.observed import Node

TEMPLATE = "simulated"


class Stock:
    """Nodes that no cluster has, none of them being deleted. A warm node that is ready stays so until it is claimed."""

    def __init__(self) -> None:
        self.ready: dict[str, Node] = {}
        self.booting: dict[str, Node] = {}
        self.parked: dict[str, Node] = {}
        self._parked_by_warehouse: defaultdict[str | None, dict[str, Node]] = defaultdict(dict)
        self._free = FreeNodes()

    def change(self, before: Node | None, after: Node) -> bool:
        """Take note of what has become of a node; return whether it was here or is."""
        was_here = before is not None and self._take(before)
        is_here = not after.deleting and after.state != names.STATE_CLAIMED
        if is_here:
            self._put(after)
        return was_here or is_here

    def first(self, pool: str, count: int, promised: Collection[str]) -> list[Node]:
        """Return the nodes to claim next, in the operator's order."""
        return self._free.first(pool, TEMPLATE, count, promised)

    def parked_of(self, warehouse_uid: str | None) -> Collection[Node]:
        """Return the nodes that are parked for a warehouse."""
        return self._parked_by_warehouse[warehouse_uid].values() if self.parked else ()

    def _take(self, node: Node) -> bool:
        if self.parked.pop(node.name, None) is not None:
            del self._parked_by_warehouse[node.warehouse_uid][node.name]
            return True
        if self.ready.pop(node.name, None) is not None:
            self._free.change(node, None)
            return True
        return self.booting.pop(node.name, None) is not None

    def _put(self, node: Node) -> None:
        if node.is_parked:
            self.parked[node.name] = node
            self._parked_by_warehouse[node.warehouse_uid][node.name] = node
        elif node.ready:
            self.ready[node.name] = node
            self._free.change(None, node)
        else:
            self.booting[node.name] = node
