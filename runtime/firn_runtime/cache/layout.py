"""Which bytes of a Parquet file are what: its column chunks, and the rest, which tells where they are. Pure.

The rest (footer, page indexes, bloom filters) belongs to no chunk and is called the file's frame.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

MAGIC = b"PAR1"
BOUND_TYPES = frozenset({"INT32", "INT64", "FIXED_LEN_BYTE_ARRAY"})
_VIEW_BYTES = 16
"""What a text takes beside its characters."""
Range = tuple[int, int]
"""From a file's byte, to before another."""
Value = int | Decimal


@dataclass(frozen=True, slots=True)
class Chunk:
    """One column in one row group. A column's path is its name, and what is nested in it after a dot."""

    row_group: int
    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition that every row of a scan meets: `column operator value`. The type is Arrow's, as text."""

    column: str
    operator: str
    value: Value
    type: str

    def may_hold(self, least: Value, most: Value) -> bool:
        """Whether a row with a value from `least` to `most` can meet it."""
        match self.operator:
            case "Lt":
                return least < self.value
            case "LtEq":
                return least <= self.value
            case "Gt":
                return most > self.value
            case "GtEq":
                return most >= self.value
            case "Eq":
                return least <= self.value <= most
        return True


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's chunks in the order of their bytes, the frame's ranges, and each row group's first byte and bounds."""

    size_bytes: int
    chunks: tuple[Chunk, ...]
    frame: tuple[Range, ...]
    starts: tuple[int, ...]
    bounds: Mapping[tuple[int, str], tuple[str, Value, Value]]
    decoded: Mapping[tuple[int, str], int]
    """About how many bytes a column of a row group takes in memory, by its name; not for what is nested."""

    @classmethod
    def of(cls, metadata: Any, size_bytes: int) -> "Layout":  # pyarrow.parquet.FileMetaData, without types
        """Return the layout by a footer. Raises ValueError when its chunks overlap or leave the file."""
        types = _plain_types(metadata)
        chunks: list[Chunk] = []
        starts: list[int] = []
        bounds: dict[tuple[int, str], tuple[str, Value, Value]] = {}
        decoded: dict[tuple[int, str], int] = {}
        widths = _widths(metadata)
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for number in range(row_group.num_columns):
                column = row_group.column(number)
                start = column.data_page_offset
                if column.has_dictionary_page:
                    start = min(start, column.dictionary_page_offset)
                name = column.path_in_schema
                end = start + column.total_compressed_size
                chunks.append(Chunk(group, name, start, end))
                if number == 0:
                    starts.append(start)
                if (kind := types.get(name)) and (found := _min_max(column)):
                    bounds[group, name] = (kind, *found)
                if name in widths:
                    width = widths[name]
                    text_bytes = 0 if width is not None else column.total_uncompressed_size
                    decoded[group, name] = row_group.num_rows * (width or _VIEW_BYTES) + text_bytes
        chunks.sort(key=lambda chunk: chunk.start)
        return cls(size_bytes, tuple(chunks), tuple(_rest(chunks, size_bytes)), tuple(starts), bounds, decoded)

    @classmethod
    def whole(cls, size_bytes: int) -> "Layout":
        """Return the layout of a file that is kept whole, as its frame."""
        return cls(size_bytes, (), ((0, size_bytes),), (), {}, {})

    def wanted(self, columns: frozenset[str] | None, ranges: Iterable[Range], bounds: Iterable[Bound]) -> list[int]:
        """Return the numbers of the chunks that a scan may read; `columns` None for all, no range for the whole file.

        A row group belongs to the range that its first byte is in, as the engine has it.
        """
        parts, conditions = list(ranges), list(bounds)
        groups = {
            group
            for group, start in enumerate(self.starts)
            if (not parts or any(low <= start < high for low, high in parts))
            and all(self._may_hold(group, bound) for bound in conditions)
        }
        return [
            number
            for number, chunk in enumerate(self.chunks)
            if chunk.row_group in groups and (columns is None or _is_of(chunk.path, columns))
        ]

    def _may_hold(self, group: int, bound: Bound) -> bool:
        known = self.bounds.get((group, bound.column))
        return known is None or known[0] != bound.type or bound.may_hold(known[1], known[2])


def _is_of(path: str, columns: frozenset[str]) -> bool:
    """Whether a path is a column's or in one; both may have dots in their names."""
    return path in columns or ("." in path and any(path.startswith(f"{column}.") for column in columns))


def _plain_types(metadata: Any) -> dict[str, str]:
    """Return the Arrow type of each column that is of the root and may be compared by its bounds."""
    schema = metadata.schema.to_arrow_schema()
    leaves = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    return {
        field.name: str(field.type)
        for field in schema
        if field.name in leaves
        and leaves.count(field.name) == 1
        and (
            pa.types.is_date32(field.type)
            or pa.types.is_decimal128(field.type)
            or str(field.type) in ("int32", "int64")
        )
    }


def _widths(metadata: Any) -> dict[str, int | None]:
    """Return the bytes of one value of each column of the root, None for text, whose values differ."""
    schema = metadata.schema.to_arrow_schema()
    fixed = pa.types.is_primitive
    return {
        field.name: max(1, field.type.bit_width // 8) if fixed(field.type) or _is_decimal(field.type) else None
        for field in schema
        if not pa.types.is_nested(field.type)
    }


def _is_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))


def _min_max(column: Any) -> tuple[Value, Value] | None:
    """Return a chunk's least and greatest value, or None when the file does not say; dates as days since 1970."""
    statistics = column.statistics if column.physical_type in BOUND_TYPES and column.is_stats_set else None
    if statistics is None or not statistics.has_min_max:
        return None
    least, most = statistics.min, statistics.max
    if isinstance(least, Decimal | int):
        return least, most
    return statistics.min_raw, statistics.max_raw


def _rest(chunks: list[Chunk], size_bytes: int) -> list[Range]:
    """Return the ranges between chunks sorted by their start, without the file's first bytes, which never change."""
    rest: list[Range] = []
    at = len(MAGIC)
    for chunk in chunks:
        if chunk.start < at or chunk.end < chunk.start:
            raise ValueError("the file's column chunks overlap")
        if chunk.start > at:
            rest.append((at, chunk.start))
        at = chunk.end
    if at >= size_bytes:
        raise ValueError("the file's column chunks leave it")
    return [*rest, (at, size_bytes)]
