"""Types of expressions as the engine has them: it plans an empty query of what is asked about."""

from collections.abc import Callable, Sequence

import pyarrow as pa
from datafusion import SessionContext
from sqlglot import exp

from firn_services.sql.check import check, schema_of
from firn_services.sql.dialect import Engine

_DIGITS_WITH_ROOM = 32
"""A million of the largest numbers of so many digits have a sum of 38."""
_COUNTED_WITH = (exp.Add, exp.Sub, exp.Mul, exp.Case, exp.If, exp.Coalesce)
_SOURCES = ("from_", "joins", "laterals")
_NAME = "firn_part_"
_UNKNOWN = pa.null()


def types_of(
    select: exp.Select, parts: Sequence[Sequence[exp.Expr]], context: SessionContext
) -> list[list[pa.DataType]]:
    """Return the types of parts of a SELECT, in the lists that they come in; the type of NULL where it is not known.

    `context` has the statement's tables, empty.
    """
    of_rows: list[exp.Expr] = []
    of_groups: list[exp.Expr] = []
    for part in (part for each in parts for part in each):
        (of_groups if part.find(exp.AggFunc, exp.Window) else of_rows).append(part)
    known = _types(select, of_rows, context, grouped=False) | _types(select, of_groups, context, grouped=True)
    wide = [part for part in of_rows if is_wide(known.get(id(part), _UNKNOWN))]
    known |= _types(select, wide, context, grouped=False, literals=_in_digits)
    return [[known.get(id(part), _UNKNOWN) for part in each] for each in parts]


def is_known(select: exp.Select, column: exp.Column, context: SessionContext) -> bool:
    """Return whether a column may be one of what a SELECT reads; False where it is surely none."""
    if _types(select, [column], context, grouped=False):
        return True
    return not _types(select, [exp.Literal.number(1)], context, grouped=False)  # nothing can be told there


def with_common_tables(query: exp.Select, context: SessionContext) -> pa.Schema | None:
    """Return the columns of a query where it stands; None in a recursive WITH. Raises StatementFailedError."""
    members = _common_tables(query)
    if members is None:
        return None
    asked = query.copy()
    if members:
        asked.set("with_", exp.With(expressions=[member.copy() for member in members]))
    return check(asked.sql(dialect=Engine, comments=False), context, "")


def is_wide(kind: pa.DataType) -> bool:
    """Return whether a million of the largest such decimals have no sum of 38 digits."""
    return bool(pa.types.is_decimal128(kind) and kind.precision > _DIGITS_WITH_ROOM)


def _in_digits(node: exp.Expr) -> exp.Expr:
    """Return a whole number as a decimal of its own digits: to the engine it has the twenty of all whole numbers."""
    if not isinstance(node, exp.Literal) or not node.is_int or not isinstance(node.parent, _COUNTED_WITH):
        return node
    return exp.Cast(this=exp.Literal.string(node.this), to=exp.DataType.build(f"DECIMAL({len(node.this)}, 0)"))


def _types(
    select: exp.Select,
    parts: Sequence[exp.Expr],
    context: SessionContext,
    *,
    grouped: bool,
    literals: Callable[[exp.Expr], exp.Expr] = lambda node: node,
) -> dict[int, pa.DataType]:
    """Return the types of some expressions of a SELECT by their ids; of rows, or of groups."""
    if not parts or (members := _common_tables(select)) is None:
        return {}
    asked = exp.Select()
    if members:
        asked.set("with_", exp.With(expressions=[member.copy() for member in members]))
    for key in (*_SOURCES, "group") if grouped else _SOURCES:
        value = select.args.get(key)
        asked.set(key, [each.copy() for each in value] if isinstance(value, list) else value and value.copy())
    items = [item.copy() for item in select.expressions] if grouped else []  # groups may be told by their places
    named = [exp.alias_(part.copy(), f"{_NAME}{number}", quoted=True) for number, part in enumerate(parts)]
    asked.set("expressions", items + named)
    try:
        text = asked.transform(literals, copy=False).sql(dialect=Engine, comments=False)
        found = schema_of(text, context).types[-len(parts) :]
    except Exception as error:
        if type(error) not in (Exception, ValueError, RuntimeError):  # the engine's own
            raise
        if len(parts) == 1:
            return {}
        each = (_types(select, [part], context, grouped=grouped, literals=literals) for part in parts)
        return {key: kind for found in each for key, kind in found.items()}
    return dict(zip(map(id, parts), found, strict=True))


def _common_tables(select: exp.Select) -> list[exp.Expr] | None:
    """Return what WITH defines where a SELECT stands, first things first; None for what refers to itself."""
    found: list[exp.Expr] = []
    child: exp.Expr | None = None
    node: exp.Expr | None = select
    while node is not None:
        clause = node if isinstance(node, exp.With) else node.args.get("with_")
        if clause is not None and clause is not child:
            if clause.args.get("recursive"):
                return None
            members = clause.expressions
            found = [*(members[: members.index(child)] if child in members else members), *found]
        child, node = node, node.parent
    return found
