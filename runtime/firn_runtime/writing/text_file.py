"""One text file under way that rows are unloaded to: CSV, or JSON with one object a line."""

import base64
import datetime
import decimal
import json
from typing import Any

import pyarrow as pa
from firn_model.writes import FileFormat, WriteTarget, WrittenFile
from pyarrow import csv


class TextFile:
    """A file of lines, compressed if the target says so."""

    def __init__(self, sink: pa.NativeFile, target: WriteTarget, schema: pa.Schema, uri: str) -> None:
        self._sink = sink
        self._out = pa.CompressedOutputStream(sink, target.text.compression) if target.text.compression else sink
        self._uri = uri
        self._rows = 0
        self._csv: csv.CSVWriter | None = None
        if target.format is FileFormat.CSV:
            options = csv.WriteOptions(
                include_header=target.text.header,
                delimiter=target.text.delimiter,
                quoting_style="needed",
            )
            self._csv = csv.CSVWriter(self._out, schema, write_options=options)

    def write(self, rows: pa.Table) -> int:
        """Write rows; return the file's bytes so far. Raises OSError."""
        self._rows += rows.num_rows
        if self._csv is not None:
            self._csv.write_table(rows)
        else:
            for batch in rows.to_batches():
                self._out.write("".join(_line(row) for row in batch.to_pylist()).encode())
        return int(self._sink.tell())

    def finish(self) -> WrittenFile:
        """Close. Raises OSError."""
        if self._csv is not None:
            self._csv.close()
        if self._out is not self._sink:
            self._out.close()  # closes the sink with its last bytes, and tells no size then
            size_bytes = 0
        else:
            size_bytes = int(self._sink.tell())
            self._sink.close()
        return WrittenFile(uri=self._uri, size_bytes=size_bytes, rows=self._rows)

    def abandon(self) -> None:
        """Close in any way."""
        try:
            self.finish()
        except (OSError, pa.ArrowException):
            return


def _line(row: dict[str, Any]) -> str:
    """Return a row as one line; NULL columns are left out, as Snowflake does."""
    return json.dumps({key: value for key, value in row.items() if value is not None}, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    match value:
        case decimal.Decimal():
            if value == value.to_integral_value():
                return int(value)
            near = float(value)
            return near if decimal.Decimal(repr(near)) == value else str(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return str(value)
