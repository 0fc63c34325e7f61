"""CREATE and ALTER WAREHOUSE as texts: sqlglot keeps ALTER as it is, and says of no option where it stands.

Source: snowflake-surface.md, the rows CREATE/ALTER WAREHOUSE and ALTER.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from firn_model.statements import StatementError
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.tokenizer_core import Token, TokenType

from firn_services.errors import StatementFailedError
from firn_services.sql import warehouse_options
from firn_services.sql.commands import (
    AbortAll,
    Command,
    CreateWarehouseCommand,
    ResumeWarehouse,
    SetWarehouse,
    SuspendWarehouse,
)
from firn_services.sql.position import of_offset

WAIT = "WAIT_FOR_COMPLETION"
_ACTIONS = "SUSPEND, RESUME, ABORT ALL QUERIES, SET, UNSET or RENAME TO"
_QUOTED = (TokenType.STRING, TokenType.RAW_STRING, TokenType.IDENTIFIER)


class _Words:
    """The tokens of a text, taken one by one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [t for t in Snowflake().tokenize(text) if t.token_type is not TokenType.SEMICOLON]
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at].text.upper() if self._at < len(self._tokens) else ""

    def next(self, wanted: str) -> Token:
        if self._at >= len(self._tokens):
            place = of_offset(self._text, len(self._text))
            message = f"syntax error at line {place.line}, column {place.column}: the text ends where {wanted} belongs"
            raise StatementFailedError(StatementError.SYNTAX, message, line=place.line, column=place.column)
        self._at += 1
        return self._tokens[self._at - 1]

    def expect(self, *words: str) -> None:
        for word in words:
            token = self.next(word)
            if token.text.upper() != word:
                self.refuse(token, word)

    def skip(self, *words: str) -> bool:
        upcoming = [t.text.upper() for t in self._tokens[self._at : self._at + len(words)]]
        if upcoming == list(words):
            self._at += len(words)
            return True
        return False

    def refuse(self, token: Token, wanted: str) -> NoReturn:
        place = of_offset(self._text, token.start)
        message = f"syntax error at line {place.line}, column {place.column} near '{token.text}': {wanted} belongs here"
        raise StatementFailedError(StatementError.SYNTAX, message, line=place.line, column=place.column)

    @contextmanager
    def about(self, token: Token) -> Iterator[None]:
        """Give the errors of a block a token's place."""
        try:
            yield
        except StatementFailedError as error:
            place = of_offset(self._text, token.start)
            raise StatementFailedError(error.error, error.message, line=place.line, column=place.column) from error

    def name(self) -> str:
        token = self.next("a warehouse's name")
        return token.text if token.token_type is TokenType.IDENTIFIER else token.text.upper()

    def key(self) -> Token:
        """Take the name of an option that there is."""
        token = self.next("an option")
        if not warehouse_options.is_option(token.text):
            place = of_offset(self._text, token.start)
            message = f"warehouses have no option {token.text.upper()}"
            raise StatementFailedError(StatementError.UNSUPPORTED, message, line=place.line, column=place.column)
        return token

    def value(self) -> tuple[Token, str | None]:
        """Take a value: NULL, a quoted text, or what stands together (-5, 2X-LARGE)."""
        first = last = self.next("a value")
        if first.token_type is TokenType.NULL:
            return first, None
        text = first.text
        while first.token_type not in _QUOTED and self._stands_at(last.end + 1):
            last = self.next("a value")
            text += last.text
        return first, text

    def _stands_at(self, offset: int) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.start == offset and token.token_type is not TokenType.COMMA

    def end(self) -> None:
        if self._at < len(self._tokens):
            self.refuse(self._tokens[self._at], "the end")


def is_warehouse(text: str, verb: str) -> bool:
    """Return whether a text is a CREATE or ALTER of a warehouse."""
    words = _Words(text)
    return words.skip(verb) and (words.skip("WAREHOUSE") or words.skip("OR", "REPLACE", "WAREHOUSE"))


def parse_create(text: str) -> Command:
    """Return the command of a CREATE WAREHOUSE. Raises StatementFailedError with position."""
    words = _Words(text)
    words.expect("CREATE")
    replace = words.skip("OR", "REPLACE")
    words.expect("WAREHOUSE")
    if_not_exists = not replace and words.skip("IF", "NOT", "EXISTS")
    name = words.name()
    words.skip("WITH")
    return CreateWarehouseCommand(name, if_not_exists, _settings(words), replace)


def parse_alter(text: str) -> Command:
    """Return the command of an ALTER WAREHOUSE. Raises StatementFailedError with position."""
    words = _Words(text)
    words.expect("ALTER", "WAREHOUSE")
    if_exists = words.skip("IF", "EXISTS")
    name = words.name()
    action = words.next(_ACTIONS)
    command: Command
    match action.text.upper():
        case "SUSPEND":
            command = SuspendWarehouse(name, if_exists)
        case "RESUME":
            command = ResumeWarehouse(name, if_exists, words.skip("IF", "SUSPENDED"))
        case "SET":
            command = _set(words, name, if_exists)
        case "ABORT":
            words.expect("ALL", "QUERIES")
            command = AbortAll(name, if_exists)
        case "UNSET":
            command = SetWarehouse(name, if_exists, _some(words, _unsettings(words)))
        case "RENAME":
            words.expect("TO")
            command = SetWarehouse(name, if_exists, {"name": words.name()})
        case _:
            words.refuse(action, _ACTIONS)
    words.end()
    return command


def _set(words: _Words, name: str, if_exists: bool) -> SetWarehouse:
    """Return SET, whose WAIT_FOR_COMPLETION is no option of the warehouse but of this very change of size."""
    spec: dict[str, object] = {}
    waits: Token | None = None
    while words.peek():
        if words.peek() != WAIT:
            _setting(words, spec)
            continue
        key = words.next(WAIT)
        words.expect("=")
        token, value = words.value()
        with words.about(token):
            waits = key if warehouse_options.boolean(WAIT, value) else None
        words.skip(",")
    if waits is not None and "size" not in spec:
        with words.about(waits):
            raise StatementFailedError(StatementError.UNSUPPORTED, f"{WAIT} goes with WAREHOUSE_SIZE")
    return SetWarehouse(name, if_exists, _some(words, spec), waits is not None)


def _settings(words: _Words) -> dict[str, object]:
    spec: dict[str, object] = {}
    while words.peek():
        _setting(words, spec)
    return spec


def _setting(words: _Words, spec: dict[str, object]) -> None:
    key = words.key()
    words.expect("=")
    token, value = words.value()
    with words.about(token):
        warehouse_options.option(key.text, value, spec)
    words.skip(",")


def _unsettings(words: _Words) -> dict[str, object]:
    spec: dict[str, object] = {}
    while words.peek():
        key = words.key()
        with words.about(key):
            warehouse_options.unset(key.text, spec)
        words.skip(",")
    return spec


def _some(words: _Words, spec: dict[str, object]) -> dict[str, object]:
    """Return the options; at least one is needed."""
    if not spec:
        words.next("an option")
    return spec
