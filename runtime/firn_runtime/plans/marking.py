"""Joins that mark the matches of a collected left side: all of their partitions share the marks, so they are one task.

Two ways around that, by hash joins only. One whose left side is a whole table is made a join in partitions, both of its
sides dealt by its keys. One whose left side is a part of its table keeps that side collected; but its right side is
reduced first, by all nodes, to the rows that have a match by the keys: the one task has few rows left to look at.
"""

from firn_runtime.plans.tree import (
    NODE,
    PARTITIONED,
    JoinKind,
    Node,
    kind_of,
    marks_left,
    partition_count,
    walk,
)

_REDUCES = frozenset({"filter", "aggregate", "hash_join", "sort_merge_join", "nested_loop_join", "global_limit"})
"""What leaves of its input's rows a part, more or less."""
RIGHT_REDUCIBLE = frozenset({JoinKind.LEFT, JoinKind.LEFT_SEMI, JoinKind.LEFT_ANTI, JoinKind.LEFT_MARK})
"""Joins to which a right row without a match by the keys is nothing."""


def deal_marked_joins(root: Node) -> None:
    """Make the joins that mark matches of whole tables joins in partitions."""
    for node in walk(root):
        if _is_marked_hash_join(node) and not is_part(node.hash_join.left):
            _deal(node.hash_join)


def reducer(join: Node) -> Node | None:
    """Return a plan of the right rows of a join that have a match, in the right side's partitions; None for none.

    The join's left side must be what a task reads, for it is read by both.
    """
    if not _is_marked_hash_join(join) or join.hash_join.kind not in RIGHT_REDUCIBLE:
        return None
    whole = join.hash_join
    semi = NODE()
    fields = semi.hash_join
    fields.left.CopyFrom(whole.left)
    fields.right.CopyFrom(whole.right)
    fields.keys.extend(whole.keys)
    fields.kind, fields.mode, fields.null_equality = JoinKind.RIGHT_SEMI, whole.mode, whole.null_equality
    return semi


def _is_marked_hash_join(node: Node) -> bool:
    """Whether a join by keys marks its left side's matches, over several partitions.

    One that knows NULL apart (NOT IN) has to see all rows of its right side.
    """
    return (
        kind_of(node) == "hash_join"
        and marks_left(node)
        and not node.hash_join.null_aware
        and partition_count(node.hash_join.right) > 1
    )


def is_part(node: Node) -> bool:
    """Whether a plan gives a part of the rows that it reads."""
    return any(kind_of(each) in _REDUCES or _has_predicate(each) for each in walk(node))


def _has_predicate(node: Node) -> bool:
    return kind_of(node) == "parquet_scan" and node.parquet_scan.HasField("predicate")


def _deal(join: Node) -> None:
    """Deal both sides of a join by its keys, in as many partitions as its right side has."""
    count = partition_count(join.right)
    for name in ("left", "right"):
        side = getattr(join, name)
        below = NODE()
        below.CopyFrom(side.merge.input if _only_merges(side) else side)
        side.Clear()
        side.repartition.input.CopyFrom(below)
        side.repartition.partitioning.hash.keys.extend(getattr(key, name) for key in join.keys)
        side.repartition.partitioning.hash.partition_count = count
    join.mode = PARTITIONED


def _only_merges(node: Node) -> bool:
    """Whether a node only brings partitions together: a merge may have a limit, which is not described."""
    if kind_of(node) != "merge":
        return False
    plain = NODE()
    plain.merge.input.CopyFrom(node.merge.input)
    return len(plain.SerializeToString()) == len(node.SerializeToString())
