"""Reading history in SQL: SELECT … FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(…)) and its like.

Source: snowflake-surface.md, the rows of the history functions; their arguments as Snowflake's INFORMATION_SCHEMA has
them, by name or in their order. Such a statement reads nothing else, so that the services answer it by themselves and
no warehouse resumes for it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import pyarrow as pa
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import Bound, CatalogReader, CatalogTable, NoSuchTableError, TableName
from firn_services.errors import StatementFailedError
from firn_services.sql.binding import bind
from firn_services.sql.commands import HistoryCall, HistoryFunction, ReadHistory
from firn_services.sql.dialect import Engine
from firn_services.sql.resolve import Defaults

TIME = pa.timestamp("us", tz="UTC")
CREDITS = pa.decimal128(38, 9)


class _Kind(StrEnum):
    """What an argument is cast to."""

    TIME = "TIMESTAMP WITH TIME ZONE"
    TEXT = "VARCHAR"
    NUMBER = "BIGINT"


_RANGE = {"DATE_RANGE_START": _Kind.TIME, "DATE_RANGE_END": _Kind.TIME, "WAREHOUSE_NAME": _Kind.TEXT}
_STATEMENTS = {
    "END_TIME_RANGE_START": _Kind.TIME,
    "END_TIME_RANGE_END": _Kind.TIME,
    "RESULT_LIMIT": _Kind.NUMBER,
}
_ARGUMENTS: dict[HistoryFunction, dict[str, _Kind]] = {
    HistoryFunction.STATEMENTS: _STATEMENTS,
    HistoryFunction.STATEMENTS_OF_USER: {"USER_NAME": _Kind.TEXT, **_STATEMENTS},
    HistoryFunction.STATEMENTS_OF_WAREHOUSE: {"WAREHOUSE_NAME": _Kind.TEXT, **_STATEMENTS},
    HistoryFunction.LOAD: _RANGE,
    HistoryFunction.METERING: _RANGE,
    HistoryFunction.ACCELERATION: _RANGE,
    HistoryFunction.EVENTS: _RANGE,
}
_STATEMENT_COLUMNS = pa.schema(
    [
        ("query_id", pa.string()),
        ("query_text", pa.string()),
        ("database_name", pa.string()),
        ("schema_name", pa.string()),
        ("query_type", pa.string()),
        ("user_name", pa.string()),
        ("warehouse_name", pa.string()),
        ("cluster_number", pa.int64()),
        ("execution_status", pa.string()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("start_time", TIME),
        ("end_time", TIME),
        ("total_elapsed_time", pa.int64()),
        ("bytes_scanned", pa.int64()),
        ("percentage_scanned_from_cache", pa.float64()),
        ("bytes_written", pa.int64()),
        ("rows_produced", pa.int64()),
        ("execution_time", pa.int64()),
        ("queued_time", pa.int64()),
        ("bytes_spilled_to_local_storage", pa.int64()),
        ("bytes_spilled_to_remote_storage", pa.int64()),
        ("query_acceleration_nodes", pa.int64()),
    ]
)
_SPAN: list[tuple[str, pa.DataType]] = [("start_time", TIME), ("end_time", TIME), ("warehouse_name", pa.string())]
COLUMNS: dict[HistoryFunction, pa.Schema] = {
    HistoryFunction.STATEMENTS: _STATEMENT_COLUMNS,
    HistoryFunction.STATEMENTS_OF_USER: _STATEMENT_COLUMNS,
    HistoryFunction.STATEMENTS_OF_WAREHOUSE: _STATEMENT_COLUMNS,
    HistoryFunction.LOAD: pa.schema(
        [
            *_SPAN,
            ("avg_running", pa.float64()),
            ("avg_queued_load", pa.float64()),
            ("avg_queued_provisioning", pa.float64()),
            ("avg_blocked", pa.float64()),
        ]
    ),
    HistoryFunction.METERING: pa.schema(
        [
            *_SPAN,
            ("credits_used", CREDITS),
            ("credits_used_compute", CREDITS),
            ("credits_used_cloud_services", CREDITS),
        ]
    ),
    HistoryFunction.ACCELERATION: pa.schema([*_SPAN, ("credits_used", CREDITS)]),
    HistoryFunction.EVENTS: pa.schema(
        [
            ("timestamp", TIME),
            ("warehouse_name", pa.string()),
            ("cluster_number", pa.int64()),
            ("event_name", pa.string()),
            ("event_reason", pa.string()),
            ("event_state", pa.string()),
            ("size", pa.string()),
            ("cluster_count", pa.int64()),
        ]
    ),
}


@dataclass(slots=True)
class _Histories:
    """The catalog of one statement: its calls as tables, and nothing else."""

    catalog: CatalogReader
    made: dict[TableName, CatalogTable] = field(default_factory=dict)

    def add(self, function: HistoryFunction) -> TableName:
        """Return the name of one more call's table."""
        name = TableName("HISTORY", str(len(self.made)), function.value)
        self.made[name] = CatalogTable(name, str(name), COLUMNS[function], "", ())
        return name

    def load(self, name: TableName) -> CatalogTable:
        """Return a call's table. Raises StatementFailedError for any other."""
        if name not in self.made:
            self.catalog.load(name)
            message = f"history is read by itself: table {name} cannot be in the same statement"
            raise StatementFailedError(StatementError.UNSUPPORTED, message)
        return self.made[name]

    def as_of(self, name: TableName, moment: object) -> CatalogTable:
        """Histories have no past."""
        del moment
        raise NoSuchTableError(str(name))

    def tables(self, database: str | None = None, schema: str | None = None) -> list[TableName]:
        """Return the catalog's tables, for hints."""
        return self.catalog.tables(database, schema)

    def prune(self, table: CatalogTable, bounds: tuple[Bound, ...]) -> tuple[()]:
        """Histories have no files."""
        del table, bounds
        return ()


