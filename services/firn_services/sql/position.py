"""Where in the user's text something is: lines and columns from 1, and failures that say so."""

from dataclasses import dataclass

from firn_model.statements import StatementError
from sqlglot import exp
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.errors import TokenError

from firn_services.errors import StatementFailedError


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text."""

    line: int
    column: int


def of_identifier(identifier: exp.Expr) -> Position | None:
    """Return where an identifier starts."""
    meta = identifier.meta
    if "line" not in meta:
        return None
    return Position(meta["line"], meta["col"] - (meta["end"] - meta["start"]))


def of_offset(text: str, offset: int) -> Position:
    """Return the position of a character offset."""
    before = text[:offset]
    return Position(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def of_word(text: str, word: str) -> Position | None:
    """Return where a name first occurs as a token, or as the first word of one, ignoring case."""
    try:
        tokens = Snowflake().tokenize(text)
    except TokenError:
        return None
    for token in tokens:
        if word.lower() in (token.text.lower(), token.text.lower().partition(" ")[0]):
            return of_offset(text, token.start)
    return None


def failed(error: StatementError, reason: str, place: Position | None) -> StatementFailedError:
    """Return that a statement cannot run, with the place where that is."""
    if place is None:
        return StatementFailedError(error, reason)
    where = f"line {place.line}, column {place.column}: {reason}"
    return StatementFailedError(error, where, line=place.line, column=place.column)
