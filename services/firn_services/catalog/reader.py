"""What compilation asks of the catalog."""

from typing import Protocol

import pyarrow as pa
from firn_model.messages import DataFile

from firn_services.catalog.names import Bound, CatalogTable, Moment, NewTable, SchemaName, TableName
from firn_services.catalog.staging import Staging


class CatalogReader(Protocol):
    """What compilation needs of the catalog. Calls may block: compile in a thread."""

    @property
    def staging(self) -> Staging:
        """Files that can be loaded into tables."""
        ...

    @property
    def version(self) -> int:
        """A number that changes with every change of the catalog."""
        ...

    def databases(self) -> list[str]:
        """Return every database by name."""
        ...

    def schemas(self, database: str | None = None) -> list[SchemaName]:
        """Return the schemas of one or every database by name."""
        ...

    def tables(self, database: str | None = None, schema: str | None = None) -> list[TableName]:
        """Return tables by name."""
        ...

    def load(self, name: TableName) -> CatalogTable:
        """Return a table at its current snapshot. Raises NoSuchTableError."""
        ...

    def as_of(self, name: TableName, moment: Moment) -> CatalogTable:
        """Return a table as it was. Raises NoSuchTableError, StatementFailedError."""
        ...

    def new_table(self, name: TableName, schema: pa.Schema, sorted_by: tuple[str, ...] = ()) -> NewTable:
        """Return a table to be made. Raises NotFoundError when its schema does not exist."""
        ...

    def prune(self, table: CatalogTable, bounds: tuple[Bound, ...]) -> tuple[DataFile, ...]:
        """Return the files that may hold rows within all bounds."""
        ...
