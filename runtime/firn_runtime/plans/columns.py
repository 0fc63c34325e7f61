"""Where a column of a plan's rows comes from: the same column of which inputs. Pure.

What is not understood has no origin, and no width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from firn_runtime.plans.tree import EXPRESSION, FILE_SCANS, JoinKind, Node, inner, kind_of

_PASSING = frozenset({"cooperative", "buffer", "repartition", "coalesce_batches", "merge", "sort"})
"""What gives the rows and columns of its input out as they are, perhaps in another order."""
_MAY_FETCH = frozenset({"coalesce_batches", "merge", "filter", "hash_join"})
_NO_COLUMNS = (1 << 32) - 1
"""A join's projection to no column at all; an empty one is to all."""
_PARTIAL = 0
"""AggregateMode of an aggregate whose other columns are states, however many."""
_LEFT_ONLY = frozenset({JoinKind.LEFT_SEMI, JoinKind.LEFT_ANTI})
_RIGHT_ONLY = frozenset({JoinKind.RIGHT_SEMI, JoinKind.RIGHT_ANTI})
_KEEPS_LEFT = _LEFT_ONLY | {JoinKind.INNER, JoinKind.LEFT}
_KEEPS_RIGHT = _RIGHT_ONLY | {JoinKind.INNER, JoinKind.RIGHT}
"""Joins of whose right side rows may be left out instead of all that the join makes of them, likewise above."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a node's rows, by its name and place there."""

    name: str
    place: int

    @staticmethod
    def of(expression: bytes) -> "Column | None":
        """Return the column that a serialised expression is; None when it is something else."""
        message = EXPRESSION.FromString(expression)
        return Column(message.column.name, message.column.index) if message.HasField("column") else None

    def expression(self) -> bytes:
        """Return it as a serialised expression."""
        message = EXPRESSION()
        message.column.name, message.column.index = self.name, self.place
        return bytes(message.SerializeToString())


def origins(node: Node, column: Column) -> Iterator[tuple[int, Node, Column]]:
    """Yield inputs of a node, by number, whose rows may be left out by a column of theirs.

    To leave rows out of such an input by the values of that column is to leave rows out of what the node gives by the
    values of `column`.
    """
    kind, fields = kind_of(node), inner(node)
    if _is_limited(kind, fields):
        return
    if kind in _PASSING:
        yield 0, fields.input, column
    elif kind == "filter":
        yield 0, fields.input, Column(column.name, fields.projection[column.place])
    elif kind == "projection":
        yield from _computed(fields.input, fields.expressions[column.place])
    elif kind == "aggregate" and column.place < len(fields.groups) and not fields.has_sets:
        yield from _computed(fields.input, fields.groups[column.place])
    elif kind == "hash_join":
        yield from _joined(fields, column)


def _is_limited(kind: str, fields: Any) -> bool:
    """Whether a node gives a number of rows at most."""
    if kind in _MAY_FETCH:
        return bool(fields.HasField("fetch"))
    return (kind == "sort" and fields.fetch >= 0) or (kind == "aggregate" and fields.HasField("limit"))


def _computed(node: Node, expression: bytes) -> Iterator[tuple[int, Node, Column]]:
    below = Column.of(expression)
    if below is not None:
        yield 0, node, below


def _joined(join: Any, column: Column) -> Iterator[tuple[int, Node, Column]]:
    """Yield the side of a join that a column is of, and the other one when the join makes its column equal to it."""
    left_width = 0 if join.kind in _RIGHT_ONLY else width(join.left)
    if left_width is None or _NO_COLUMNS in join.projection:
        return
    place = join.projection[column.place] if join.projection else column.place
    is_left = place < left_width
    if join.kind not in (_KEEPS_LEFT if is_left else _KEEPS_RIGHT):
        return
    own = Column(column.name, place if is_left else place - left_width)
    yield (0, join.left, own) if is_left else (1, join.right, own)
    if join.kind != JoinKind.INNER:
        return
    for key in join.keys:
        mine, other = Column.of(key.left if is_left else key.right), Column.of(key.right if is_left else key.left)
        if mine is not None and mine.place == own.place and other is not None:
            yield (1, join.right, other) if is_left else (0, join.left, other)


def width(node: Node) -> int | None:
    """Return how many columns a node's rows have, as far as that is known."""
    kind, fields = kind_of(node), inner(node)
    if kind in FILE_SCANS:
        files = fields.files
        return len(files.outputs.outputs) if files.HasField("outputs") else len(files.projection) or None
    if kind in _PASSING:
        return width(fields.input)
    if kind == "filter":
        return len(fields.projection)
    if kind == "projection":
        return len(fields.expressions)
    if kind == "aggregate":
        return None if fields.mode == _PARTIAL else len(fields.groups) + len(fields.aggregates)
    return _join_width(fields) if kind == "hash_join" else None


def _join_width(join: Any) -> int | None:
    if join.projection:
        return 0 if _NO_COLUMNS in join.projection else len(join.projection)
    if join.kind in _LEFT_ONLY:
        return width(join.left)
    if join.kind in _RIGHT_ONLY:
        return width(join.right)
    sides = width(join.left), width(join.right)
    is_marked = join.kind in (JoinKind.LEFT_MARK, JoinKind.RIGHT_MARK)
    return None if is_marked or sides[0] is None or sides[1] is None else sides[0] + sides[1]
