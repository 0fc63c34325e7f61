"""Names that a SELECT gives to its items, used in its later items, WHERE and QUALIFY: `SELECT a + 1 AS b, b * 2 AS c`.

Source: Snowflake's SELECT: a name means a column of FROM where there is one, else the item before it. The engine knows
such names in GROUP BY, HAVING and ORDER BY only; elsewhere the item is written in the name's place.
"""

from collections.abc import Iterator

from datafusion import SessionContext
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.sql.engine_types import is_known
from firn_services.sql.position import failed, of_identifier, of_word

_VOLATILE = (exp.Rand, exp.Uniform, exp.Uuid)


def expand_aliases(statement: exp.Expr, context: SessionContext, text: str) -> None:
    """Rewrite in place, after the names are the engine's. `context` has the statement's tables, empty.

    Raises StatementFailedError for a name of what would not be the same again.
    """
    for select in _with_names(statement):
        defined: dict[str, exp.Expr] = {}
        for item in list(select.expressions):
            _expand(item, select, defined, context, text)
        for clause in ("where", "qualify"):
            if (found := select.args.get(clause)) is not None:
                _expand(found, select, defined, context, text)


def _with_names(statement: exp.Expr) -> list[exp.Select]:
    """Return the SELECTs that may use a name of an item; what stands in another first."""
    names = {item.alias for select in statement.find_all(exp.Select) for item in select.expressions if item.alias}
    columns = (c for c in statement.find_all(exp.Column) if c.name in names and c.args.get("table") is None)
    users = {id(column.find_ancestor(exp.Select)) for column in columns}
    return [select for select in reversed(list(statement.find_all(exp.Select))) if id(select) in users]


def _expand(
    within: exp.Expr, select: exp.Select, defined: dict[str, exp.Expr], context: SessionContext, text: str
) -> None:
    """Put items in the place of their names, in an item or a clause; an item then defines its own name."""
    for column in list(_columns(within, select)):
        meant = defined.get(column.name)
        if meant is None or column.args.get("table") is not None or is_known(select, column, context):
            continue
        if meant.find(*_VOLATILE) is not None:
            reason = f"{column.name} stands for what is another value each time; name it in a subquery"
            raise failed(StatementError.UNSUPPORTED, reason, of_identifier(column.this) or of_word(text, column.name))
        expression: exp.Expr = exp.Paren(this=meant.copy())
        if column is within:
            expression = exp.alias_(expression, _free(column.name, select), quoted=True)
        column.replace(expression)
    if isinstance(within, exp.Alias) and within.parent is select:
        defined.setdefault(within.alias, within.this)


def _columns(within: exp.Expr, select: exp.Select) -> Iterator[exp.Column]:
    """Yield the columns that are of this SELECT, not of one within it."""
    for column in within.find_all(exp.Column):
        if column.find_ancestor(exp.Select) is select:
            yield column


def _free(name: str, select: exp.Select) -> str:
    taken, number, unique = {item.alias_or_name for item in select.expressions}, 1, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique
