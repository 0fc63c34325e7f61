"""The catalog: Iceberg tables listed in the services' own database, their metadata in the object store.

A database is a namespace of one level, a schema one of two. Names and current snapshots are kept in memory and change
only through this class, so a compiled statement needs neither database nor object store.
"""

import base64
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pyarrow as pa
from firn_model.messages import DataFile
from firn_model.statements import StatementError
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    TableAlreadyExistsError,
)
from pyiceberg.exceptions import NoSuchTableError as IcebergNoSuchTableError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table import Table

from firn_services.catalog.checks import check_name, missing
from firn_services.catalog.commits import (
    PROPERTIES,
    Change,
    ConflictingChangeError,
    Counts,
    commit,
    counts_of,
    create_with_files,
    properties_of,
    sort_by,
)
from firn_services.catalog.files import file_properties
from firn_services.catalog.filters import row_filter
from firn_services.catalog.history import snapshot_at
from firn_services.catalog.names import Bound, CatalogTable, Moment, NewTable, NoSuchTableError, SchemaName, TableName
from firn_services.catalog.schemas import plain
from firn_services.catalog.staging import LOADS, Staging
from firn_services.config import Settings
from firn_services.errors import ConflictError, NotFoundError
from firn_services.objects import TABLES, ObjectStore, translated
from firn_services.store.database import with_driver


