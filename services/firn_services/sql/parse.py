"""Parsing one statement of Snowflake's SQL."""

import logging
import re

import sqlglot
from firn_model.statements import StatementError
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from firn_services.errors import StatementFailedError
from firn_services.sql.position import of_offset

MOST_LEVELS = 2_000
"""A chain of so many operators takes seconds to plan, and a few times as many overrun the engine's stack."""
logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of each statement that it keeps as a plain command
_TOKEN = re.compile(r"<Token token_type: [^,]*, text: (?P<text>.*?), line: .*?>", re.DOTALL)


def parse(text: str) -> exp.Expr:
    """Return the one statement of a text. Raises StatementFailedError (syntax) with line and column."""
    try:
        found = [e for e in sqlglot.parse(text, read="snowflake") if e is not None]
    except ParseError as error:
        raise _syntax(error) from error
    except TokenError as error:
        raise _token(text) from error
    except RecursionError as error:
        raise too_deep() from error
    except SqlglotError as error:
        raise StatementFailedError(StatementError.SYNTAX, f"syntax error: {error}") from error
    if not found:
        raise StatementFailedError(StatementError.SYNTAX, "the text holds no statement", line=1, column=1)
    if len(found) > 1:
        raise StatementFailedError(
            StatementError.UNSUPPORTED, f"the text holds {len(found)} statements; submit them one at a time"
        )
    if len(text) > MOST_LEVELS and _levels(found[0]) > MOST_LEVELS:  # each level is a character at least
        raise too_deep()
    return found[0]


def too_deep() -> StatementFailedError:
    """Return the error of a statement that has too many levels, such as 1 + 1 + 1 and so on."""
    message = f"the statement is nested too deeply; of one operator take at most {MOST_LEVELS} in a row, or IN (…)"
    return StatementFailedError(StatementError.SYNTAX, message)


def _levels(tree: exp.Expr) -> int:
    """Return how many levels a tree has, without recursion."""
    count, level = 0, [tree]
    while level:
        count += 1
        level = [child for node in level for child in node.iter_expressions()]
    return count


def _syntax(error: ParseError) -> StatementFailedError:
    first = error.errors[0] if error.errors else {}
    line, column, near = first.get("line"), first.get("col"), first.get("highlight") or ""
    reason = _TOKEN.sub(lambda m: f"'{m['text']}'", first.get("description") or "not understood").rstrip(".")
    if reason.startswith("Required keyword"):
        reason = "something is missing"
    if column is not None and near:
        column = max(1, column - len(near) + 1)
    beside = f" near '{near}'" if near else ""
    where = f" at line {line}, column {column}" if line else ""
    return StatementFailedError(
        StatementError.SYNTAX, f"syntax error{where}{beside}: {reason}", line=line, column=column
    )


def _token(text: str) -> StatementFailedError:
    """Return the error of a quote or comment that never ends: it starts at the last quote that the text opens."""
    offset = max(text.rfind("'"), text.rfind('"'), text.rfind("/*"), 0)
    place = of_offset(text, offset)
    return StatementFailedError(
        StatementError.SYNTAX,
        f"syntax error at line {place.line}, column {place.column}: a quoted text, name or comment never ends",
        line=place.line,
        column=place.column,
    )
