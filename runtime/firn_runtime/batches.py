"""Batches as bytes of one Arrow IPC stream."""

import io

import pyarrow as pa

_PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with views as plain columns, as the engine gives them out (expand_views_at_output)."""
    return pa.schema([field.with_type(_PLAIN.get(field.type, field.type)) for field in schema])


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