class IcebergCatalog:
    """Databases, schemas and tables of the account. Calls block; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.staging = Staging(ObjectStore.connect(settings))
        self._folder = f"s3://{settings.object_store_bucket}/{TABLES}"
        address = with_driver(settings.database_url.get_secret_value())
        self._catalog = SqlCatalog("firn", uri=address, warehouse=self._folder, **file_properties(settings))
        self._lock = threading.RLock()
        self._committing: dict[TableName, threading.Lock] = {}
        self._databases: set[str] = set()
        self._schemas: set[SchemaName] = set()
        self._tables: dict[TableName, CatalogTable | None] = {}
        self._iceberg: dict[TableName, Table] = {}
        self._version = 0

    def open(self, default: SchemaName) -> None:
        """Read all names and make the default database and schema where they are missing."""
        with self._lock:
            for (database,) in self._catalog.list_namespaces():
                self._databases.add(database)
                for namespace in self._catalog.list_namespaces((database,)):
                    schema = SchemaName(*namespace[-2:])
                    self._schemas.add(schema)
                    for identifier in self._catalog.list_tables(_namespace(schema)):
                        self._tables[TableName(schema.database, schema.schema, identifier[-1])] = None
            if default.database not in self._databases:
                self.create_database(default.database, if_not_exists=True)
            if default not in self._schemas:
                self.create_schema(default, if_not_exists=True)
            self._version += 1

    def close(self) -> None:
        """Close the database."""
        self._catalog.close()

    @property
    def version(self) -> int:
        """A number that changes with every change."""
        return self._version

    def databases(self) -> list[str]:
        """Return every database by name."""
        with self._lock:
            return sorted(self._databases)

    def schemas(self, database: str | None = None) -> list[SchemaName]:
        """Return the schemas of one or every database by name."""
        with self._lock:
            return sorted(s for s in self._schemas if database in (None, s.database))

    def tables(self, database: str | None = None, schema: str | None = None) -> list[TableName]:
        """Return tables by name."""
        with self._lock:
            return sorted(t for t in self._tables if database in (None, t.database) and schema in (None, t.schema))

    def load(self, name: TableName) -> CatalogTable:
        """Return a table at its current snapshot. Raises NoSuchTableError, StatementFailedError."""
        with self._lock:
            if name not in self._tables:
                raise NoSuchTableError(name)
            kept = self._tables[name]
            if kept is not None:
                return kept
            self._loaded(name)
            found = self._tables[name]
            assert found is not None, "a loaded table is kept"  # noqa: S101  for the type checker
            return found

    def as_of(self, name: TableName, moment: Moment) -> CatalogTable:
        """Return a table as it was. Raises NoSuchTableError, StatementFailedError when there is no snapshot of then."""
        now = self.load(name)
        with self._lock:
            table = self._loaded(name)
        snapshot = snapshot_at(table, moment)
        number = snapshot.snapshot_id
        files = translated(f"table {name}", lambda: tuple(_files(table, AlwaysTrue(), number)))
        return replace(now, location=f"{table.metadata_location}@{number}", files=files)

    def prune(self, table: CatalogTable, bounds: tuple[Bound, ...]) -> tuple[DataFile, ...]:
        """Return the files that may hold rows within all bounds, by partition and by statistics."""
        if len(table.files) <= 1:
            return table.files
        with self._lock:
            iceberg = self._iceberg[table.name]
        if iceberg.metadata_location != table.location:
            return table.files
        wanted = row_filter(iceberg, bounds)
        if wanted == AlwaysTrue():
            return table.files
        return translated(f"table {table.name}", lambda: tuple(_files(iceberg, wanted)))

    def create_database(self, name: str, *, if_not_exists: bool) -> None:
        """Create a database with its schema PUBLIC. Raises ConflictError."""
        check_name(name)
        with self._changing():
            try:
                self._catalog.create_namespace((name,))
            except NamespaceAlreadyExistsError as error:
                if not if_not_exists:
                    raise ConflictError(f"database {name} exists already") from error
                return
            self._databases.add(name)
            public = SchemaName(name, "PUBLIC")
            self._catalog.create_namespace(_namespace(public))
            self._schemas.add(public)

    def create_schema(self, name: SchemaName, *, if_not_exists: bool) -> None:
        """Create a schema in a database that exists. Raises NotFoundError, ConflictError."""
        check_name(name.schema)
        with self._changing():
            if name.database not in self._databases:
                raise NotFoundError(
                    f"database {name.database} does not exist; CREATE DATABASE {name.database} makes it"
                )
            try:
                self._catalog.create_namespace(_namespace(name))
            except NamespaceAlreadyExistsError as error:
                if not if_not_exists:
                    raise ConflictError(f"schema {name} exists already") from error
                return
            self._schemas.add(name)

    def new_table(self, name: TableName, schema: pa.Schema, sorted_by: tuple[str, ...] = ()) -> NewTable:
        """Return a table to be made, in a folder that no other table has had. Raises NotFoundError."""
        self._check_schema(name)
        plain = re.sub(r"[^\w.-]", "_", f"{name}", flags=re.ASCII)[:80]
        return NewTable(_identifier(name), schema, f"{self._folder}/{plain}-{uuid.uuid4().hex[:12]}", sorted_by)

    def create_as(self, name: TableName, new: NewTable, change: Change, *, replace: bool) -> None:
        """Make a table with its first files. Raises ConflictError when it exists, StatementFailedError."""
        with self._changing():
            self._check_schema(name)
            try:
                there = name in self._tables
                if there and counts_of(self._loaded(name), change.statement_id) is not None:
                    return
                translated(
                    f"table {name}",
                    lambda: create_with_files(self._catalog, new, change, replace=replace and there),
                )
            except TableAlreadyExistsError as error:
                raise ConflictError(f"table {name} exists already") from error
            self._keep(name, self._catalog.load_table(_identifier(name)))

    def committed(self, name: TableName, statement_id: str) -> Counts | None:
        """Return what a statement has done to a table, if its snapshot is there. Blocks."""
        with self._lock:
            return counts_of(self._loaded(name), statement_id) if name in self._tables else None

    def files_of_statement(self, name: TableName, statement_id: str) -> frozenset[str]:
        """Return the table's files in a statement's folder. Blocks."""
        with self._lock:
            found = self._tables.get(name)
            return frozenset(f.uri for f in found.files if f"/{statement_id}/" in f.uri) if found else frozenset()

    def change(self, name: TableName, base: CatalogTable, change: Change, *, alone: bool) -> Counts:
        """Commit a statement's snapshot, once; return its counts. Raises ConflictingChangeError, StatementFailedError.

        With `alone` nothing else may have changed the table since `base`.
        """

        def operation(table: Table) -> Table:
            if counts_of(table, change.statement_id) is not None:
                return table
            if table.location() != base.root or (alone and table.metadata_location != base.location):
                raise ConflictingChangeError(f"table {name} was changed meanwhile")
            return commit(table, change)

        return counts_of(self.alter(name, operation), change.statement_id) or change.counts

    def alter(self, name: TableName, operation: Callable[[Table], Table]) -> Table:
        """Let an operation change a table, one at a time; it returns the table as it is then. Raises as it does.

        Raises ConflictingChangeError when the table is gone.
        """
        with self._lock:
            lock = self._committing.setdefault(name, threading.Lock())
        with lock:
            with self._lock:
                if name not in self._tables:
                    raise ConflictingChangeError(f"table {name} was dropped meanwhile")
                table = self._loaded(name)
            changed = translated(f"table {name}", lambda: operation(table))
            if changed is not table:
                with self._changing():
                    if self._iceberg.get(name) is table:
                        self._keep(name, changed)
        return changed

    def _loaded(self, name: TableName) -> Table:
        """Return a table's newest state. Call under the lock."""
        if name not in self._iceberg:
            self._keep(name, translated(f"table {name}", lambda: self._catalog.load_table(_identifier(name))))
        return self._iceberg[name]

    def create_table(
        self,
        name: TableName,
        schema: pa.Schema,
        *,
        if_not_exists: bool,
        replace: bool,
        sorted_by: tuple[str, ...] = (),
    ) -> bool:
        """Create an empty table; return whether it is new. Raises ConflictError, NotFoundError."""
        new = self.new_table(name, schema, sorted_by)
        with self._changing():
            if name in self._tables and replace:
                self._drop_table(name)
            try:
                table = translated(
                    f"table {name}",
                    lambda: self._catalog.create_table(
                        _identifier(name), schema, location=new.root, properties=properties_of(new)
                    ),
                )
            except TableAlreadyExistsError as error:
                if if_not_exists:
                    return False
                raise ConflictError(f"table {name} exists already") from error
            self._keep(name, table)
            return True

    def register(self, name: TableName, schema: pa.Schema, files: Iterable[str], *, replace: bool) -> CatalogTable:
        """Make existing Parquet files a table, without copying them. Raises ConflictError, StatementFailedError."""
        check_name(name.name)
        with self._changing():
            self.create_database(name.database, if_not_exists=True)
            self.create_schema(name.parent, if_not_exists=True)
            if name in self._tables:
                if not replace:
                    raise ConflictError(f"table {name} exists already; register it with replace to put it anew")
                self._drop_table(name)
            translated(f"table {name}", lambda: self._commit_files(name, schema, list(files)))
            return self._keep(name, self._catalog.load_table(_identifier(name)))

    def _commit_files(self, name: TableName, schema: pa.Schema, files: list[str]) -> None:
        """Create the table and add its files; a failure leaves no table.

        A transaction that creates and adds would be the shorter way, but takes no namespace of two levels.
        """
        root = self.new_table(name, schema).root
        table = self._catalog.create_table(_identifier(name), schema, location=root, properties=PROPERTIES)
        done = False
        try:
            table.add_files(files, check_duplicate_files=False)
            done = True
        finally:
            if not done:
                self._catalog.drop_table(_identifier(name))

    def clear(self, name: TableName) -> int:
        """Take all rows out of a table; return how many there were. Raises StatementFailedError."""
        with self._lock:
            table = self.load(name)
            statement = str(uuid.uuid4())
            if table.files:
                self.change(name, table, Change(statement, {}, removed=None), alone=True)
            return table.rows

    def drop_table(self, name: TableName, *, if_exists: bool) -> bool:
        """Drop a table, leaving its files; return whether it was there. Raises StatementFailedError."""
        with self._changing():
            if name not in self._tables:
                return missing(StatementError.UNKNOWN_TABLE, f"table {name}", if_exists=if_exists)
            self._drop_table(name)
            return True

    def drop_schema(self, name: SchemaName, *, if_exists: bool) -> bool:
        """Drop a schema with its tables; return whether it was there."""
        with self._changing():
            if name not in self._schemas:
                return missing(StatementError.UNKNOWN_TABLE, f"schema {name}", if_exists=if_exists)
            for table in self.tables(name.database, name.schema):
                self._drop_table(table)
            self._catalog.drop_namespace(_namespace(name))
            self._schemas.discard(name)
            return True

    def drop_database(self, name: str, *, if_exists: bool) -> bool:
        """Drop a database with its schemas; return whether it was there."""
        with self._changing():
            if name not in self._databases:
                return missing(StatementError.UNKNOWN_TABLE, f"database {name}", if_exists=if_exists)
            for schema in self.schemas(name):
                self.drop_schema(schema, if_exists=True)
            try:
                self._catalog.drop_namespace((name,))
            except (NoSuchNamespaceError, NamespaceNotEmptyError) as error:
                raise ConflictError(f"database {name} cannot be dropped: {error}") from error
            self._databases.discard(name)
            return True

    def _drop_table(self, name: TableName) -> None:
        with suppress(IcebergNoSuchTableError):  # gone already, by a crash between two writes
            self._catalog.drop_table(_identifier(name))
        self._tables.pop(name, None)
        self._iceberg.pop(name, None)

    def _keep(self, name: TableName, table: Table) -> CatalogTable:
        schema = plain(table.schema().as_arrow())
        files = translated(f"table {name}", lambda: tuple(_files(table, AlwaysTrue())))
        ipc = base64.b64encode(schema.serialize().to_pybytes()).decode()
        ids = tuple(field.field_id for field in table.schema().fields)
        place, loads = table.metadata_location, table.properties.get(LOADS, "")
        kept = CatalogTable(name, place, schema, ipc, files, table.location(), ids, sort_by(table), loads)
        self._tables[name] = kept
        self._iceberg[name] = table
        return kept

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            finally:
                self._version += 1

    def _check_schema(self, name: TableName) -> None:
        check_name(name.name)
        with self._lock:
            if name.parent not in self._schemas:
                raise NotFoundError(f"schema {name.parent} does not exist; CREATE SCHEMA {name.parent} makes it")


def _namespace(schema: SchemaName) -> tuple[str, str]:
    return (schema.database, schema.schema)


def _identifier(name: TableName) -> tuple[str, str, str]:
    return (name.database, name.schema, name.name)


def _files(table: Table, row_filter: BooleanExpression, snapshot_id: int | None = None) -> Iterator[DataFile]:
    for task in table.scan(row_filter=row_filter, snapshot_id=snapshot_id).plan_files():
        yield DataFile.model_construct(
            uri=task.file.file_path, size_bytes=task.file.file_size_in_bytes, rows=task.file.record_count
        )
