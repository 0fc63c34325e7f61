"""Names in the catalog and what a table looks like from outside."""

from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
from firn_model.messages import DataFile
from firn_model.writes import FileFormat, TextOptions


@dataclass(frozen=True, slots=True, order=True)
class SchemaName:
    """A schema; names as stored, unquoted ones in capitals."""

    database: str
    schema: str

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}"


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table; names as stored, unquoted ones in capitals."""

    database: str
    schema: str
    name: str

    @property
    def parent(self) -> SchemaName:
        """Return its schema."""
        return SchemaName(self.database, self.schema)

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Bound:
    """One condition on a column, `column op value` with op one of < <= > >= =; used to leave files out."""

    column: str
    op: str
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table at one of its snapshots. `location` is its immutable metadata file and so names this very version."""

    name: TableName
    location: str
    schema: pa.Schema
    schema_ipc_base64: str
    files: tuple[DataFile, ...]
    root: str = ""
    field_ids: tuple[int, ...] = ()
    sort_by: tuple[str, ...] = ()
    loads: str = ""
    role: str = ""
    format: FileFormat = FileFormat.PARQUET
    text: TextOptions = field(default_factory=TextOptions)

    @property
    def rows(self) -> int:
        """Return how many rows it has."""
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Return how many bytes its files have."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True, order=True)
class StagedFile:
    """A file that can be loaded; written anew it is another one."""

    uri: str
    size_bytes: int
    written_at: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a table: a time, just after (or before) a statement's snapshot, or a snapshot's number."""

    before: bool
    at: datetime | None = None
    statement: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class NewTable:
    """A table to be made: its identifier, columns, folder, and the columns by which its files are sorted."""

    identifier: tuple[str, str, str]
    schema: pa.Schema
    root: str
    sort_by: tuple[str, ...] = ()


class NoSuchTableError(Exception):
    """The catalog has no such table."""
