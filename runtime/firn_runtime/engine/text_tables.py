"""Tables over text files, as they are loaded: CSV, whose columns are all texts, and JSON with one object a line."""

import pyarrow as pa
from datafusion import CsvReadOptions, DataFrame, SessionContext
from firn_model.messages import TableSnapshot
from firn_model.writes import FileFormat


def text_frame(context: SessionContext, urls: list[str], table: TableSnapshot, schema: pa.Schema) -> DataFrame:
    """Return the rows of all files. The files are read when the statement runs, not now."""
    whole = _file(context, urls[0], table, schema)
    for url in urls[1:]:
        whole = whole.union(_file(context, url, table, schema))
    return whole


def _file(context: SessionContext, url: str, table: TableSnapshot, schema: pa.Schema) -> DataFrame:
    compression = table.text.compression or ""
    if table.format is FileFormat.JSON:
        return context.read_json(url, schema=schema, file_extension="", file_compression_type=compression or None)
    options = CsvReadOptions(
        has_header=table.text.skip_header > 0,
        delimiter=table.text.delimiter,
        quote=table.text.quote or "\0",
        escape=table.text.escape,
        schema=schema,
        file_extension="",
        file_compression_type=compression,
        newlines_in_values=table.text.quote is not None,
    )
    return context.read_csv(url, options=options)
