"""The nodes that may be claimed, by pool and template and oldest first: found without looking at all the others.

A node that is still booting, being deleted, or promised to another claim is never claimed. One of another template
serves until the pool has put another in its place, so that a new image costs nobody a warm node.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from heapq import merge
from itertools import islice

from firn_operator.decide.observed import Node, is_claimable

Place = tuple[datetime, int, str]


class FreeNodes:
    """An index kept up with every change of a node; promises to claims are not its concern."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._places: defaultdict[str, defaultdict[str, list[Place]]] = defaultdict(lambda: defaultdict(list))

    def change(self, before: Node | None, after: Node | None) -> None:
        """Take note of what has become of a node."""
        if before is not None and self._nodes.pop(before.uid, None) is not None:
            places = self._places[before.pool][before.template]
            del places[bisect_left(places, _place(before))]
        if after is not None and is_claimable(after):
            self._nodes[after.uid] = after
            insort(self._places[after.pool][after.template], _place(after))

    def count(self, pool: str, promised: Collection[str]) -> int:
        """Return how many of a pool are not promised."""
        free = sum(len(places) for places in self._places[pool].values())
        return free - sum(uid in self._nodes and self._nodes[uid].pool == pool for uid in promised)

    def first(self, pool: str, template: str, count: int, promised: Collection[str]) -> list[Node]:
        """Return the nodes to claim next: those of the template first, among equals the oldest."""
        return list(islice((n for n in self._in_order(pool, template) if n.uid not in promised), count))

    def of_template(self, pool: str, template: str, count: int, promised: Collection[str]) -> list[Node]:
        """Return the nodes of one template to claim next, the oldest first."""
        places = self._places[pool].get(template, ())
        return list(islice((self._nodes[uid] for _, _, uid in places if uid not in promised), count))

    def _in_order(self, pool: str, template: str) -> Iterator[Node]:
        by_template = self._places[pool]
        for _, _, uid in by_template.get(template, ()):
            yield self._nodes[uid]
        for _, _, uid in merge(*(places for name, places in by_template.items() if name != template)):
            yield self._nodes[uid]


def _place(node: Node) -> Place:
    return (node.created_at, node.slot, node.uid)
