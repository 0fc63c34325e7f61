"""Differences of timestamps, refused: the engine's is a span of time, which Snowflake's subtraction does not have."""

from collections.abc import Iterable

import pyarrow as pa
from datafusion import SessionContext
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import CatalogTable
from firn_services.sql.engine_types import types_of
from firn_services.sql.position import failed, of_identifier

_ADVICE = "a timestamp minus a timestamp is not supported: DATEDIFF(second, b, a) counts seconds from b to a"


def refuse_spans(statement: exp.Expr, tables: dict[str, CatalogTable], context: SessionContext) -> None:
    """Raise StatementFailedError for the first such difference; types are the engine's, where it tells them.

    After the names are the engine's. `context` has the statement's tables, empty.
    """
    names = set(_names(statement, tables.values()))
    for node in statement.find_all(exp.Sub):
        select = node.find_ancestor(exp.Select)
        sides = [node.this, node.expression]
        if not isinstance(select, exp.Select) or not all(_may_be_moment(side, names) for side in sides):
            continue
        (kinds,) = types_of(select, [sides], context)
        if any(map(pa.types.is_timestamp, kinds)) and all(pa.types.is_temporal(kind) for kind in kinds):
            place = next(filter(None, map(of_identifier, node.find_all(exp.Identifier))), None)
            raise failed(StatementError.UNSUPPORTED, _ADVICE, place)


def _names(statement: exp.Expr, tables: Iterable[CatalogTable]) -> Iterable[str]:
    """Yield the columns that may be moments: such ones of tables, and what a statement names itself."""
    for table in tables:
        yield from (field.name for field in table.schema if pa.types.is_temporal(field.type))
    yield from (named.alias for named in statement.find_all(exp.Alias))


def _may_be_moment(side: exp.Expr, names: set[str]) -> bool:
    """Return whether it may be a moment, as far as its text tells."""
    side = side.unnest()
    match side:
        case exp.Column():
            return side.name in names
        case exp.Cast():
            return side.to.this in exp.DataType.TEMPORAL_TYPES
        case exp.Func():
            is_kept = isinstance(side, exp.AggFunc) and isinstance(side.this, exp.Expr)
            return _may_be_moment(side.this, names) if is_kept else not isinstance(side, exp.AggFunc)
        case _:
            return False
