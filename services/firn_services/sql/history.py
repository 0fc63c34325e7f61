"""Reading history in SQL: SELECT … FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(…)) and its like.

Source: snowflake-surface.md, the rows of the history functions; their arguments as Snowflake's INFORMATION_SCHEMA has
them, by name or in their order. A view of SNOWFLAKE.ACCOUNT_USAGE is a call that asks for all that is kept.
"""

from collections.abc import Collection, Iterator
from enum import StrEnum

import pyarrow as pa
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import TableName
from firn_services.catalog.reader import CatalogReader
from firn_services.errors import StatementFailedError
from firn_services.sql.commands import HistoryCall, HistoryFunction, StoredResult
from firn_services.sql.dialect import Engine
from firn_services.sql.overlay import Overlay
from firn_services.sql.resolve import Defaults
from firn_services.sql.results import SCAN, Results, scans

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
    HistoryFunction.ELIGIBLE: {"RESULT_LIMIT": _Kind.NUMBER},
}
_NO_FUNCTION = (HistoryFunction.ELIGIBLE,)
_NO_VIEW = (HistoryFunction.STATEMENTS_OF_USER, HistoryFunction.STATEMENTS_OF_WAREHOUSE)
_VIEW_ARGUMENTS = {
    HistoryFunction.STATEMENTS: ("RESULT_LIMIT", "10000"),
    HistoryFunction.LOAD: ("DATE_RANGE_START", "now() - INTERVAL '14 days'"),
    HistoryFunction.METERING: ("DATE_RANGE_START", "now() - INTERVAL '365 days'"),
    HistoryFunction.ACCELERATION: ("DATE_RANGE_START", "now() - INTERVAL '365 days'"),
    HistoryFunction.EVENTS: ("DATE_RANGE_START", "now() - INTERVAL '365 days'"),
    HistoryFunction.ELIGIBLE: ("RESULT_LIMIT", "10000"),
}
"""What a view asks for, in the engine's dialect: as much as there can be."""
_STATEMENT_COLUMNS = pa.schema(
    [
        ("query_id", pa.string()),
        ("query_text", pa.string()),
        ("database_name", pa.string()),
        ("schema_name", pa.string()),
        ("query_type", pa.string()),
        ("user_name", pa.string()),
        ("warehouse_name", pa.string()),
        ("warehouse_size", pa.string()),
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
    HistoryFunction.ELIGIBLE: pa.schema(
        [
            ("query_id", pa.string()),
            ("query_text", pa.string()),
            ("start_time", TIME),
            ("end_time", TIME),
            ("warehouse_name", pa.string()),
            ("warehouse_size", pa.string()),
            ("eligible_query_acceleration_time", pa.float64()),
            ("upper_limit_scale_factor", pa.int64()),
        ]
    ),
}


def histories(
    statement: exp.Expr, text: str, catalog: CatalogReader, defaults: Defaults, results: Results | None = None
) -> Overlay | None:
    """Put tables in the place of history and results, and return the catalog that has them; None where there are none.

    Raises StatementFailedError.
    """
    found = [*_calls(statement), *_views(statement)]
    stored = list(scans(statement, text, defaults.asker, results))
    overlay = Overlay(catalog)
    for node, function, arguments in found:
        call = HistoryCall("", function, tuple(arguments.items()))
        node.replace(_mention(overlay.add(function, COLUMNS[function], call), node))
    for scan, statement_id, columns in stored:
        scan.replace(_mention(overlay.add(SCAN, columns, StoredResult("", statement_id)), scan))
    return overlay if found or stored else None


def _calls(statement: exp.Expr) -> Iterator[tuple[exp.Expr, HistoryFunction, dict[str, str]]]:
    """Yield each call of a function of INFORMATION_SCHEMA, with its arguments."""
    for node in list(statement.find_all(exp.TableFromRows)):
        if (call := _call_of(node)) is not None:
            function = _known(str(call.this), "INFORMATION_SCHEMA", "function", _NO_FUNCTION)
            yield node, function, _arguments(function, call)


def _views(statement: exp.Expr) -> Iterator[tuple[exp.Expr, HistoryFunction, dict[str, str]]]:
    """Yield each mention of a view of SNOWFLAKE.ACCOUNT_USAGE, with the arguments that stand for all that is kept."""
    for node in list(statement.find_all(exp.Table)):
        if (node.catalog.upper(), node.db.upper()) == ("SNOWFLAKE", "ACCOUNT_USAGE"):
            function = _known(node.name, "SNOWFLAKE.ACCOUNT_USAGE", "view", _NO_VIEW)
            name, value = _VIEW_ARGUMENTS[function]
            yield node, function, {name: f"CAST({value} AS {_ARGUMENTS[function][name]})"}


def _call_of(node: exp.TableFromRows) -> exp.Anonymous | None:
    """Return the call of a function of INFORMATION_SCHEMA."""
    path = node.this
    if not isinstance(path, exp.Dot) or not isinstance(path.expression, exp.Anonymous):
        return None
    schema = path.this.expression if isinstance(path.this, exp.Dot) else path.this
    return path.expression if schema.name.upper() == "INFORMATION_SCHEMA" else None


def _known(name: str, schema: str, kind: str, others: Collection[HistoryFunction]) -> HistoryFunction:
    """Return what a schema has by this name. Raises StatementFailedError."""
    there = [function for function in HistoryFunction if function not in others]
    if name.upper() not in there:
        message = f"{schema} has no {kind} {name.upper()}; there is {', '.join(there)}"
        raise StatementFailedError(StatementError.UNSUPPORTED, message)
    return HistoryFunction(name.upper())


def _mention(name: TableName, node: exp.Expr) -> exp.Table:
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
