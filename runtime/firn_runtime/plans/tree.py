"""A view of DataFusion's serialised physical plans: just what cutting them needs.

Described here are the node types that a plan of SQL over files has, with the fields that are read or changed
(datafusion.proto, version 55: PhysicalPlanNode). Protobuf carries all other fields along unseen. A node of another
type makes a plan that is not cut. Why not the generated classes: see docs/decisions. The pin is tested by
tests/runtime/test_cutting.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from firn_runtime.errors import CannotCutError

Node = Any
"""A message of the class Node, which protobuf makes at run time."""

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "firn_plan"
_INPUT = "input=1:Node"
_BOTH = "left=1:Node right=2:Node"
_MESSAGES = {
    "Field": "name=1:string nullable=3:bool",
    "Schema": "columns=1*:Field",
    "Range": "start=1:int64 end=2:int64",
    "File": "path=1:string size=2:uint64 modified_ns=3:uint64 range=5:Range statistics=6:Nothing schema=7:Schema",
    "Group": "files=1*:File",
    "Nothing": "",
    "Files": "groups=1*:Group schema=2:Schema projection=4*:uint32 statistics=6:Nothing store=8:string "
    "orderings=9*:bytes constraints=11:Nothing outputs=13:Outputs partitioning=15:Partitioning",
    "Outputs": "outputs=1*:bytes",
    "Scan": "files=1:Files predicate=3:Nothing",
    "Empty": "schema=1:Schema partitions=2:uint32",
    "Memory": "partitions=1*:bytes schema=2:Schema projection=3*:uint32",
    "Single": _INPUT,
    "Filter": f"{_INPUT} projection=9*:uint32 fetch=11?:uint32",
    "Projection": f"{_INPUT} expressions=2*:bytes",
    "Merge": f"{_INPUT} fetch=2?:uint32",
    "Batches": f"{_INPUT} rows=2:uint32 fetch=3?:uint32",
    "Aggregate": "groups=1*:bytes aggregates=2*:bytes mode=3:int32 input=4:Node limit=11:Nothing has_sets=12:bool",
    "Limit": _INPUT,
    "Column": "name=1:string index=2:uint32",
    "Expression": "column=1:Column",
    "JoinKey": "left=1:bytes right=2:bytes",
    "HashJoin": f"{_BOTH} keys=3*:JoinKey kind=4:int32 mode=6:int32 null_equality=7:int32 "
    "projection=9*:uint32 null_aware=10:bool fetch=12?:uint64",
    "LoopJoin": f"{_BOTH} kind=3:int32",
    "MergeJoin": f"{_BOTH} kind=4:int32",
    "CrossJoin": _BOTH,
    "SortKey": "expression=1:bytes ascending=2:bool nulls_first=3:bool",
    "Key": "sort=10:SortKey",
    "Sort": f"{_INPUT} keys=2*:Key fetch=3:int64 preserve_partitioning=4:bool filter=5:Nothing",
    "Bound": "kind=1:int32",
    "Frame": "start=2:Bound end=3:Bound",
    "Windowed": "frame=7:Frame name=8:string function=10:string",
    "Window": f"{_INPUT} functions=2*:Windowed partition_keys=5*:bytes",
    "HashPartitioning": "keys=1*:bytes partition_count=2:uint64",
    "Partitioning": "round_robin=1:uint64 hash=2:HashPartitioning unknown=3:uint64",
    "Repartition": f"{_INPUT} partitioning=5:Partitioning",
    "Union": "inputs=1*:Node",
    "Node": "parquet_scan=1:Scan csv_scan=2:Scan empty=3:Empty projection=4:Projection global_limit=6:Limit "
    "local_limit=7:Limit aggregate=8:Aggregate hash_join=9:HashJoin sort=10:Sort coalesce_batches=11:Batches "
    "filter=12:Filter merge=13:Merge repartition=14:Repartition window=15:Window cross_join=16:CrossJoin "
    "union=19:Union sort_preserving_merge=21:Single nested_loop_join=22:LoopJoin interleave=26:Union "
    "placeholder_row=27:Empty unnest=30:Single json_scan=31:Scan cooperative=32:Single sort_merge_join=34:MergeJoin "
    "memory_scan=35:Memory buffer=37:Single arrow_scan=38:Scan",
}
"""Message → fields, as name=number:type; a star makes it repeated, a question mark one that may be missing."""
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
}


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            left, kind = field.split(":")
            label, number = left.split("=")
            repeated = number.endswith("*")
            added = message.field.add(
                name=label,
                number=int(number.rstrip("*?")),
                type=_SCALARS.get(kind, _FIELD.TYPE_MESSAGE),
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )
            if kind not in _SCALARS:
                added.type_name = f".{_PACKAGE}.{kind}"
            if name == "Node":
                added.oneof_index = 0
            if number.endswith("?"):
                added.proto3_optional, added.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{label}")
        if name == "Node":
            message.oneof_decl.add(name="kind")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


_POOL = _described()
NODE = _class("Node")
EXPRESSION = _class("Expression")

FILE_SCANS = frozenset({"parquet_scan", "csv_scan", "json_scan", "arrow_scan"})
EMPTIES = frozenset({"empty", "placeholder_row"})
LEAVES = FILE_SCANS | EMPTIES | {"memory_scan"}
LEFT_COLLECTED = frozenset({"hash_join", "cross_join", "nested_loop_join"})
"""Joins that collect their left side whole, a hash join unless its mode is PARTITIONED."""


class JoinKind(IntEnum):
    """datafusion_common.JoinType."""

    INNER = 0
    LEFT = 1
    RIGHT = 2
    FULL = 3
    LEFT_SEMI = 4
    LEFT_ANTI = 5
    RIGHT_SEMI = 6
    RIGHT_ANTI = 7
    LEFT_MARK = 8
    RIGHT_MARK = 9


_VOLATILE = (b"random", b"uuid")
PARTITIONED = 1
"""PartitionMode of a hash join both of whose sides are partitioned by its keys."""
_MARKS_LEFT = frozenset(
    {JoinKind.LEFT, JoinKind.FULL, JoinKind.LEFT_SEMI, JoinKind.LEFT_ANTI, JoinKind.LEFT_MARK},
)


def parse(data: bytes) -> Node:
    """Return a serialised plan. Raises CannotCutError for one that is nested too deeply for protobuf."""
    try:
        return NODE.FromString(data)
    except DecodeError as error:
        raise CannotCutError("the plan is nested too deeply") from error


def kind_of(node: Node) -> str:
    """Return the name of a node's type. Raises CannotCutError for a type that is not described here."""
    kind = node.WhichOneof("kind")
    if kind is None:
        raise CannotCutError("the plan has a node of a kind that runs on one node only")
    return str(kind)


