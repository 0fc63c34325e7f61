"""What a statement for a warehouse was compiled to: the engine's text, the tables it reads, and what it writes."""

from dataclasses import dataclass
from enum import StrEnum

from firn_model.messages import DataFile, TableSnapshot
from firn_model.writes import WriteTarget

from firn_services.catalog.names import CatalogTable, NewTable, StagedFile, TableName
from firn_services.sql.commands import HistoryCall, StoredResult


class Action(StrEnum):
    """What becomes of the rows that a statement writes."""

    CREATE = "create"
    INSERT = "insert"
    OVERWRITE = "overwrite"
    DELETE = "delete"
    UPDATE = "update"
    MERGE = "merge"
    COMPACT = "compact"
    LOAD = "load"
    UNLOAD = "unload"


@dataclass(frozen=True, slots=True)
class Write:
    """How the rows that a query writes become a snapshot of a table.

    `find` comes first, where files are rewritten: it answers in which of `base`'s files (its place among `candidates`)
    how many rows change. The query itself then reads only those, as the tables that it calls `touched`.
    """

    action: Action
    table: TableName
    target: WriteTarget
    base: CatalogTable | None = None
    new: NewTable | None = None
    replace: bool = False
    find: "Query | None" = None
    touched: tuple[str, ...] = ()
    candidates: tuple[DataFile, ...] = ()
    inserts: bool = False
    loaded: tuple[StagedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A statement for a warehouse, bound to the snapshots that it reads.

    `reads`: what history and results it reads beside tables. Each is one of `tables`, and gets its file with each
    attempt.
    """

    sql: str
    tables: tuple[TableSnapshot, ...]
    write: Write | None = None
    reads: tuple[HistoryCall | StoredResult, ...] = ()

    @property
    def scan_bytes(self) -> int:
        """Return the size of all files that it may read."""
        return sum(file.size_bytes for table in self.tables for file in table.files)
