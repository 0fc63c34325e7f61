"""Window functions as plans carry them, and the sorts below them.

A window whose order is the other way round than that of its rows is turned by the planner: LEAD looks back then. Plans
carry a turned function under its own name (DataFusion 55), so that LEAD would look ahead over rows in the wrong order.

Sorts are made to name all that the windows partition by. The planner leaves out of a sort what it knows to be one value
in all rows, such as a column that a filter fixes. That knowledge comes from below, and it is lost where the plan is
cut: a window over the other side would then refuse rows that are not visibly in the order of its partitions. To sort by
one value first changes nothing.
"""

from collections.abc import Iterable

from firn_runtime.errors import CannotCutError
from firn_runtime.plans.tree import Node, inner, kind_of, walk

_TURNED = {"lead": "lag", "lag": "lead"}
_AS_WRITTEN = "BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
"""The frame in the name that a function of an ordered window keeps when it is turned."""
_CURRENT_ROW = 0


def turn_back(root: Node) -> None:
    """Give turned functions the name of what they do. Raises CannotCutError where there is none."""
    for node in walk(root):
        for found in node.window.functions if kind_of(node) == "window" else ():
            if found.function == "nth_value":  # counts from the other end when it is turned
                raise CannotCutError("NTH_VALUE runs on one node only")
            if found.function in _TURNED and found.name.endswith(_AS_WRITTEN) and _starts_here(found.frame):
                found.function = _TURNED[found.function]


def _starts_here(frame: Node) -> bool:
    return bool(frame.HasField("start") and frame.start.kind == _CURRENT_ROW != frame.end.kind)


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
