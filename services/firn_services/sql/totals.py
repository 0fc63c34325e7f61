"""Subqueries of totals, which have one row whatever they read.

The engine moves a condition that names no column below an aggregate. Below an aggregate without GROUP BY that leaves no
rows to count and still one row of totals, where there should be none. A condition does not move below a LIMIT, and one
row is all there is.
"""

from sqlglot import exp


def keep_conditions_above_totals(statement: exp.Expr) -> None:
    """Limit subqueries of totals in FROM and WITH to the one row that they have, in place."""
    for select in statement.find_all(exp.Select):
        if isinstance(select.parent, exp.CTE) or _is_table(select.parent):
            _limit(select)


def _limit(select: exp.Select) -> None:
    if any(select.args.get(clause) for clause in ("group", "limit", "fetch", "offset", "distinct", "qualify")):
        return
    if any(_is_total(item) for item in select.expressions):
        select.set("limit", exp.Limit(expression=exp.Literal.number(1)))


def _is_table(parent: exp.Expr | None) -> bool:
    return isinstance(parent, exp.Subquery) and isinstance(parent.parent, exp.From | exp.Join)


def _is_total(item: exp.Expr) -> bool:
    """Whether an aggregate of this very SELECT stands in one of its items."""
    return any(
        found.find_ancestor(exp.Window, exp.Subquery, exp.Select) is item.parent_select
        for found in item.find_all(exp.AggFunc)
    )
