"""Results of earlier statements as tables: TABLE(RESULT_SCAN(LAST_QUERY_ID())), and LAST_QUERY_ID itself.

Source: Snowflake's RESULT_SCAN and LAST_QUERY_ID; its article reads the rows of SHOW WAREHOUSES so. A session is what a
client says of it: the statement that it had run before, of which the services remember the one before, and so on.
"""

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.errors import StatementFailedError
from firn_services.sql.position import failed, of_word
from firn_services.sql.resolve import Asker

SCAN, LAST = "RESULT_SCAN", "LAST_QUERY_ID"
MOST_BACK = 100
"""How far back LAST_QUERY_ID goes: each step is a look-up."""


class Results(Protocol):
    """What compilation asks of the statements that were run. Calls block."""

    def columns(self, statement_id: str, user: str) -> pa.Schema:
        """Return the columns of a user's statement's result. Raises StatementFailedError where there is none."""
        ...

    def before(self, statement_id: str, user: str, steps: int) -> str | None:
        """Return the statement that the session had run so many statements before this one."""
        ...


def earlier_statements(statement: exp.Expr, text: str, asker: Asker, results: Results | None) -> None:
    """Put ids in the place of LAST_QUERY_ID(-2) and its like, in place. Raises StatementFailedError."""
    for call in list(statement.find_all(exp.Anonymous)):
        if not is_last(call) or not call.expressions:
            continue
        place = call.expressions[0]
        steps = int(place.this.name) if _is_place(place) and len(call.expressions) == 1 else 0
        if results is None or not 1 <= steps <= MOST_BACK:
            reason = f"{LAST} takes -1, the last statement of the session, to -{MOST_BACK}"
            raise failed(StatementError.UNSUPPORTED, reason, of_word(text, LAST))
        last = asker.last_statement_id
        found = results.before(last, asker.user, steps - 1) if last is not None else None
        call.replace(exp.Literal.string(found) if found is not None else exp.Null())


def is_last(node: exp.Expr | None) -> bool:
    """Return whether it is a call of LAST_QUERY_ID."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() == LAST


def scans(
    statement: exp.Expr, text: str, asker: Asker, results: Results | None
) -> Iterator[tuple[exp.TableFromRows, str, pa.Schema]]:
    """Yield each RESULT_SCAN, the statement it means, and that one's columns. Raises StatementFailedError."""
    for node in list(statement.find_all(exp.TableFromRows)):
        call = node.this
        if not isinstance(call, exp.Anonymous) or str(call.this).upper() != SCAN or results is None:
            continue
        try:
            statement_id = _meant(call, asker)
            yield node, statement_id, results.columns(statement_id, asker.user)
        except StatementFailedError as error:
            raise failed(error.error, error.message, of_word(text, SCAN)) from error


def _meant(call: exp.Anonymous, asker: Asker) -> str:
    """Return the statement that a scan means."""
    given = call.expressions[0] if len(call.expressions) == 1 else None
    if isinstance(given, exp.Literal) and given.is_string:
        return given.name
    if isinstance(given, exp.Null) or is_last(given):
        if is_last(given) and asker.last_statement_id is not None:
            return asker.last_statement_id
        reason = f"the session has run no such statement before; {SCAN}('…') takes the id of any statement of yours"
        raise StatementFailedError(StatementError.UNSUPPORTED, reason)
    reason = f"{SCAN} takes the id of a statement in quotes, or {LAST}()"
    raise StatementFailedError(StatementError.UNSUPPORTED, reason)


def _is_place(place: exp.Expr) -> bool:
    return isinstance(place, exp.Neg) and isinstance(place.this, exp.Literal) and place.this.is_int
