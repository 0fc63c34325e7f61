"""Which files a statement changes, as its first query found, and what the statement is to say that it did."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa
from firn_model.messages import DataFile
from firn_model.statements import StatementError
from firn_model.writes import WrittenFile

from firn_services.catalog.commits import Counts
from firn_services.errors import StatementFailedError
from firn_services.sql.query import Action, Query, Write


@dataclass(frozen=True, slots=True)
class Touched:
    """Files with rows that change; how many of their rows do, and how many of these are updated."""

    files: tuple[DataFile, ...]
    changed: int
    updated: int

    @property
    def uris(self) -> frozenset[str]:
        """Return the files' names."""
        return frozenset(file.uri for file in self.files)

    @property
    def rows(self) -> int:
        """Return how many rows the files have."""
        return sum(file.rows for file in self.files)


def read_touched(rows: bytes, write: Write) -> Touched:
    """Return what the first query found. Raises StatementFailedError when a row would change more than once."""
    with pa.ipc.open_stream(rows) as reader:
        found = reader.read_all().to_pylist()
    if write.action is Action.MERGE and any(row["most"] > 1 for row in found):
        raise StatementFailedError(
            StatementError.CONSTRAINT,
            "a row of the target is matched by several rows of the source; make the source's keys unique",
        )
    files = tuple(write.candidates[row["file_number"]] for row in found)
    return Touched(files, sum(row["row_count"] for row in found), sum(row["updated"] for row in found))


def narrowed(query: Query, write: Write, touched: Touched) -> Query:
    """Return the second query over just the files that change."""
    tables = tuple(
        table.model_copy(update={"files": touched.files}) if table.name in write.touched else table
        for table in query.tables
    )
    return replace(query, tables=tables)


def counts_of(write: Write, written: Iterable[WrittenFile], touched: Touched) -> Counts:
    """Return what the statement answers: Snowflake's columns."""
    files = tuple(written)
    rows = sum(file.rows for file in files)
    match write.action:
        case Action.CREATE:
            return {"status": f"Table {write.table.name} successfully created."}
        case Action.INSERT | Action.OVERWRITE:
            return {"number of rows inserted": rows}
        case Action.DELETE:
            return {"number of rows deleted": touched.changed}
        case Action.UPDATE:
            return {"number of rows updated": touched.changed}
        case Action.MERGE:
            deleted = touched.changed - touched.updated
            inserted = rows - (touched.rows - deleted)
            return {
                "number of rows inserted": inserted,
                "number of rows updated": touched.updated,
                "number of rows deleted": deleted,
            }
        case Action.COMPACT:
            return {"number of files compacted": len(touched.files), "number of files written": len(files)}
        case Action.LOAD:
            return {"status": "LOADED", "files_loaded": len(write.loaded), "rows_loaded": rows}
        case Action.UNLOAD:
            return {"rows_unloaded": rows, "output_bytes": sum(f.size_bytes for f in files), "files": len(files)}
