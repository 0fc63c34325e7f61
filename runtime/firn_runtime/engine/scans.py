"""Which files a plan scans, and how large the engine found them: read from the serialised form of its leaves.

Only the fields that are read are described here (datafusion.proto, version 55: PhysicalPlanNode.parquet_scan). A leaf
that is no scan of files has none of them.
"""

from collections.abc import Iterator
from typing import Any

from datafusion import SessionContext
from datafusion.plan import ExecutionPlan
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_FIELD = descriptor_pb2.FieldDescriptorProto


def _leaf_class() -> Any:  # a class made by protobuf, without a static type
    """Return the message class of a leaf: its file groups, and the store that their files are in."""
    file = descriptor_pb2.FileDescriptorProto(name="firn_scan.proto", package="firn_scan", syntax="proto3")
    found = file.message_type.add(name="File")
    found.field.add(name="path", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    found.field.add(name="size", number=2, type=_FIELD.TYPE_UINT64, label=_FIELD.LABEL_OPTIONAL)
    _holder(file, "Group", files=(1, "File", _FIELD.LABEL_REPEATED))
    configuration = _holder(file, "Configuration", groups=(1, "Group", _FIELD.LABEL_REPEATED))
    configuration.field.add(name="store", number=8, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    _holder(file, "Scan", configuration=(1, "Configuration", _FIELD.LABEL_OPTIONAL))
    _holder(file, "Leaf", scan=(1, "Scan", _FIELD.LABEL_OPTIONAL))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("firn_scan.Leaf"))


def _holder(file: Any, name: str, **fields: tuple[int, str, int]) -> Any:
    """Add a message that holds other messages."""
    holder = file.message_type.add(name=name)
    for field, (number, kind, label) in fields.items():
        holder.field.add(
            name=field, number=number, type=_FIELD.TYPE_MESSAGE, label=label, type_name=f".firn_scan.{kind}"
        )
    return holder


_LEAF = _leaf_class()


def scanned_bytes_by_url(plan: ExecutionPlan, context: SessionContext) -> dict[str, int]:
    """Return the size in the store of each file that the plan scans, by URL without quoting."""
    found: dict[str, int] = {}
    for leaf in file_scans(plan):
        configuration = _LEAF.FromString(leaf.to_bytes(context)).scan.configuration
        store = configuration.store.rstrip("/")
        found.update((f"{store}/{file.path}", file.size) for group in configuration.groups for file in group.files)
    return found


def file_scans(plan: ExecutionPlan) -> Iterator[ExecutionPlan]:
    """Yield the leaves of a plan that read files."""
    children = plan.children()
    for child in children:
        yield from file_scans(child)
    if not children and plan.display().startswith("DataSourceExec: file_groups="):
        yield plan
