"""Right or an error: sums that would wrap in the engine, and divisions of floats by zero.

The engine (DataFusion 55) sums 64-bit numbers in 64 bits and decimals in 128, and begins anew from below when there is
no room; a float divided by zero is infinite to it. Snowflake has an error for each. So

- a SUM of 64-bit numbers is one of decimals, cast back: the cast fails where the sum has no room in 64 bits;
- a SUM of decimals of 33 digits or more is one of 256 bits, cast back to the 38 digits that it has;
- a float is divided by what is an error where it is zero.

Types are the engine's own: it plans an empty query of what is asked about. Where it does not, nothing is changed.
"""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from datafusion import SessionContext
from sqlglot import exp

from firn_services.sql.check import schema_of
from firn_services.sql.dialect import Engine

_DIGITS = 38
_DIGITS_WITH_ROOM = 32
"""A million of the largest numbers of so many digits have a sum of 38."""
_DIGITS_OF_SMALL = 9
"""Whole numbers of so many digits, and 32-bit ones, can be summed four billion times."""
_SMALL_FUNCTIONS = (exp.Count, exp.CountIf, exp.Length, exp.Extract, exp.Year, exp.Month, exp.Day)
_STRICT = (exp.Div, exp.Mul, exp.Add, exp.Sub, exp.Mod, exp.Paren, exp.Neg, exp.Cast)
"""NULL where one of their parts is, and nowhere else."""
_COUNTED_WITH = (exp.Add, exp.Sub, exp.Mul, exp.Case, exp.If, exp.Coalesce)
_SOURCES = ("from_", "joins", "laterals")
_NAME = "firn_part_"
_UNKNOWN = pa.null()


def keep_exact(statement: exp.Expr, context: SessionContext) -> None:
    """Rewrite in place, after the names are the engine's. `context` has the statement's tables, empty."""
    asked: dict[int, tuple[exp.Select, list[exp.Expr]]] = {}
    for node in statement.find_all(exp.Sum, exp.Div, exp.Mod):
        select = node.find_ancestor(exp.Select)
        if isinstance(select, exp.Select) and not _is_harmless(node):
            asked.setdefault(id(select), (select, []))[1].append(node)
    told = [
        pair for select, nodes in asked.values() for pair in zip(nodes, _kinds(select, nodes, context), strict=True)
    ]
    for node, kinds in reversed(told):  # what stands in another first
        if isinstance(node, exp.Sum):
            _widen(node, kinds[0])
        elif any(pa.types.is_floating(kind) for kind in kinds):
            _refuse_zero(node)


def _is_harmless(node: exp.Expr) -> bool:
    """Return whether it needs no care, whatever its columns are."""
    if isinstance(node, exp.Sum):
        return _is_small(_summed(node))
    divisor = node.expression.unnest()
    return isinstance(divisor, exp.Literal) and divisor.is_number and float(divisor.this) != 0


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


def _kinds(select: exp.Select, nodes: Sequence[exp.Expr], context: SessionContext) -> list[list[pa.DataType]]:
    """Return the types of each node's parts: of what a SUM sums, of both sides of a division."""
    parts = [[_summed(node)] if isinstance(node, exp.Sum) else [node.this, node.expression] for node in nodes]
    of_rows: list[exp.Expr] = []
    of_groups: list[exp.Expr] = []
    for part in (part for each in parts for part in each):
        (of_groups if part.find(exp.AggFunc, exp.Window) else of_rows).append(part)
    known = _types(select, of_rows, context, grouped=False) | _types(select, of_groups, context, grouped=True)
    wide = [part for part in of_rows if _is_wide(known.get(id(part), _UNKNOWN))]
    known |= _types(select, wide, context, grouped=False, literals=_in_digits)
    return [[known.get(id(part), _UNKNOWN) for part in each] for each in parts]


def _is_wide(kind: pa.DataType) -> bool:
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


def _widen(node: exp.Sum, kind: pa.DataType) -> None:
    """Sum in a type that has room for all sums, and go back to the one that the sum has."""
    if pa.types.is_int64(kind):
        wide, back = exp.DataType.build("DECIMAL(19, 0)"), exp.DataType.build("BIGINT")
    elif _is_wide(kind):
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
    zero: exp.Expr = exp.EQ(this=_wrapped(divisor), expression=exp.Literal.number(0))
    for part in _nullable(node.this):
        zero = exp.And(this=zero, expression=exp.Not(this=exp.Is(this=_wrapped(part), expression=exp.Null())))
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


def _wrapped(value: exp.Expr) -> exp.Expr:
    return value.copy() if isinstance(value, exp.Column | exp.Literal) else exp.Paren(this=value.copy())
