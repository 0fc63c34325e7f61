"""Conditions IN over a query, moved to the table that they are about.

The engine (DataFusion 55) joins all relations of a SELECT first, and only then asks which of the joined rows the query
of an IN has. Where that query has few rows, most of the joins' work is for nothing. A row that IN does not take counts
for no join of an inner kind, so that the condition may as well pick the table's rows before.
"""

from typing import TypeGuard

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from firn_services.catalog.names import CatalogTable
from firn_services.sql.qualified import UNSEEN, missing_sides, qualified
from firn_services.sql.roles import WITH_ROWS


def pick_rows_before_joins(statement: exp.Expr, tables: dict[str, CatalogTable]) -> exp.Expr:
    """Return the statement, after the names are the engine's, with such conditions at their tables."""
    if not any(_is_over_query(found) for found in statement.find_all(exp.In)):
        return statement
    if not any(select.args.get("joins") for select in statement.find_all(exp.Select)):
        return statement
    if any(table.role in WITH_ROWS for table in tables.values()):  # made here, and read for its places only
        return statement
    try:
        seen = qualified(statement, tables)
        movable = [found for scope in traverse_scope(seen) for found in _movable(scope)]
    except UNSEEN:  # what sqlglot does not see through stays as it is
        return statement
    for relation, conditions in movable:  # the innermost first: what is moved takes along what was moved inside
        _move(relation, conditions)
    return seen if movable else statement


def _is_over_query(condition: exp.Expr) -> TypeGuard[exp.In]:
    return isinstance(condition, exp.In) and condition.args.get("query") is not None


def _movable(scope: Scope) -> list[tuple[exp.Table, list[exp.In]]]:
    """Return the tables of a SELECT that have such conditions in its WHERE, with these."""
    select = scope.expression
    if not isinstance(select, exp.Select) or not select.args.get("joins") or not select.args.get("where"):
        return []
    missing = set(missing_sides(select))
    correlated = {id(inner.expression) for inner in scope.subquery_scopes if inner.external_columns}
    found: dict[str, tuple[exp.Table, list[exp.In]]] = {}
    for condition in _conditions(select.args["where"].this):
        if not _is_over_query(condition) or not isinstance(condition.this, exp.Column):
            continue
        relation, _ = scope.selected_sources.get(condition.this.table, (None, None))
        is_alone = id(condition.args["query"].unnest()) not in correlated and condition.this.table not in missing
        if is_alone and isinstance(relation, exp.Table) and not relation.args.get("joins"):
            found.setdefault(condition.this.table, (relation, []))[1].append(condition)
    return list(found.values())


def _conditions(where: exp.Expr) -> list[exp.Expr]:
    """Return what must all hold."""
    return list(where.flatten()) if isinstance(where, exp.And) else [where]


def _move(relation: exp.Table, conditions: list[exp.In]) -> None:
    """Put a query of the table's rows that the conditions take in the table's place."""
    name = exp.Identifier(this=relation.alias_or_name, quoted=True)
    select = exp.Select(expressions=[exp.Column(this=exp.Star(), table=name.copy())])
    select.set("from_", exp.From(this=relation.copy()))
    select.set("where", exp.Where(this=exp.and_(*(condition.copy() for condition in conditions))))
    for condition in conditions:
        condition.replace(exp.true())
    relation.replace(exp.Subquery(this=select, alias=exp.TableAlias(this=name)))
