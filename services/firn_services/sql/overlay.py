"""The catalog of a statement that reads history or results: these as tables, beside the account's own.

Each gets one file that is not there, by which it is found again in what was compiled. A statement that reads nothing
else is answered by the services, so that no warehouse resumes for it.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from firn_model.messages import DataFile, TableSnapshot
from firn_model.statements import StatementError

from firn_services.catalog.names import Bound, CatalogTable, Moment, NewTable, NoSuchTableError, SchemaName, TableName
from firn_services.catalog.reader import CatalogReader
from firn_services.catalog.staging import Staging
from firn_services.errors import StatementFailedError
from firn_services.sql.binding import Bound as BoundQuery
from firn_services.sql.commands import HistoryCall, ReadHistory, StoredResult
from firn_services.sql.query import Action, Query

Read = HistoryCall | StoredResult
_MARK = "firn-read:"
_ONCE = (Action.CREATE, Action.INSERT, Action.OVERWRITE, Action.UNLOAD)
"""What reads its source in one query."""


@dataclass(slots=True)
class Overlay:
    """A CatalogReader that has some more tables."""

    catalog: CatalogReader
    _made: dict[TableName, CatalogTable] = field(default_factory=dict)
    _asked: list[Read] = field(default_factory=list)

    @property
    def version(self) -> int:
        """Return the catalog's version."""
        return self.catalog.version

    @property
    def staging(self) -> Staging:
        """Return the catalog's files that can be loaded."""
        return self.catalog.staging

    def add(self, function: str, columns: pa.Schema, asked: Read) -> TableName:
        """Return the name of one more table."""
        number = len(self._asked)
        name = TableName("HISTORY", str(number), function)
        ipc = base64.b64encode(columns.serialize().to_pybytes()).decode()
        place = DataFile(uri=f"{_MARK}{number}", size_bytes=0, rows=0)
        self._made[name] = CatalogTable(name, str(name), columns, ipc, (place,))
        self._asked.append(asked)
        return name

    def databases(self) -> list[str]:
        """Return the catalog's databases."""
        return self.catalog.databases()

    def schemas(self, database: str | None = None) -> list[SchemaName]:
        """Return the catalog's schemas."""
        return self.catalog.schemas(database)

    def tables(self, database: str | None = None, schema: str | None = None) -> list[TableName]:
        """Return the catalog's tables."""
        return self.catalog.tables(database, schema)

    def load(self, name: TableName) -> CatalogTable:
        """Return a table. Raises NoSuchTableError."""
        return self._made[name] if name in self._made else self.catalog.load(name)

    def as_of(self, name: TableName, moment: Moment) -> CatalogTable:
        """Return a table as it was; what was made has no past. Raises NoSuchTableError, StatementFailedError."""
        if name in self._made:
            raise NoSuchTableError(str(name))
        return self.catalog.as_of(name, moment)

    def new_table(self, name: TableName, schema: pa.Schema, sorted_by: tuple[str, ...] = ()) -> NewTable:
        """Return a table to be made. Raises NotFoundError when its schema does not exist."""
        return self.catalog.new_table(name, schema, sorted_by)

    def prune(self, table: CatalogTable, bounds: tuple[Bound, ...]) -> tuple[DataFile, ...]:
        """Return the files that may hold rows within all bounds."""
        return table.files if table.name in self._made else self.catalog.prune(table, bounds)

    def read(self, bound: BoundQuery) -> ReadHistory | Query:
        """Return what a bound query is: one for a warehouse when it reads tables too."""
        tables, reads = self._apart(bound.snapshots)
        return ReadHistory(bound.sql, reads) if len(reads) == len(tables) else Query(bound.sql, tables, reads=reads)

    def written(self, query: Query) -> Query:
        """Return a statement that writes, with what it reads. Raises StatementFailedError."""
        if query.write is None or query.write.action not in _ONCE:
            reason = "history and results cannot be read here; CREATE TABLE … AS keeps their rows"
            raise StatementFailedError(StatementError.UNSUPPORTED, reason)
        tables, reads = self._apart(query.tables)
        return replace(query, tables=tables, reads=reads)

    def _apart(self, snapshots: Sequence[TableSnapshot]) -> tuple[tuple[TableSnapshot, ...], tuple[Read, ...]]:
        """Return the tables without files that are not there, and what these are to hold."""
        tables, reads = list[TableSnapshot](), list[Read]()
        for snapshot in snapshots:
            if snapshot.files and snapshot.files[0].uri.startswith(_MARK):
                number = int(snapshot.files[0].uri.removeprefix(_MARK))
                reads.append(replace(self._asked[number], table=snapshot.name))
                snapshot = snapshot.model_copy(update={"files": ()})
            tables.append(snapshot)
        return tuple(tables), tuple(reads)
