"""Statements for engines that take less of SQL: joins spelled out, no NULLIF, no places of columns to order by.

`FROM a, b WHERE a.x = b.y` becomes `FROM a JOIN b ON a.x = b.y`, the tables in an order in which each is joined to one
before it. What is not of this form is left as it is.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import sqlglot
from sqlglot import exp


def simpler(text: str, columns: Mapping[str, AbstractSet[str]]) -> str:
    """Return a statement in DuckDB's dialect for an engine that takes less; nothing is divided by zero.

    `columns` are the tables' own, by table.
    """
    found = spelled_out(sqlglot.parse_one(text, read="duckdb"), columns)
    for order in found.find_all(exp.Order):
        order.set("expressions", [key for key in order.expressions if not isinstance(key.this, exp.Literal)])
    return str(found.transform(lambda node: node.this if isinstance(node, exp.Nullif) else node).sql(dialect="duckdb"))


def spelled_out(statement: exp.Expr, columns: Mapping[str, AbstractSet[str]]) -> exp.Expr:
    """Return a statement with its joins spelled out; `columns` are the tables' own, by table."""
    found = statement.copy()
    named = {query.alias: frozenset(query.this.named_selects) for query in found.find_all(exp.CTE)}
    for select in reversed(
        list(found.find_all(exp.Select))
    ):  # the inner ones first: the outer ones are rebuilt of them
        _spell_out(select, {**columns, **named})
    return found


def _spell_out(select: exp.Select, columns: Mapping[str, AbstractSet[str]]) -> None:
    joins = [join for join in select.args.get("joins") or [] if not join.args.get("on")]
    where, first = select.args.get("where"), select.args.get("from_")
    if not joins or where is None or first is None or len(joins) != len(select.args["joins"]):
        return
    owners = {source.alias_or_name: _columns(source, columns) for source in (first.this, *(j.this for j in joins))}
    left: list[exp.Expr] = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    seen, waiting, ordered = {first.this.alias_or_name}, list(joins), []
    while waiting:
        join = next((j for j in waiting if _conditions(left, owners, seen, j.this.alias_or_name)), waiting[0])
        name = join.this.alias_or_name
        conditions = _conditions(left, owners, seen, name)
        left = [each for each in left if not any(each is condition for condition in conditions)]
        seen.add(name)
        waiting.remove(join)
        on = exp.and_(*conditions) if conditions else exp.true()
        ordered.append(exp.Join(this=join.this.copy(), on=on) if conditions else join.copy())
    select.set("joins", ordered)
    select.set("where", exp.Where(this=exp.and_(*left)) if left else None)


def _columns(source: exp.Expr, columns: Mapping[str, AbstractSet[str]]) -> AbstractSet[str]:
    if isinstance(source, exp.Table):
        return columns.get(source.name, frozenset())
    return frozenset(source.this.named_selects) if isinstance(source, exp.Subquery) else frozenset()


def _conditions(
    left: list[exp.Expr], owners: Mapping[str, AbstractSet[str]], seen: AbstractSet[str], name: str
) -> list[exp.Expr]:
    """Return the equalities that join a source to those before it."""
    found: list[exp.Expr] = []
    for each in left:
        if isinstance(each, exp.EQ) and isinstance(each.left, exp.Column) and isinstance(each.right, exp.Column):
            sides = {_owner(each.left, owners), _owner(each.right, owners)}
            if name in sides and len(sides) == 2 and sides - {name} <= seen:
                found.append(each)
    return found


def _owner(column: exp.Column, owners: Mapping[str, AbstractSet[str]]) -> str:
    return column.table or next((name for name, held in owners.items() if column.name in held), "")
