"""Rows that a join leaves out in the end, left out before they are grouped, shuffled or collected. Pure.

A join by hash whose collected left side is a part of a table often lets few rows of its right side through. Where these
come from groups, from a shuffle, or from the collected side of another join, what they come from is joined with the
same left side first, to the rows that have a match. The left side is made once: equal stages are one (cutting.py).

Not for a left side that might not be the same twice, as one with a limit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from firn_runtime.plans.columns import Column, origins
from firn_runtime.plans.marking import RIGHT_REDUCIBLE, is_part
from firn_runtime.plans.regrouping import scanned_bytes
from firn_runtime.plans.tree import (
    NODE,
    JoinKind,
    Node,
    collects_left,
    is_volatile,
    kind_of,
    partition_count,
    walk,
)

_REDUCIBLE = RIGHT_REDUCIBLE | {JoinKind.INNER, JoinKind.RIGHT_SEMI}
"""Likewise of those that give no row for a right one without a match."""
_SAME_TWICE = frozenset(
    {
        "parquet_scan",
        "filter",
        "projection",
        "coalesce_batches",
        "cooperative",
        "repartition",
        "merge",
        "hash_join",
    }
)


@dataclass(frozen=True, slots=True)
class _Place:
    """A node whose rows a join leaves out by a column of theirs."""

    path: tuple[int, ...]
    """The numbers of the inputs that lead there."""
    node: Node
    column: Column
    is_early: bool = False
    """Whether between it and the join rows are grouped, dealt, or collected."""
    is_grouped: bool = False


def reduce_early(root: Node, *, runs_whole: bool = False) -> None:
    """Have the joins of a plan leave rows out early, the uppermost join first.

    A plan that runs whole makes all of a join's left side again wherever rows are left out by it.
    """
    for node in walk(root):
        if _may_reduce(node):
            for keys in _places_of(node).values():
                if _is_small(node, keys[0][1]) or (not runs_whole and _is_free(node, keys[0][1])):
                    _reduce(node, keys)


def _may_reduce(node: Node) -> bool:
    """Whether a join by keys collects a part of a table that it leaves rows of its right side out by."""
    if kind_of(node) != "hash_join" or not collects_left(node):
        return False
    join = node.hash_join
    if join.kind not in _REDUCIBLE or join.null_aware or not is_part(join.left):
        return False
    return all(kind_of(each) in _SAME_TWICE for each in walk(join.left)) and not is_volatile(join.left)


def _places_of(node: Node) -> dict[tuple[int, ...], list[tuple[bytes, _Place]]]:
    """Return the places where a join's right rows may be left out early, with the left keys to do it by."""
    found: dict[tuple[int, ...], list[tuple[bytes, _Place]]] = {}
    for key in node.hash_join.keys:
        column = Column.of(key.right)
        if column is not None:
            for place in _deepest(_Place((), node.hash_join.right, column)):
                if place.is_early:
                    found.setdefault(place.path, []).append((key.left, place))
    return found


def _deepest(place: _Place) -> Iterator[_Place]:
    """Yield where a column's rows come from in the end, unless they have been reduced by it on the way."""
    kind = kind_of(place.node)
    if kind == "hash_join" and place.node.hash_join.kind == JoinKind.RIGHT_SEMI:
        return
    below = list(origins(place.node, place.column))
    if not below:
        yield place
    for number, node, column in below:
        crossed = kind in ("aggregate", "repartition") or (kind == "hash_join" and number == 0)
        yield from _deepest(
            replace(
                place,
                path=(*place.path, number),
                node=node,
                column=column,
                is_early=place.is_early or crossed,
                is_grouped=place.is_grouped or kind == "aggregate",
            )
        )


def _is_small(join: Node, place: _Place) -> bool:
    """Whether what a join collects is read from less than what it would be joined with at a place."""
    return scanned_bytes(join.hash_join.left) < scanned_bytes(place.node)


def _is_free(join: Node, place: _Place) -> bool:
    """Whether what a join collects is a stage for both, and saves the grouping of rows."""
    return place.is_grouped and partition_count(join) > 1 and partition_count(place.node) > 1


def _reduce(node: Node, keys: list[tuple[bytes, _Place]]) -> None:
    """Join a place with the left side of a join."""
    join, reduced = node.hash_join, keys[0][1].node
    semi = NODE()
    fields = semi.hash_join
    fields.left.CopyFrom(join.left)
    fields.right.CopyFrom(reduced)
    for left, place in keys:
        fields.keys.add(left=left, right=place.column.expression())
    fields.kind, fields.mode, fields.null_equality = JoinKind.RIGHT_SEMI, join.mode, join.null_equality
    reduced.CopyFrom(semi)
