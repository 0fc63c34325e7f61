"""One Parquet file under way, and what its footer says of its columns.

Bounds are in Iceberg's single-value form (Iceberg specification, appendix D), texts and bytes cut to 64.
"""

import base64
import datetime
import decimal
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from firn_model.writes import ColumnStatistics, WrittenFile
from pyarrow import parquet

LONGEST_BOUND = 64
COMPRESSION_LEVEL = 1
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class ParquetFile:
    """A file that gets one row group for each write."""

    def __init__(self, sink: pa.NativeFile, schema: pa.Schema, uri: str) -> None:
        self._sink = sink
        self._schema = schema
        self._uri = uri
        self._footers: list[parquet.FileMetaData] = []
        self._writer = parquet.ParquetWriter(
            sink, schema, compression="zstd", compression_level=COMPRESSION_LEVEL, metadata_collector=self._footers
        )

    def write(self, rows: pa.Table) -> int:
        """Write a row group; return the file's bytes so far. Raises OSError."""
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        return int(self._sink.tell())

    def finish(self) -> WrittenFile:
        """Write the footer and close. Raises OSError."""
        self._writer.close()
        size_bytes = int(self._sink.tell())
        self._sink.close()
        (footer,) = self._footers
        groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
        return WrittenFile(
            uri=self._uri,
            size_bytes=size_bytes,
            rows=footer.num_rows,
            columns=_columns(self._schema, footer, groups),
            split_offsets=tuple(_start(group) for group in groups),
        )

    def abandon(self) -> None:
        """Close in any way."""
        try:
            self._writer.close()
            self._sink.close()
        except OSError:
            return


def _start(group: parquet.RowGroupMetaData) -> int:
    first = group.column(0)
    offset = first.dictionary_page_offset
    return int(first.data_page_offset if offset is None else min(offset, first.data_page_offset))


def _columns(
    schema: pa.Schema, footer: parquet.FileMetaData, groups: list[parquet.RowGroupMetaData]
) -> tuple[ColumnStatistics, ...]:
    """Return the statistics of the columns that are not nested."""
    places = {footer.schema.column(i).path: i for i in range(footer.num_columns)}
    return tuple(
        _column(field, [group.column(places[field.name]) for group in groups])
        for field in schema
        if field.name in places and groups
    )


def _column(field: pa.Field, chunks: list[parquet.ColumnChunkMetaData]) -> ColumnStatistics:
    found = [chunk.statistics for chunk in chunks]
    known = [s for s in found if s is not None]
    nulls = sum(s.null_count for s in known) if all(s.has_null_count for s in known) else None
    filled = [s for s in known if s.num_values]
    encode = _encoder(field.type)
    lower = upper = None
    if encode is not None and len(known) == len(found) and filled and all(s.has_min_max for s in filled):
        lower, upper = encode(min(s.min for s in filled), False), encode(max(s.max for s in filled), True)
    return ColumnStatistics(
        name=field.name,
        size_bytes=sum(chunk.total_compressed_size for chunk in chunks),
        values=sum(chunk.num_values for chunk in chunks),
        nulls=nulls if len(known) == len(found) else None,
        lower=_text(lower),
        upper=_text(upper),
    )


def _text(bound: bytes | None) -> str | None:
    return None if bound is None else base64.b64encode(bound).decode()


_Encoder = Callable[[Any, bool], bytes | None]


def _encoder(kind: pa.DataType) -> _Encoder | None:
    """Return what makes a bound of a value, which is the upper one or not; None for types without bounds."""
    if pa.types.is_boolean(kind):
        return lambda value, _: struct.pack("<?", value)
    if pa.types.is_integer(kind):
        form = "<q" if kind.bit_width > 32 else "<i"
        return lambda value, _: struct.pack(form, value)
    if pa.types.is_floating(kind):
        return lambda value, _: struct.pack("<d" if kind.bit_width == 64 else "<f", value)
    if pa.types.is_date(kind):
        return lambda value, _: struct.pack("<i", (value - _EPOCH.date()).days)
    if pa.types.is_timestamp(kind):
        return lambda value, _: struct.pack("<q", _microseconds(value))
    if pa.types.is_decimal(kind):
        return lambda value, _: _unscaled(value, kind.scale)
    if pa.types.is_string(kind):
        return _text_bound
    if pa.types.is_binary(kind):
        return lambda value, is_upper: None if is_upper and len(value) > LONGEST_BOUND else value[:LONGEST_BOUND]
    return None


def _microseconds(value: datetime.datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // datetime.timedelta(microseconds=1)


def _unscaled(value: decimal.Decimal, scale: int) -> bytes:
    with decimal.localcontext(prec=60):
        number = int(value.scaleb(scale))
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)


def _text_bound(value: str, is_upper: bool) -> bytes | None:
    """Return a text's first characters; for an upper bound the last of them raised, so that it stays above."""
    if len(value) <= LONGEST_BOUND:
        return value.encode()
    start = value[:LONGEST_BOUND]
    if not is_upper:
        return start.encode()
    while start:
        raised = ord(start[-1]) + 1
        if raised in _SURROGATES:
            raised = _SURROGATES.stop
        if raised <= _LAST_CHARACTER:
            return (start[:-1] + chr(raised)).encode()
        start = start[:-1]
    return None
