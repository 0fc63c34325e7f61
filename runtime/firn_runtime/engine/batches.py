"""Batches of a result: from several partitions, and as bytes of one Arrow IPC stream."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence

import pyarrow as pa
from datafusion import RecordBatch, RecordBatchStream

_PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with views as plain columns, as the engine gives them out (expand_views_at_output)."""
    return pa.schema([field.with_type(_PLAIN.get(field.type, field.type)) for field in schema])


async def merged(streams: Sequence[RecordBatchStream]) -> AsyncIterator[RecordBatch]:
    """Yield the batches of all partitions as they come, one of each ahead at most. Raises what a stream raises."""
    if len(streams) == 1:
        async for batch in streams[0]:
            yield batch
        return
    ahead: dict[asyncio.Future[RecordBatch], RecordBatchStream] = {}
    try:
        ahead = {asyncio.ensure_future(_next(stream)): stream for stream in streams}
        while ahead:
            done, _ = await asyncio.wait(ahead, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                stream = ahead.pop(future)
                try:
                    batch = future.result()
                except _Ended:
                    continue
                ahead[asyncio.ensure_future(_next(stream))] = stream
                yield batch
    finally:
        for future in ahead:
            future.cancel()


async def _next(stream: RecordBatchStream) -> RecordBatch:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise _Ended from None


class _Ended(Exception):
    """A partition has no more batches: what no task may raise as StopAsyncIteration."""


class StreamWriter:
    """Cuts an Arrow IPC stream into the pieces that each call adds to it."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = io.BytesIO()
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Return the bytes that a batch adds; the first call's begin with the schema."""
        self._writer.write_batch(batch)
        return self._taken()

    def end(self) -> bytes:
        """Return the stream's last bytes."""
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return taken
