"""IN over a query, where it matters that it may be unknown.

What is compared with NULL is neither IN nor NOT IN. The engine (DataFusion 55) keeps to that where a whole condition is
NOT IN over a query, and below OR takes it for not in. It does everywhere with `= ANY`, which means the same.
"""

from sqlglot import exp

_CLAUSES = (exp.Where, exp.Having, exp.Qualify, exp.Join)
"""What takes the rows for which a condition holds: unknown is as good as false."""


def keep_unknown(statement: exp.Expr) -> None:
    """Rewrite in place each IN over a query that is not a condition, or a part that makes one hold."""
    for found in list(statement.find_all(exp.In)):
        query = found.args.get("query")
        if query is None or isinstance(found.this, exp.Tuple) or _only_holds(found):
            continue
        found.replace(exp.EQ(this=found.this, expression=exp.Any(this=query)))


def _only_holds(found: exp.In) -> bool:
    """Return whether it is all the same if it is unknown or false, or whether it is a whole condition NOT IN."""
    node = found.parent
    while isinstance(node, exp.Paren):
        node = node.parent
    is_negated = isinstance(node, exp.Not)
    if is_negated and node is not None:
        node = node.parent
    while isinstance(node, exp.And | exp.Paren) or (isinstance(node, exp.Or) and not is_negated):
        node = node.parent
    return isinstance(node, _CLAUSES)
