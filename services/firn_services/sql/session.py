"""What a statement may ask of its session: who runs it, for which warehouse, database and schema, and what ran before.

Source: Snowflake's context functions. A session is what a client says of it with each statement.
"""

from sqlglot import exp

from firn_services.sql.resolve import Defaults
from firn_services.sql.results import is_last

_NAMED = (exp.CurrentUser, exp.CurrentWarehouse, exp.CurrentDatabase, exp.CurrentSchema)
_PLAIN = (exp.Select, exp.Alias, exp.Identifier, exp.Literal, exp.Null, *_NAMED)
"""What the services compute themselves: nothing that takes memory or time."""


def asks_of_session(statement: exp.Expr) -> bool:
    """Return whether a SELECT lists what it asks of its session, and nothing else, so that no warehouse is needed."""
    nodes = list(statement.walk()) if isinstance(statement, exp.Select) else []
    return any(map(_is_asked, nodes)) and all(isinstance(node, _PLAIN) or is_last(node) for node in nodes)


def name_session(statement: exp.Expr, defaults: Defaults) -> None:
    """Put the session's names in the place of the functions that ask for them, in place."""
    for node in list(statement.walk()):
        if _is_asked(node):
            name = _name(node, defaults)
            text = exp.DataType.build("VARCHAR")
            node.replace(exp.Literal.string(name) if name is not None else exp.Cast(this=exp.Null(), to=text))


def _is_asked(node: exp.Expr) -> bool:
    return isinstance(node, _NAMED) or is_last(node)


def _name(node: exp.Expr, defaults: Defaults) -> str | None:
    """Return what a function says; None where the session has no such thing."""
    match node:
        case exp.CurrentUser():
            return defaults.asker.user
        case exp.CurrentWarehouse():
            return defaults.asker.warehouse
        case exp.CurrentDatabase():
            return defaults.database
        case exp.CurrentSchema():
            return defaults.schema
        case _:
            return defaults.asker.last_statement_id
