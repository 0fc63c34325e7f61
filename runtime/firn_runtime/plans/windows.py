"""Sorts below window functions, made to name all that the windows partition by.

The planner leaves out of a sort what it knows to be one value in all rows, such as a column that a filter fixes. That
knowledge comes from below, and it is lost where the plan is cut: a window over the other side would then refuse rows
that are not visibly in the order of its partitions. To sort by one value first changes nothing.
"""

from collections.abc import Iterable

from firn_runtime.plans.tree import Node, inner, kind_of, walk


def sort_by_all_partition_keys(root: Node) -> None:
    """Add to each sort the partition keys that the windows right above it miss there."""
    for node in walk(root):
        if kind_of(node) == "window":
            below = node.window.input
            while kind_of(below) in ("window", "coalesce_batches"):
                below = inner(below).input
            if kind_of(below) == "sort":
                _complete(below.sort, node.window.partition_keys)


def _complete(sort: Node, partition_keys: Iterable[bytes]) -> None:
    named = {key.sort.expression for key in sort.keys}
    missing = [key for key in partition_keys if key not in named]
    if not missing:
        return
    kept = [key.SerializeToString() for key in sort.keys]
    del sort.keys[:]
    for expression in missing:
        sort.keys.add().sort.expression = expression
        sort.keys[-1].sort.ascending = True
    for key in kept:
        sort.keys.add().MergeFromString(key)
