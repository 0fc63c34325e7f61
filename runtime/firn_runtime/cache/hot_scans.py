"""Scans of Parquet files over decoded columns: what a scan asks for, and the leaf that gives it. Pure.

A scan is read and written in its serialised form (scan_needs.py says which fields there are). One that is limited,
that filters rows itself, that computes, or that reads what is nested or missing in a file stays as it is: the leaf
gives whole columns of row groups, those that the scan's bounds do not exclude, in the scan's partitions and order.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firn_runtime.cache.hot_columns import ColumnKey, HotColumn
from firn_runtime.cache.layout import Layout
from firn_runtime.cache.scan_needs import LEAF, needs_of

HOT = "HotColumns"
"""How a leaf's name begins; the path of a first file follows, as in a scan's description."""
_CODEC = b"leaf"
_FRAME = b"DFPYCHN\x01"
"""How the engine's Python package frames an extension's payload: this, the codec's name with its length, and it."""
_NUMBER = struct.Struct("<I")
_ID = struct.Struct("<Q")
_EXTENSION_FIELD, _NODE_FIELD = b"\x92\x01", b"\x0a"  # PhysicalPlanNode.extension = 18, PhysicalExtensionNode.node = 1


@dataclass(frozen=True, slots=True)
class HotField:
    """A column of a scan's rows: its name there, and the column of the table that it is."""

    name: str
    nullable: bool
    column: str
    place: int
    """Its number in the table."""
    type: bytes


@dataclass(frozen=True, slots=True)
class HotGroup:
    """A row group that a scan reads: the file's key and path, and the group's number and first byte."""

    file: str
    path: str
    row_group: int
    start: int

    def key(self, field: HotField) -> ColumnKey:
        """Return the key of a column of it."""
        return ColumnKey(self.file, self.row_group, field.column, field.type)


@dataclass(frozen=True, slots=True)
class HotScan:
    """What a scan reads, with about how many bytes each decoded column has."""

    fields: tuple[HotField, ...]
    partitions: tuple[tuple[HotGroup, ...], ...]
    sizes: Mapping[ColumnKey, int]

    @property
    def groups(self) -> Iterator[HotGroup]:
        """All row groups."""
        return (group for partition in self.partitions for group in partition)


def hot_scan(leaf: bytes, layouts: Mapping[str, Layout]) -> HotScan | None:
    """Return what a serialised scan reads, or None for one that is not for decoded columns.

    `layouts` has the files that are cached, by their keys.
    """
    scan = LEAF.FromString(leaf).scan
    configuration = scan.configuration
    filters_rows = scan.HasField("predicate") and scan.options.options.filters_rows
    fields = _fields(configuration)
    if not fields or filters_rows or configuration.HasField("limit"):
        return None
    bounds = next((need.bounds for need in needs_of(leaf)), ())
    sizes: dict[ColumnKey, int] = {}
    partitions: list[tuple[HotGroup, ...]] = []
    for part in configuration.groups:
        groups: list[HotGroup] = []
        for file in part.files:
            key = _file_key(file.path)
            layout = layouts.get(key)
            if layout is None or not layout.starts:
                return None
            ranges = [(file.part.start, file.part.end)] if file.HasField("part") else []
            numbers = sorted({layout.chunks[n].row_group for n in layout.wanted(None, ranges, bounds)})
            groups += [HotGroup(key, file.path, number, layout.starts[number]) for number in numbers]
            for number in numbers:
                for field in fields:
                    size = layout.decoded.get((number, field.column))
                    if size is None:
                        return None
                    sizes[ColumnKey(key, number, field.column, field.type)] = size
        partitions.append(tuple(groups))
    return HotScan(fields, tuple(partitions), sizes) if sizes else None


