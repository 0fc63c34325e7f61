"""Right or an error: sums and products that would wrap in the engine, and divisions of floats by zero.

The engine (DataFusion 55) sums 64-bit numbers in 64 bits and decimals in 128, and begins anew from below when there is
no room; a float divided by zero is infinite to it. Snowflake has an error for each. So

- a SUM of 64-bit numbers is one of decimals, cast back: the cast fails where the sum has no room in 64 bits;
- a SUM of decimals of 33 digits or more is one of 256 bits, cast back to the 38 digits that it has;
- a float is divided by what is an error where it is zero;
- what is counted with whole numbers is counted in decimals where it may have no room, see whole_numbers.py.

Types are the engine's own; where it does not tell them, nothing is changed.
"""

from collections.abc import Iterator

import pyarrow as pa
from datafusion import SessionContext
from sqlglot import exp

from firn_services.catalog.names import CatalogTable
from firn_services.sql.dialect import wrapped
from firn_services.sql.engine_types import is_wide, types_of
from firn_services.sql.whole_numbers import COUNTED, Columns, countings, keep_room

_DIGITS = 38
_DIGITS_OF_SMALL = 9
"""Whole numbers of so many digits, and 32-bit ones, can be summed four billion times."""
_SMALL_FUNCTIONS = (exp.Count, exp.CountIf, exp.Length, exp.Extract, exp.Year, exp.Month, exp.Day)
_STRICT = (exp.Div, exp.Mul, exp.Add, exp.Sub, exp.Mod, exp.Paren, exp.Neg, exp.Cast)
"""NULL where one of their parts is, and nowhere else."""


def keep_exact(statement: exp.Expr, tables: dict[str, CatalogTable], context: SessionContext) -> None:
    """Rewrite in place, after the names are the engine's. `context` has the statement's tables, empty."""
    columns = Columns(statement, (table.schema for table in tables.values()))
    counted = {id(counting.root): counting for counting in countings(statement, columns)}
    asked: dict[int, tuple[exp.Select, list[tuple[exp.Expr, list[exp.Expr]]]]] = {}
    for node in statement.find_all(exp.Sum, exp.Div, exp.Mod, *COUNTED):
        select = node.find_ancestor(exp.Select)
        parts = counted[id(node)].parts() if id(node) in counted else _parts(node)
        if isinstance(select, exp.Select) and parts is not None:
            asked.setdefault(id(select), (select, []))[1].append((node, parts))
    told = [
        (node, kinds)
        for select, pairs in asked.values()
        for (node, _), kinds in zip(pairs, types_of(select, [parts for _, parts in pairs], context), strict=True)
    ]
    for node, kinds in reversed(told):  # what stands in another first
        if isinstance(node, exp.Sum):
            _widen(node, kinds[0])
        elif id(node) in counted:
            keep_room(counted[id(node)], kinds)
        elif any(pa.types.is_floating(kind) for kind in kinds):
            _refuse_zero(node)


def _parts(node: exp.Expr) -> list[exp.Expr] | None:
    """Return what a SUM sums, or both sides of a division; None where it needs no care."""
    if isinstance(node, exp.Sum):
        return None if _is_small(_summed(node)) else [_summed(node)]
    if not isinstance(node, exp.Div | exp.Mod):
        return None
    divisor = node.expression.unnest()
    is_harmless = isinstance(divisor, exp.Literal) and divisor.is_number and float(divisor.this) != 0
    return None if is_harmless else [node.this, node.expression]


def _summed(node: exp.Sum) -> exp.Expr:
    summed: exp.Expr = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    return summed


def _is_small(value: exp.Expr | None) -> bool:
    """Return whether it is a whole number of few digits, or NULL."""
    match value:
        case None | exp.Null():
            return True
        case exp.Literal():
            return value.is_int and len(value.this) <= _DIGITS_OF_SMALL
        case exp.Paren() | exp.Neg():
            return _is_small(value.this)
        case exp.Case():
            return all(_is_small(found.args["true"]) for found in value.args["ifs"]) and _is_small(
                value.args.get("default")
            )
        case exp.If():
            return _is_small(value.args["true"]) and _is_small(value.args.get("false"))
        case exp.Coalesce():
            return all(map(_is_small, [value.this, *value.expressions]))
        case _:
            return isinstance(value, _SMALL_FUNCTIONS)


def _widen(node: exp.Sum, kind: pa.DataType) -> None:
    """Sum in a type that has room for all sums, and go back to the one that the sum has."""
    if pa.types.is_int64(kind):
        wide, back = exp.DataType.build("DECIMAL(19, 0)"), exp.DataType.build("BIGINT")
    elif is_wide(kind):
        wide = exp.DataType.build(f"DECIMAL({_DIGITS + 1}, {kind.scale})")
        back = exp.DataType.build(f"DECIMAL({_DIGITS}, {kind.scale})")
    else:
        return
    summed = _summed(node)
    _inside(summed, exp.Cast(to=wide))
    whole: exp.Expr = node
    while isinstance(whole.parent, exp.Filter | exp.Window) and whole.arg_key == "this":
        whole = whole.parent
    _inside(whole, exp.Cast(to=back))


def _inside(node: exp.Expr, around: exp.Cast) -> None:
    """Put a cast around a node, where it stands."""
    node.replace(around)
    around.set("this", node)


def _refuse_zero(node: exp.Expr) -> None:
    """Divide by what fails where it is zero, as whole numbers do; NULL divided by it stays NULL."""
    divisor = node.expression.unnest()
    zero: exp.Expr = exp.EQ(this=wrapped(divisor), expression=exp.Literal.number(0))
    for part in _nullable(node.this):
        zero = exp.And(this=zero, expression=exp.Not(this=exp.Is(this=wrapped(part), expression=exp.Null())))
    whole = exp.Cast(this=divisor.copy(), to=exp.DataType.build("BIGINT"))
    failing = exp.Cast(this=exp.Div(this=exp.Literal.number(1), expression=whole), to=exp.DataType.build("DOUBLE"))
    node.set("expression", exp.Case(ifs=[exp.If(this=zero, true=failing)], default=divisor))


def _nullable(value: exp.Expr) -> Iterator[exp.Expr]:
    """Yield what a value is NULL with."""
    if isinstance(value, exp.Literal):
        return
    if not isinstance(value, _STRICT) or isinstance(value, exp.TryCast):
        yield value
        return
    for part in filter(None, (value.this, value.args.get("expression"))):
        yield from _nullable(part)
