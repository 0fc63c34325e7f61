"""Conditions of a statement that may leave whole files out: `column op literal`, joined by AND."""

from collections.abc import Iterator

from sqlglot import exp

from firn_services.catalog.names import Bound, TableName
from firn_services.sql.resolve import Reference, canonical

_OPERATORS: dict[type[exp.Expr], str] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.EQ: "="}
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


def bounds(references: list[Reference]) -> dict[TableName, tuple[Bound, ...]]:
    """Return what each table's rows must satisfy. Call before names are rewritten.

    Each such condition rejects nulls, so it holds for every row that counts, below outer joins too. A table that is
    mentioned twice has none: its mentions need different files.
    """
    mentions: dict[TableName, list[Reference]] = {}
    for reference in references:
        mentions.setdefault(reference.table.name, []).append(reference)
    return {name: tuple(_bounds_of(found[0], references)) for name, found in mentions.items() if len(found) == 1}


def _bounds_of(reference: Reference, references: list[Reference]) -> Iterator[Bound]:
    select = reference.node.find_ancestor(exp.Select)
    where = select.args.get("where") if select is not None else None
    if select is None or where is None or reference.node.find_ancestor(exp.Subquery, exp.Select) is not select:
        return
    siblings = [r for r in references if r is not reference and r.node.find_ancestor(exp.Select) is select]
    for condition in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        for column, op, literal in _comparisons(condition):
            name = _column_of(column, reference, siblings)
            value = _value(literal)
            if name is not None and value is not None:
                yield Bound(name, op, value)


def _comparisons(condition: exp.Expr) -> Iterator[tuple[exp.Column, str, exp.Expr]]:
    condition = condition.unnest()
    if isinstance(condition, exp.Between) and isinstance(condition.this, exp.Column):
        yield condition.this, ">=", condition.args["low"]
        yield condition.this, "<=", condition.args["high"]
    op = _OPERATORS.get(type(condition))
    if op is None:
        return
    left, right = condition.this, condition.expression
    if isinstance(left, exp.Column):
        yield left, op, right
    elif isinstance(right, exp.Column):
        yield right, _MIRROR[op], left


def _column_of(column: exp.Column, reference: Reference, siblings: list[Reference]) -> str | None:
    """Return the table's column that is meant, None when it is not surely this table's."""
    name = canonical(column.this)
    mine = [c for c in reference.table.schema.names if c.upper() == name.upper()]
    qualifier = column.args.get("table")
    if len(mine) != 1:
        return None
    if qualifier is not None:
        alias = reference.node.args.get("alias")
        own = canonical(alias.this) if alias is not None and alias.this else canonical(reference.node.this)
        return mine[0] if canonical(qualifier) == own else None
    shared = any(c.upper() == name.upper() for r in siblings for c in r.table.schema.names)
    return None if shared else mine[0]


def _value(literal: exp.Expr) -> str | int | float | None:
    """Return a literal's value; a date stays text, as the catalog reads it by the column's type."""
    if isinstance(literal, exp.Cast) and literal.to.this in (exp.DType.DATE, exp.DType.DATE32):
        literal = literal.this
    if isinstance(literal, exp.Neg) and isinstance(literal.this, exp.Literal) and not literal.this.is_string:
        inner = _value(literal.this)
        return None if inner is None or isinstance(inner, str) else -inner
    if not isinstance(literal, exp.Literal):
        return None
    if literal.is_string:
        return str(literal.this)
    return int(literal.this) if literal.is_int else float(literal.this)