def decoding(leaf: bytes, scan: HotScan, missing: Collection[ColumnKey]) -> list[tuple[bytes, list[list[ColumnKey]]]]:
    """Return scans that decode missing columns, each with the columns that its partitions give, in their order."""
    by_names: dict[tuple[HotField, ...], list[HotGroup]] = {}
    columns = {(field.column, field.type): field for field in scan.fields}
    for group in dict.fromkeys(scan.groups):
        wanted = tuple(
            field
            for field in columns.values()
            if ColumnKey(group.file, group.row_group, field.column, field.type) in missing
        )
        if wanted:
            by_names.setdefault(wanted, []).append(group)
    return [
        (
            _decoder(leaf, fields, groups),
            [[group.key(field) for field in fields] for group in groups],
        )
        for fields, groups in by_names.items()
    ]


def leaf_node(scan: HotScan, columns: Mapping[ColumnKey, HotColumn]) -> bytes | None:
    """Return a scan's leaf as the bytes of an extension node; None when the columns' pieces do not fit together."""
    first = next(scan.groups)
    parts = [_text(f"{HOT} [[{first.path}]]"), _NUMBER.pack(len(scan.fields))]
    parts += [bytes([field.nullable]) + _text(field.name) for field in scan.fields]
    parts.append(_NUMBER.pack(len(scan.partitions)))
    for partition in scan.partitions:
        parts.append(_NUMBER.pack(len(partition)))
        before = None
        for group in partition:
            found = [columns[group.key(field)] for field in scan.fields]
            if any(column.rows != found[0].rows for column in found):
                return None
            parts.append(_NUMBER.pack(group.file != before))
            parts += [_ID.pack(column.number) for column in found]
            before = group.file
    payload = _FRAME + _NUMBER.pack(len(_CODEC)) + _CODEC + b"".join(parts)
    node = _NODE_FIELD + _varint(len(payload)) + payload
    return _EXTENSION_FIELD + _varint(len(node)) + node


def _fields(configuration: Any) -> tuple[HotField, ...] | None:
    """Return the columns of a scan's rows, or None when one is computed."""
    table = configuration.schema.columns
    if configuration.HasField("outputs"):
        outputs = configuration.outputs.outputs
        if any(output.expr.WhichOneof("kind") != "column" for output in outputs):
            return None
        places = [(output.name, output.expr.column.index) for output in outputs]
    else:
        numbers: Sequence[int] = configuration.projection or range(len(table))
        places = [(table[number].name, number) for number in numbers]
    if any(place >= len(table) for _, place in places):
        return None
    return tuple(
        HotField(name, table[place].nullable, table[place].name, place, table[place].type) for name, place in places
    )


def _decoder(leaf: bytes, fields: Iterable[HotField], groups: Sequence[HotGroup]) -> bytes:
    """Return a scan of these columns of whole row groups, one a partition: a file's part that has its first byte."""
    message = LEAF.FromString(leaf)
    configuration = message.scan.configuration
    files = {file.path: file for group in configuration.groups for file in group.files}
    message.scan.ClearField("predicate")
    templates = {path: file.SerializeToString() for path, file in files.items()}
    expressions = {
        output.expr.column.index: output.expr.SerializeToString() for output in configuration.outputs.outputs
    }
    del configuration.groups[:]
    configuration.partitioning.unknown = len(groups)  # declared: else an idle partition takes files of another
    for group in groups:
        file = configuration.groups.add().files.add()
        file.MergeFromString(templates[group.path])
        file.part.start, file.part.end = group.start, group.start + 1
    if configuration.HasField("outputs"):
        del configuration.outputs.outputs[:]
        for field in fields:
            output = configuration.outputs.outputs.add(name=field.name)
            output.expr.MergeFromString(expressions[field.place])
    else:
        del configuration.projection[:]
        configuration.projection.extend(field.place for field in fields)
    return bytes(message.SerializeToString())


def _file_key(path: str) -> str:
    return path.rsplit("/", 2)[-2] if path.count("/") > 1 else ""


def _text(text: str) -> bytes:
    data = text.encode()
    return _NUMBER.pack(len(data)) + data


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])
