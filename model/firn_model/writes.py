"""Writes: what a statement's rows are written to, and what was written.

Whoever executes a part of a plan writes its own files and returns them; the services commit all files of a statement
as one snapshot. A file that no commit names is an orphan, harmless, and removed later: so every attempt has names of
its own.
"""

from enum import StrEnum

from pydantic import Field

from firn_model.base import Message


class FileFormat(StrEnum):
    """How rows stand in a file."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"


class TextOptions(Message):
    """How rows stand in a text file, read or written. JSON is one object a line."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str | None = Field(default=None, min_length=1, max_length=1)
    escape: str | None = Field(default=None, min_length=1, max_length=1)
    skip_header: int = Field(default=0, ge=0, description="Lines at each file's begin that hold no rows.")
    header: bool = Field(default=False, description="Write the columns' names as first line.")
    compression: str | None = Field(default=None, pattern="^gzip$")


class WriteTarget(Message):
    """Where a statement's rows go. Columns come in the schema's order and in its types."""

    location: str = Field(description="s3://bucket/folder below which files are made; no slash at the end.")
    name: str = Field(default="", description="Begins every file's name below the location: unique to the attempt.")
    schema_ipc_base64: str = Field(description="Arrow schema of the files, with field ids in its metadata.")
    format: FileFormat = FileFormat.PARQUET
    text: TextOptions = TextOptions()
    target_file_bytes: int = Field(default=128 << 20, ge=1, description="A file that has become so large is ended.")
    single: bool = Field(default=False, description="All rows into the one file `location/name`, as it stands.")
    keep_in_cache: bool = Field(default=True, description="Whether what is written is soon read by this warehouse.")
    sort_by: tuple[str, ...] = Field(default=(), description="Columns by which each file is sorted, ascending.")


class ColumnStatistics(Message):
    """What a file's footer says of one column. Bounds in Iceberg's single-value form, base64; None: not known."""

    name: str
    size_bytes: int = Field(ge=0)
    values: int = Field(ge=0)
    nulls: int | None = Field(default=None, ge=0)
    lower: str | None = None
    upper: str | None = None


class WrittenFile(Message):
    """One file that was written and closed."""

    uri: str = Field(description="s3://bucket/key")
    size_bytes: int = Field(ge=0)
    rows: int = Field(ge=0)
    columns: tuple[ColumnStatistics, ...] = ()
    split_offsets: tuple[int, ...] = Field(default=(), description="Where the row groups start.")
