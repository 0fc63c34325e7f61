"""Answering commands in the services: SHOW, DESCRIBE, CREATE, DROP, USE, ALTER WAREHOUSE."""

import asyncio
import fnmatch
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa
from firn_model.statements import StatementError

from firn_services.catalog.expiry import Expiry
from firn_services.catalog.iceberg import IcebergCatalog
from firn_services.catalog.names import NoSuchTableError, SchemaName, TableName
from firn_services.errors import StatementFailedError
from firn_services.history.reader import HistoryReader
from firn_services.sql.commands import (
    AbortAll,
    ClearTable,
    Command,
    CreateDatabase,
    CreateSchema,
    CreateTable,
    CreateWarehouseCommand,
    DescribeTable,
    DescribeWarehouse,
    Drop,
    DropWarehouse,
    EstimateAcceleration,
    ExpireSnapshots,
    Nothing,
    ObjectKind,
    ReadHistory,
    ResumeWarehouse,
    SetWarehouse,
    Show,
    SuspendWarehouse,
    Use,
)
from firn_services.sql.compile import Explain
from firn_services.statements.acceleration import Acceleration
from firn_services.statements.record import StatementRecord
from firn_services.warehouses.account import Account
from firn_services.warehouses.admin import WarehouseAdmin
from firn_services.warehouses.table import describe, show

T = TypeVar("T")
DONE = "Statement executed successfully."


def status(text: str) -> pa.Table:
    """Return the one row that says how a command went."""
    return pa.table({"status": [text]})