def read_history(statement: exp.Expr, text: str, catalog: CatalogReader, defaults: Defaults) -> ReadHistory | None:
    """Return what a query reads of history; None when it reads none. Raises StatementFailedError."""
    found = [(node, call) for node in statement.find_all(exp.TableFromRows) if (call := _call_of(node)) is not None]
    if not found:
        return None
    histories, calls = _Histories(catalog), list[tuple[TableName, HistoryFunction, dict[str, str]]]()
    for node, call in found:
        function = _function(call)
        name = histories.add(function)
        calls.append((name, function, _arguments(function, call)))
        node.replace(_mention(name, node))
    bound = bind(statement, text, cast("CatalogReader", histories), defaults, naming=text)  # it is what binding asks
    by_name = {table.name: engine_name for engine_name, table in bound.tables.items()}
    return ReadHistory(bound.sql, tuple(HistoryCall(by_name[n], f, tuple(a.items())) for n, f, a in calls))


def _call_of(node: exp.TableFromRows) -> exp.Anonymous | None:
    """Return the call of a function of INFORMATION_SCHEMA."""
    path = node.this
    if not isinstance(path, exp.Dot) or not isinstance(path.expression, exp.Anonymous):
        return None
    schema = path.this.expression if isinstance(path.this, exp.Dot) else path.this
    return path.expression if schema.name.upper() == "INFORMATION_SCHEMA" else None


def _function(call: exp.Anonymous) -> HistoryFunction:
    name = str(call.this).upper()
    if name not in {f.value for f in HistoryFunction}:
        message = f"INFORMATION_SCHEMA has no function {name}; there is {', '.join(HistoryFunction)}"
        raise StatementFailedError(StatementError.UNSUPPORTED, message)
    return HistoryFunction(name)


def _mention(name: TableName, node: exp.TableFromRows) -> exp.Table:
    """Return the mention of a call's table in the place of the call."""
    parts = {"catalog": name.database, "db": name.schema, "this": name.name}
    table = exp.Table(**{part: exp.to_identifier(value, quoted=True) for part, value in parts.items()})
    for key in ("alias", "joins", "pivots", "sample"):
        table.set(key, node.args.get(key))
    return table


def _arguments(function: HistoryFunction, call: exp.Anonymous) -> dict[str, str]:
    """Return the engine's expression of each argument, cast to its kind."""
    kinds, found = _ARGUMENTS[function], dict[str, str]()
    for at, argument in enumerate(call.expressions):
        named = isinstance(argument, exp.Kwarg)
        name = argument.this.name.upper() if named else ([*kinds][at] if at < len(kinds) else "")
        value = argument.expression if named else argument
        if name not in kinds or name in found or value.find(exp.Column, exp.Query):
            takes = ", ".join(f"{k} => …" for k in kinds)
            message = f"{function.value} takes {takes}; each a constant, each once"
            raise StatementFailedError(StatementError.UNSUPPORTED, message)
        found[name] = f"CAST({value.sql(dialect=Engine)} AS {kinds[name]})"
    return found
