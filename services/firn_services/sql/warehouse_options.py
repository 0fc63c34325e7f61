"""CREATE and ALTER WAREHOUSE: the options, and ALTER's text, which sqlglot does not parse.

Source: snowflake-surface.md, the row CREATE/ALTER WAREHOUSE.
"""

import re

from firn_model.sizes import WarehouseSize
from firn_model.statements import StatementError
from sqlglot.dialects.snowflake import Snowflake
from sqlglot.tokenizer_core import Token, TokenType

from firn_services.errors import StatementFailedError
from firn_services.sql.commands import Command, ResumeWarehouse, SetWarehouse, SuspendWarehouse
from firn_services.sql.position import of_offset

_SIZES = {
    "XSMALL": "XS", "SMALL": "S", "MEDIUM": "M", "LARGE": "L", "XLARGE": "XL", "XXLARGE": "2XL", "X2LARGE": "2XL",
    "2XLARGE": "2XL", "XXXLARGE": "3XL", "X3LARGE": "3XL", "3XLARGE": "3XL", "X4LARGE": "4XL", "4XLARGE": "4XL",
    "X5LARGE": "5XL", "5XLARGE": "5XL", "X6LARGE": "6XL", "6XLARGE": "6XL",
}  # fmt: skip
_TYPES = {"STANDARD": "Standard", "SNOWPARK-OPTIMIZED": "SnowparkOptimized"}
_POLICIES = {"STANDARD": "Standard", "ECONOMY": "Economy"}
_INTEGERS = {
    "AUTO_SUSPEND": "autoSuspendSeconds",
    "MIN_CLUSTER_COUNT": "minClusterCount",
    "MAX_CLUSTER_COUNT": "maxClusterCount",
    "MAX_CONCURRENCY_LEVEL": "maxConcurrencyLevel",
    "STATEMENT_TIMEOUT_IN_SECONDS": "statementTimeoutSeconds",
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": "statementQueuedTimeoutSeconds",
}
_TEXTS = {"COMMENT": "comment", "RESOURCE_MONITOR": "resourceMonitor", "POOL": "pool"}


def size(text: str) -> str:
    """Return the model's size of any of Snowflake's spellings. Raises StatementFailedError."""
    plain = text.upper().replace("-", "").replace("_", "")
    found = _SIZES.get(plain, plain)
    if found not in {s.value for s in WarehouseSize}:
        sizes = ", ".join(s.value for s in WarehouseSize)
        raise StatementFailedError(StatementError.SYNTAX, f"{text} is not a warehouse size; sizes are {sizes}")
    return found


def option(name: str, value: str, spec: dict[str, object]) -> None:
    """Put one option into a spec. Raises StatementFailedError for one that does not exist or cannot be."""
    key = name.upper()
    if key == "WAREHOUSE_SIZE":
        spec["size"] = size(value)
    elif key in _INTEGERS:
        spec[_INTEGERS[key]] = _integer(key, value)
    elif key in _TEXTS:
        spec[_TEXTS[key]] = value
    elif key == "AUTO_RESUME":
        spec["autoResume"] = _boolean(key, value)
    elif key == "INITIALLY_SUSPENDED":
        _boolean(key, value)  # a new warehouse starts suspended either way
    elif key == "WAREHOUSE_TYPE":
        spec["type"] = _choice(key, value, _TYPES)
    elif key == "SCALING_POLICY":
        spec["scalingPolicy"] = _choice(key, value, _POLICIES)
    elif key in ("ENABLE_QUERY_ACCELERATION", "QUERY_ACCELERATION_MAX_SCALE_FACTOR"):
        acceleration = dict(spec.get("queryAcceleration") or {})  # type: ignore[call-overload]
        if key.startswith("ENABLE"):
            acceleration["enabled"] = _boolean(key, value)
        else:
            acceleration["maxScaleFactor"] = _integer(key, value)
        spec["queryAcceleration"] = acceleration
    else:
        raise StatementFailedError(StatementError.UNSUPPORTED, f"warehouses have no option {key}")


def _integer(key: str, value: str) -> int:
    if value.upper() == "NULL":
        return 0
    if not re.fullmatch(r"\d{1,9}", value):
        raise StatementFailedError(StatementError.SYNTAX, f"{key} must be a whole number, not {value}")
    return int(value)


def _boolean(key: str, value: str) -> bool:
    if value.upper() not in ("TRUE", "FALSE"):
        raise StatementFailedError(StatementError.SYNTAX, f"{key} must be TRUE or FALSE, not {value}")
    return value.upper() == "TRUE"


def _choice(key: str, value: str, choices: dict[str, str]) -> str:
    found = choices.get(value.upper())
    if found is None:
        raise StatementFailedError(StatementError.SYNTAX, f"{key} must be one of {', '.join(choices)}, not {value}")
    return found


class _Words:
    """The tokens of an ALTER WAREHOUSE, taken one by one."""

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

    def refuse(self, token: Token, wanted: str) -> None:
        place = of_offset(self._text, token.start)
        message = f"syntax error at line {place.line}, column {place.column} near '{token.text}': {wanted} belongs here"
        raise StatementFailedError(StatementError.SYNTAX, message, line=place.line, column=place.column)

    def name(self) -> str:
        token = self.next("a warehouse's name")
        return token.text if token.token_type is TokenType.IDENTIFIER else token.text.upper()

    def end(self) -> None:
        if self._at < len(self._tokens):
            self.refuse(self._tokens[self._at], "the end")


def parse_alter(text: str) -> Command:
    """Return the command of an ALTER WAREHOUSE. Raises StatementFailedError with position."""
    words = _Words(text)
    words.expect("ALTER", "WAREHOUSE")
    if_exists = words.skip("IF", "EXISTS")
    name = words.name()
    action = words.next("SUSPEND, RESUME or SET")
    command: Command
    match action.text.upper():
        case "SUSPEND":
            command = SuspendWarehouse(name, if_exists)
        case "RESUME":
            command = ResumeWarehouse(name, if_exists, words.skip("IF", "SUSPENDED"))
        case "SET":
            command = SetWarehouse(name, if_exists, _settings(words))
        case other:
            raise StatementFailedError(StatementError.UNSUPPORTED, f"ALTER WAREHOUSE … {other} comes later")
    words.end()
    return command


def _settings(words: _Words) -> dict[str, object]:
    spec: dict[str, object] = {}
    while words.peek():
        key = words.next("an option").text
        words.expect("=")
        value = words.next("a value").text
        while words.skip("-"):  # X-SMALL without quotes
            value += "-" + words.next("a value").text
        option(key, value, spec)
        words.skip(",")
    if not spec:
        words.next("an option")
    return spec
