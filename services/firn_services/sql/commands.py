"""Statements that the services answer themselves. They never resume a warehouse."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import pyarrow as pa

from firn_services.catalog.names import SchemaName, TableName


class ObjectKind(StrEnum):
    """What USE, SHOW and DROP speak of."""

    DATABASE = "DATABASE"
    SCHEMA = "SCHEMA"
    TABLE = "TABLE"
    WAREHOUSE = "WAREHOUSE"


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW TABLES | SCHEMAS | DATABASES | WAREHOUSES [LIKE pattern] [IN scope] [STARTS WITH text] [LIMIT rows]."""

    kind: ObjectKind
    like: str | None = None
    database: str | None = None
    schema: str | None = None
    starts_with: str = ""
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class DescribeTable:
    """DESCRIBE TABLE."""

    table: TableName


@dataclass(frozen=True, slots=True)
class DescribeWarehouse:
    """DESCRIBE WAREHOUSE."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """CREATE DATABASE."""

    name: str
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class CreateSchema:
    """CREATE SCHEMA."""

    schema: SchemaName
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE TABLE with columns; an Iceberg table without files."""

    table: TableName
    columns: pa.Schema
    if_not_exists: bool
    replace: bool
    sorted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClearTable:
    """TRUNCATE, or DELETE without a condition, whose rows are counted."""

    table: TableName
    if_exists: bool = False
    counted: bool = False


@dataclass(frozen=True, slots=True)
class ExpireSnapshots:
    """ALTER TABLE … EXPIRE SNAPSHOTS; None: as old as may be."""

    table: TableName
    older_than: datetime | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do, and why."""

    message: str


@dataclass(frozen=True, slots=True)
class Drop:
    """DROP DATABASE | SCHEMA | TABLE. `schema` and `table` as far as the kind needs them."""

    kind: ObjectKind
    database: str
    schema: str = ""
    table: str = ""
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """USE DATABASE | SCHEMA | WAREHOUSE: checked here, remembered by the client."""

    kind: ObjectKind
    name: str
    database: str | None = None


@dataclass(frozen=True, slots=True)
class CreateWarehouseCommand:
    """CREATE WAREHOUSE; `spec` in the resource's own field names."""

    name: str
    if_not_exists: bool
    spec: dict[str, object] = field(default_factory=dict)
    replace: bool = False


@dataclass(frozen=True, slots=True)
class SetWarehouse:
    """ALTER WAREHOUSE … SET; `spec` in the resource's own field names. `wait`: until its nodes are of the new size."""

    name: str
    if_exists: bool
    spec: dict[str, object] = field(default_factory=dict)
    wait: bool = False


@dataclass(frozen=True, slots=True)
class SuspendWarehouse:
    """ALTER WAREHOUSE … SUSPEND."""

    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class ResumeWarehouse:
    """ALTER WAREHOUSE … RESUME [IF SUSPENDED]."""

    name: str
    if_exists: bool
    if_suspended: bool


@dataclass(frozen=True, slots=True)
class AbortAll:
    """ALTER WAREHOUSE … ABORT ALL QUERIES."""

    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class DropWarehouse:
    """DROP WAREHOUSE."""

    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class EstimateAcceleration:
    """SELECT SYSTEM$ESTIMATE_QUERY_ACCELERATION('id'); `column` is what the result's one column is called."""

    statement_id: str
    column: str


class HistoryFunction(StrEnum):
    """What was: functions of INFORMATION_SCHEMA, and views of SNOWFLAKE.ACCOUNT_USAGE of the same names."""

    STATEMENTS = "QUERY_HISTORY"
    STATEMENTS_OF_USER = "QUERY_HISTORY_BY_USER"
    STATEMENTS_OF_WAREHOUSE = "QUERY_HISTORY_BY_WAREHOUSE"
    LOAD = "WAREHOUSE_LOAD_HISTORY"
    METERING = "WAREHOUSE_METERING_HISTORY"
    ACCELERATION = "QUERY_ACCELERATION_HISTORY"
    EVENTS = "WAREHOUSE_EVENTS_HISTORY"
    ELIGIBLE = "QUERY_ACCELERATION_ELIGIBLE"


@dataclass(frozen=True, slots=True)
class HistoryCall:
    """One call; `table` is what the query calls its result, the arguments are the engine's expressions by name."""

    table: str
    function: HistoryFunction
    arguments: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The result of a statement; `table` is what the query calls it."""

    table: str
    statement_id: str


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """A query over the results of calls and of earlier statements, in the engine's dialect."""

    sql: str
    reads: tuple[HistoryCall | StoredResult, ...]


Command = (
    Show
    | DescribeTable
    | DescribeWarehouse
    | CreateDatabase
    | CreateSchema
    | CreateTable
    | ClearTable
    | ExpireSnapshots
    | Nothing
    | Drop
    | Use
    | CreateWarehouseCommand
    | SetWarehouse
    | SuspendWarehouse
    | ResumeWarehouse
    | AbortAll
    | DropWarehouse
    | EstimateAcceleration
    | ReadHistory
)
