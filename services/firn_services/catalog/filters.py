"""Conditions on columns as Iceberg judges files by them."""

import pyarrow as pa
from pyiceberg.expressions import (
    AlwaysTrue,
    And,
    BooleanExpression,
    EqualTo,
    GreaterThan,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
)
from pyiceberg.table import Table

from firn_services.catalog.names import Bound

_OPERATORS = {
    "<": LessThan,
    "<=": LessThanOrEqual,
    ">": GreaterThan,
    ">=": GreaterThanOrEqual,
    "=": EqualTo,
}


def row_filter(table: Table, bounds: tuple[Bound, ...]) -> BooleanExpression:
    """Return the bounds that statistics can judge exactly; a number with a fraction is none for a decimal column."""
    expression: BooleanExpression = AlwaysTrue()
    for bound in bounds:
        kind = table.schema().as_arrow().field(bound.column).type
        if not _is_exact(bound.value, kind):
            continue
        term = _OPERATORS[bound.op](bound.column, bound.value)
        try:
            term.bind(table.schema(), case_sensitive=True)
        except (TypeError, ValueError):
            continue
        expression = And(expression, term)
    return expression


def _is_exact(value: str | float | bool, kind: pa.DataType) -> bool:
    if isinstance(value, str):
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_date(kind))
    if isinstance(value, float):
        return bool(pa.types.is_floating(kind))
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind))