def inner(node: Node) -> Any:
    """Return a node's fields."""
    return getattr(node, kind_of(node))


def children(node: Node) -> list[Node]:
    """Return a node's inputs."""
    kind, fields = kind_of(node), inner(node)
    if kind in LEAVES:
        return []
    if kind in ("union", "interleave"):
        return list(fields.inputs)
    if kind in LEFT_COLLECTED or kind == "sort_merge_join":
        return [fields.left, fields.right]
    return [fields.input]


def replace_leaf(leaf: Node, extension: bytes) -> None:
    """Put an extension node, serialised as a part of a node, in a leaf's place; it lets others run now and then.

    From then on the plan cannot be walked.
    """
    leaf.Clear()
    leaf.cooperative.input.MergeFromString(extension)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def drop_sort_filters(root: Node) -> None:
    """Take from limited sorts the filter that each makes as it runs: nothing reads it, and its number is always new."""
    for node in walk(root):
        if kind_of(node) == "sort":
            node.sort.ClearField("filter")


def is_volatile(node: Node) -> bool:
    """Whether a plan may give other rows each time: it names, perhaps as a column, a function that does."""
    data = node.SerializeToString()
    return any(name in data for name in _VOLATILE)


def collects_left(node: Node) -> bool:
    """Whether every partition of this join reads its left side whole."""
    kind = kind_of(node)
    return kind in LEFT_COLLECTED and not (kind == "hash_join" and node.hash_join.mode == PARTITIONED)


def marks_left(node: Node) -> bool:
    """Whether this join marks the matches of a collected left side, which its partitions share."""
    return collects_left(node) and kind_of(node) != "cross_join" and inner(node).kind in _MARKS_LEFT


def partition_count(node: Node) -> int:
    """Return how many partitions a node gives out."""
    kind, fields = kind_of(node), inner(node)
    if kind in FILE_SCANS:
        return len(fields.files.groups)
    if kind == "memory_scan":
        return len(fields.partitions)
    if kind in EMPTIES:
        return max(1, int(fields.partitions))
    if kind == "union":
        return sum(partition_count(child) for child in fields.inputs)
    if kind in ("merge", "sort_preserving_merge", "global_limit"):
        return 1
    if kind == "sort" and not fields.preserve_partitioning:
        return 1
    if kind == "repartition":
        return _repartitioned(fields)
    return partition_count(children(node)[-1 if collects_left(node) else 0])


def _repartitioned(fields: Any) -> int:
    if not fields.partitioning.HasField("hash"):
        raise CannotCutError("the plan repartitions rows in a way that is not by hash")
    return int(fields.partitioning.hash.partition_count)
