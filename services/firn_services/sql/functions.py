"""Functions that the services answer themselves, each alone in its SELECT."""

from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.errors import StatementFailedError
from firn_services.sql.columns import projection_texts
from firn_services.sql.commands import EstimateAcceleration

ESTIMATE = "SYSTEM$ESTIMATE_QUERY_ACCELERATION"


def services_function(statement: exp.Expr, text: str) -> EstimateAcceleration | None:
    """Return what a SELECT asks of the services; None when it calls none of these functions.

    PARSE_JSON around it is taken as the JSON itself. Raises StatementFailedError for a call elsewhere.
    """
    calls = [call for call in statement.find_all(exp.Anonymous) if str(call.this).upper() == ESTIMATE]
    if not calls:
        return None
    if isinstance(statement, exp.Select) and len(statement.expressions) == 1 and not _has_clauses(statement):
        item = statement.expressions[0]
        call = item.this if isinstance(item, exp.Alias) else item
        call = call.this if isinstance(call, exp.ParseJSON) else call
        if call is calls[0] and len(call.expressions) == 1 and _is_text(call.expressions[0]):
            name = item.alias if isinstance(item, exp.Alias) else projection_texts(text)[0]
            return EstimateAcceleration(call.expressions[0].name, name)
    message = f"{ESTIMATE} takes the id of a statement in quotes, alone: SELECT {ESTIMATE}('…')"
    raise StatementFailedError(StatementError.UNSUPPORTED, message)


def _has_clauses(select: exp.Select) -> bool:
    return any(value for name, value in select.args.items() if name not in ("expressions", "kind"))


def _is_text(argument: exp.Expr) -> bool:
    return isinstance(argument, exp.Literal) and argument.is_string