class Answerer:
    """Runs commands. Each returns a small table."""

    def __init__(
        self,
        catalog: IcebergCatalog,
        expiry: Expiry,
        account: Account,
        admin: WarehouseAdmin,
        acceleration: Acceleration,
        history: HistoryReader,
    ) -> None:
        self._catalog = catalog
        self._expiry = expiry
        self._account = account
        self._admin = admin
        self._acceleration = acceleration
        self._history = history

    async def answer(self, command: Command | Explain, asked: StatementRecord) -> pa.Table:
        """Return the result of a statement that is a command. Raises ServicesError."""
        match command:
            case Explain():
                return pa.table({"plan": list(command.lines)})
            case Show(kind=ObjectKind.WAREHOUSE):
                found = _shown(command, self._account.warehouses(), lambda w: w.name)
                return show(self._account, found, asked.warehouse)
            case DescribeWarehouse(name):
                return describe(self._account.find(name))
            case Use(kind=ObjectKind.WAREHOUSE):
                self._account.find(command.name)
                return status(DONE)
            case CreateWarehouseCommand():
                return status(await self._create_warehouse(command))
            case SetWarehouse() | SuspendWarehouse() | ResumeWarehouse() | AbortAll() | DropWarehouse():
                return status(await self._change_warehouse(command))
            case ReadHistory():
                return await self._history.answer(command, asked.user, datetime.now(UTC))
            case EstimateAcceleration(statement_id, column):
                said = await asyncio.to_thread(self._acceleration.estimate, statement_id, datetime.now(UTC))
                return pa.table({column: [said]})
            case _:
                return await asyncio.to_thread(self._in_catalog, command)

    async def _create_warehouse(self, command: CreateWarehouseCommand) -> str:
        if command.replace:
            await self._admin.replace(command.name, command.spec)
            return f"Warehouse {command.name} successfully created."
        _, new = await self._admin.create(command.name, command.spec, if_not_exists=command.if_not_exists)
        return f"Warehouse {command.name} {'successfully created' if new else 'already exists'}."

    async def _change_warehouse(
        self, command: SetWarehouse | SuspendWarehouse | ResumeWarehouse | AbortAll | DropWarehouse
    ) -> str:
        try:
            self._account.find(command.name)
        except StatementFailedError:
            if command.if_exists:
                return DONE
            raise
        match command:
            case SetWarehouse():
                changed = await self._admin.set(command.name, command.spec)
                if command.wait:
                    await self._admin.resized(changed.name)
            case SuspendWarehouse():
                await self._admin.suspend(command.name)
            case ResumeWarehouse():
                await self._admin.resume(command.name, if_suspended=command.if_suspended)
            case AbortAll():
                aborted = await self._admin.abort_all(command.name)
                return f"{aborted} statements aborted."
            case DropWarehouse():
                await self._admin.drop(command.name)
                return f"{command.name} successfully dropped."
        return DONE

    def _in_catalog(self, command: Command) -> pa.Table:
        match command:
            case Show():
                return self._show(command)
            case DescribeTable():
                return self._describe(command)
            case Use():
                return self._use(command)
            case Drop():
                return self._drop(command)
            case ClearTable():
                return self._clear(command)
            case ExpireSnapshots():
                expired, deleted = self._expiry.expire(command.table, command.older_than, datetime.now(UTC))
                return pa.table({"snapshots expired": [expired], "files deleted": [deleted]})
            case Nothing():
                return status(command.message)
            case _:
                return status(self._create(command))

    def _create(self, command: Command) -> str:
        match command:
            case CreateDatabase():
                self._catalog.create_database(command.name, if_not_exists=command.if_not_exists)
                return f"Database {command.name} successfully created."
            case CreateSchema():
                self._catalog.create_schema(command.schema, if_not_exists=command.if_not_exists)
                return f"Schema {command.schema.schema} successfully created."
            case CreateTable():
                new = self._catalog.create_table(
                    command.table,
                    command.columns,
                    if_not_exists=command.if_not_exists,
                    replace=command.replace,
                    sorted_by=command.sorted_by,
                )
                return f"Table {command.table.name} {'successfully created' if new else 'already exists'}."
            case _:
                raise StatementFailedError(StatementError.UNSUPPORTED, f"{type(command).__name__} is not supported")

    def _clear(self, command: ClearTable) -> pa.Table:
        try:
            rows = self._catalog.clear(command.table)
        except NoSuchTableError as error:
            if command.if_exists:
                return status(DONE)
            raise StatementFailedError(
                StatementError.UNKNOWN_TABLE, f"table {command.table} does not exist; SHOW TABLES lists what there is"
            ) from error
        return pa.table({"number of rows deleted": [rows]}) if command.counted else status(DONE)

    def _drop(self, command: Drop) -> pa.Table:
        match command.kind:
            case ObjectKind.TABLE:
                table = TableName(command.database, command.schema, command.table)
                dropped, name = self._catalog.drop_table(table, if_exists=command.if_exists), table.name
            case ObjectKind.SCHEMA:
                schema = SchemaName(command.database, command.schema)
                dropped, name = self._catalog.drop_schema(schema, if_exists=command.if_exists), schema.schema
            case _:
                dropped = self._catalog.drop_database(command.database, if_exists=command.if_exists)
                name = command.database
        return status(f"{name} successfully dropped." if dropped else DONE)

    def _use(self, command: Use) -> pa.Table:
        if command.kind is ObjectKind.DATABASE:
            known = command.name in self._catalog.databases()
        else:
            known = SchemaName(command.database or "", command.name) in self._catalog.schemas()
        if not known:
            raise StatementFailedError(
                StatementError.UNKNOWN_TABLE, f"{command.kind.value.lower()} {command.name} does not exist"
            )
        return status(DONE)

    def _describe(self, command: DescribeTable) -> pa.Table:
        try:
            table = self._catalog.load(command.table)
        except NoSuchTableError as error:
            message = f"table {command.table} does not exist; SHOW TABLES lists what there is"
            raise StatementFailedError(StatementError.UNKNOWN_TABLE, message) from error
        fields = list(table.schema)
        return pa.table(
            {
                "name": [f.name.upper() if f.name.islower() else f.name for f in fields],
                "type": [str(f.type) for f in fields],
                "null?": ["Y" if f.nullable else "N" for f in fields],
            }
        )

    def _show(self, command: Show) -> pa.Table:
        if command.kind is ObjectKind.DATABASE:
            databases = _shown(command, self._catalog.databases(), str)
            return pa.table({"name": pa.array(databases, pa.string())})
        if command.kind is ObjectKind.SCHEMA:
            schemas = _shown(command, self._catalog.schemas(command.database), lambda s: s.schema)
            return pa.table(
                {
                    "name": pa.array([s.schema for s in schemas], pa.string()),
                    "database_name": pa.array([s.database for s in schemas], pa.string()),
                }
            )
        names = _shown(command, self._catalog.tables(command.database, command.schema), lambda t: t.name)
        tables = [self._catalog.load(name) for name in names]
        return pa.table(
            {
                "name": pa.array([t.name.name for t in tables], pa.string()),
                "database_name": pa.array([t.name.database for t in tables], pa.string()),
                "schema_name": pa.array([t.name.schema for t in tables], pa.string()),
                "kind": pa.array(["TABLE"] * len(tables), pa.string()),
                "rows": pa.array([t.rows for t in tables], pa.int64()),
                "bytes": pa.array([t.size_bytes for t in tables], pa.int64()),
            }
        )


def _shown(command: Show, found: list[T], name_of: Callable[[T], str]) -> list[T]:
    """Return what LIKE, STARTS WITH and LIMIT leave of what there is."""
    names = ((one, name_of(one)) for one in found)
    kept = [one for one, name in names if _matches(command.like, name) and name.startswith(command.starts_with)]
    return kept[: command.limit]


def _matches(pattern: str | None, name: str) -> bool:
    """Return whether a name fits a LIKE pattern, ignoring case as SHOW does."""
    if pattern is None:
        return True
    glob = pattern.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]").replace("%", "*").replace("_", "?")
    return fnmatch.fnmatchcase(name.upper(), glob.upper())
