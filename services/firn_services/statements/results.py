"""Results of statements: an Arrow IPC stream, inline when small, else spooled to the object store."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from firn_model.api import Column, ResultPage

from firn_services.objects import RESULTS, ObjectStore
from firn_services.statements.record import ResultRecord

INLINE_BYTES = 256 * 1024
CHUNK_BYTES = 1 << 20


class ResultGatherer:
    """Takes one attempt's Arrow bytes as they come, in bounded memory."""

    def __init__(self, store: ObjectStore, statement_id: str) -> None:
        self._store = store
        self._statement_id = statement_id
        self._inline = bytearray()
        self._output: pa.NativeFile | None = None
        self._size_bytes = 0

    @property
    def _key(self) -> str:
        return f"{RESULTS}/{self._statement_id}.arrow"

    async def feed(self, data: bytes) -> None:
        """Take more bytes; returns when they are out of hand, which paces the sender. Raises OSError."""
        self._size_bytes += len(data)
        if self._output is None and self._size_bytes <= INLINE_BYTES:
            self._inline += data
            return
        await asyncio.to_thread(self._spool, data)

    def _spool(self, data: bytes) -> None:
        if self._output is None:
            self._output = self._store.open_output(self._key)
            self._output.write(bytes(self._inline))
            self._inline.clear()
        self._output.write(data)

    async def finish(self, rows: int, expires_at: datetime) -> ResultRecord:
        """Return where the whole result is, once it is safely there. Raises OSError, pa.ArrowException."""
        if self._output is not None:
            await asyncio.to_thread(self._output.close)
            return ResultRecord(self._statement_id, rows, self._size_bytes, None, self._key, expires_at)
        inline = bytes(self._inline)
        return ResultRecord(self._statement_id, _count(inline), len(inline), inline, None, expires_at)

    async def abandon(self) -> None:
        """Leave nothing behind."""
        if self._output is not None:
            await asyncio.to_thread(self._discard, self._output)
            self._output = None

    def _discard(self, output: pa.NativeFile) -> None:
        try:
            output.close()
            self._store.delete(self._key)
        except OSError:
            return  # the bucket's rest is cleared when results expire


def inline_result(statement_id: str, table: pa.Table, expires_at: datetime) -> ResultRecord:
    """Return a small table as an inline result."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    return ResultRecord(statement_id, table.num_rows, len(data), data, None, expires_at)


def page(store: ObjectStore, result: ResultRecord, offset: int, limit: int) -> ResultPage:
    """Return `limit` rows from row `offset` on as JSON values. Blocks for a spooled result. Raises OSError."""
    rows: list[list[Any]] = []
    with _reading(store, result) as reader:
        columns = tuple(
            Column.model_construct(name=f.name, type=str(f.type), nullable=f.nullable) for f in reader.schema
        )
        skip = offset
        for batch in reader:
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            rows.extend(_rows(batch.slice(skip, limit - len(rows))))
            skip = 0
            if len(rows) >= limit:
                break
    return ResultPage.model_construct(columns=columns, rows=rows, offset=offset, total_rows=result.rows)


def columns(store: ObjectStore, result: ResultRecord) -> pa.Schema:
    """Return a result's columns. Blocks for a spooled result. Raises OSError, pa.ArrowInvalid where it has none."""
    with _reading(store, result) as reader:
        return reader.schema


def table(store: ObjectStore, result: ResultRecord) -> pa.Table:
    """Return a whole result. Blocks for a spooled result. Raises OSError, pa.ArrowInvalid."""
    with _reading(store, result) as reader:
        return reader.read_all()


def chunks(store: ObjectStore, result: ResultRecord) -> Iterator[bytes]:
    """Yield the bytes of a result's Arrow IPC stream. Blocks for a spooled result. Raises OSError."""
    if result.inline is not None:
        yield result.inline
        return
    with store.open_input(_spooled_key(result)) as stream:
        while data := stream.read(CHUNK_BYTES):
            yield data


def _count(data: bytes) -> int:
    if not data:
        return 0
    with pa.ipc.open_stream(data) as reader:
        return sum(batch.num_rows for batch in reader)


def _spooled_key(result: ResultRecord) -> str:
    if result.key is None:
        raise ValueError(f"result of {result.statement_id} is neither inline nor spooled")
    return result.key


@contextmanager
def _reading(store: ObjectStore, result: ResultRecord) -> Iterator[pa.RecordBatchStreamReader]:
    if result.inline is not None:
        with pa.ipc.open_stream(result.inline) as reader:
            yield reader
        return
    with store.open_input(_spooled_key(result)) as stream, pa.ipc.open_stream(stream) as reader:
        yield reader


def _rows(batch: pa.RecordBatch) -> list[list[Any]]:
    columns = [_values(column) for column in batch.columns]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(batch.num_rows)]


def _values(column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        return values
    return [_json(value) for value in values]


def _json(value: Any) -> Any:
    """Return a value as JSON has it: decimals, dates and times as strings, bytes as base64, no NaN."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)
        case Decimal():
            return format(value, "f")
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case list() | tuple():
            return [_json(item) for item in value]
        case _:
            return str(value)
