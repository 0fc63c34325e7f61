"""Where a function's meaning goes by its argument's type, and the engine's is another: found by annotating types.

- A cast of a number, or of a text with a fraction, to a whole one rounds in Snowflake; the engine cuts, or fails.
- A truth compared with a text is compared with what the text means; the engine fails.
- ROUND of a decimal has as many places as it is told; the engine's planner is not sure and fails in comparisons.
- CEIL and FLOOR of a decimal may need one digit more than it has; the engine fails then.
- DATE_TRUNC of a date is a date in Snowflake; the engine makes a timestamp of it.

What has an argument whose type cannot be told is left to the engine.
"""

import pyarrow as pa
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from firn_services.catalog.names import CatalogTable

_MARK = "firn"
_FRACTIONS = exp.DataType.REAL_TYPES
_DECIMALS = (exp.DType.DECIMAL,)
_MOST_NESTED = 4
"""What stands in each other gets its type from the inner one, once that is rewritten."""
_DATES = (exp.DType.DATE, exp.DType.DATE32)
_TRUTHS = ("true", "false")


def keep_meanings(statement: exp.Expr, tables: dict[str, CatalogTable]) -> None:
    """Rewrite in place, after the names are the engine's."""
    for _ in range(_MOST_NESTED):
        found = [node for node in statement.walk() if _goes_by_type(node)]
        if not found or not _rewrite(found, _argument_types(statement, found, tables)):
            return


def _rewrite(found: list[exp.Expr], kinds: dict[int, exp.DType]) -> bool:
    """Rewrite what is known to differ; return whether there was any."""
    changed = False
    for number, kind in kinds.items():
        node = found[number]
        if isinstance(node, exp.Cast) and kind in _FRACTIONS:
            node.set("this", exp.Round(this=node.this.copy()))
        elif type(node) is exp.Cast and kind in exp.DataType.TEXT_TYPES:
            node.set("this", exp.Cast(this=node.this.copy(), to=_whole()))
        elif isinstance(node, exp.EQ | exp.NEQ) and kind is exp.DType.BOOLEAN:
            truth = exp.DataType.build("BOOLEAN")
            node.set("expression", exp.Cast(this=node.expression.copy(), to=truth))
        elif isinstance(node, exp.Round) and kind in _DECIMALS:
            node.replace(
                exp.Cast(this=node.copy(), to=exp.DataType.build(f"DECIMAL(38, {node.args['decimals'].name})"))
            )
        elif isinstance(node, exp.Ceil | exp.Floor) and kind in _DECIMALS:
            node.set("this", exp.Add(this=exp.Paren(this=node.this.copy()), expression=_nothing()))
        elif isinstance(node, exp.TimestampTrunc | exp.DateTrunc) and kind in _DATES:
            node.replace(exp.Cast(this=node.copy(), to=exp.DataType.build("DATE")))
        else:
            continue
        changed = True
    return changed


def _goes_by_type(node: exp.Expr) -> bool:
    if isinstance(node, exp.Cast):
        return (
            node.to.this in exp.DataType.INTEGER_TYPES
            and not isinstance(node.this, exp.Round)
            and not (isinstance(node.this, exp.Cast) and node.this.to == _whole())
            and not _is_whole(node)
        )
    if isinstance(node, exp.EQ | exp.NEQ):
        text = node.expression
        return isinstance(text, exp.Literal) and text.is_string and text.name.lower() in _TRUTHS
    if isinstance(node, exp.Round):
        places = node.args.get("decimals")
        is_cast = isinstance(node.parent, exp.Cast) and node.parent.to.this in _DECIMALS
        return isinstance(places, exp.Literal) and places.is_int and not is_cast
    if isinstance(node, exp.Ceil | exp.Floor):
        return not (isinstance(node.this, exp.Add) and node.this.expression == _nothing())
    is_cast = isinstance(node.parent, exp.Cast) and node.parent.to.this in _DATES
    return isinstance(node, exp.TimestampTrunc | exp.DateTrunc) and not is_cast


def _whole() -> exp.DataType:
    """Return the type by whose way a text becomes a whole number."""
    return exp.DataType.build("DECIMAL(38, 0)")


def _nothing() -> exp.Cast:
    """Return a zero that gives a sum one digit more before the point."""
    return exp.Cast(this=exp.Literal.string("0"), to=exp.DataType.build("DECIMAL(1, 0)"))


def _as_written(node: exp.Expr) -> exp.Expr:
    """Return a literal with a fraction as the decimal that it is in Snowflake and in the engine's text."""
    if isinstance(node, exp.Literal) and not node.is_string and "." in node.this and "e" not in node.this.lower():
        return exp.Cast(this=exp.Literal.string(node.this), to=exp.DataType.build("DECIMAL(38, 10)"))
    return node


def _is_whole(cast: exp.Cast) -> bool:
    literal = cast.this
    if not isinstance(literal, exp.Literal):
        return False
    is_digits = literal.name.strip().lstrip("+-").isdigit()
    return is_digits or (literal.is_string and isinstance(cast, exp.TryCast))  # dialect.py writes that


def _argument_types(
    statement: exp.Expr, found: list[exp.Expr], tables: dict[str, CatalogTable]
) -> dict[int, exp.DType]:
    """Return the types of the nodes' arguments that can be told, by the nodes' places."""
    for number, node in enumerate(found):
        node.meta[_MARK] = number
    columns: dict[str, object] = {
        name: {f.name: _type_of(f.type) for f in table.schema} for name, table in tables.items()
    }
    schema = MappingSchema(columns, dialect="postgres", normalize=False)
    try:
        typed = qualify(
            statement.copy().transform(_as_written, copy=False),
            schema=schema,
            dialect="postgres",
            validate_qualify_columns=False,
            quote_identifiers=False,
            identify=False,
        )
        typed = annotate_types(typed, schema=schema, dialect="postgres")
    except (SqlglotError, RecursionError, AttributeError, KeyError):  # what it does not understand has no types
        return {}
    finally:
        for node in found:
            node.meta.pop(_MARK)
    marked = {node.meta[_MARK]: node.this.type for node in typed.walk() if _MARK in node.meta}
    return {number: kind.this for number, kind in marked.items() if kind is not None}


def _type_of(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_floating(kind):
        return "DOUBLE PRECISION"
    if pa.types.is_integer(kind):
        return "BIGINT"
    if pa.types.is_date(kind):
        return "DATE"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    return "BOOLEAN" if pa.types.is_boolean(kind) else "VARCHAR"
