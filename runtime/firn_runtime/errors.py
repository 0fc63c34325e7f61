"""Errors of the runtime, and the one place where engine errors become statement errors.

RuntimeFault
├── CannotCutError       a plan is not cut into stages, and why; it runs whole
├── ExchangeFullError    no tier of an engine has room for what a task gives out
├── PieceLostError       a peer no longer has, or never had, what a task wants to read
├── EngineLostError      the engine process died or does not answer; the statement may run again
├── RayHeadError         the node's Ray head did not start; the node gives up and is replaced
├── RayJoinError         the node could not join its head's Ray, or lost it; the node gives up and is replaced
└── StatementFailedError the statement failed; carries the `StatementError` and what to do
"""

import re
from dataclasses import dataclass

from firn_model.statements import StatementError


class RuntimeFault(Exception):
    """Something that this package raises on purpose."""


class CannotCutError(RuntimeFault):
    """A plan that runs whole, on one node; the message says why."""


class ExchangeFullError(RuntimeFault):
    """No tier has room for what a task gives out, or its statement has ended."""


class PieceLostError(RuntimeFault):
    """What a task reads is not to be had from the node that made it."""

    def __init__(self, node: str) -> None:
        super().__init__(f"node {node} does not give out what it made")
        self.node = node


class EngineLostError(RuntimeFault):
    """The engine process died or does not answer."""


class RayHeadError(RuntimeFault):
    """The node's Ray head did not start."""


class RayJoinError(RuntimeFault):
    """The node could not join its head's Ray, or is in it no more."""


class StatementFailedError(RuntimeFault):
    """A statement failed through its text, its data or its bounds."""

    def __init__(self, error: StatementError, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.error = error
        self.message = message
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class _Rule:
    """Engine messages that match `pattern` mean `error`; `advice` says what to do."""

    pattern: re.Pattern[str]
    error: StatementError
    advice: str


def _rule(pattern: str, error: StatementError, advice: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE | re.DOTALL), error, advice)


# First match wins: the object store's answers come wrapped in Parquet and Arrow errors, so they are looked for first.
_RULES = (
    _rule(
        r"Resources exhausted|Failed to allocate additional|Memory Exhausted",
        StatementError.OUT_OF_MEMORY,
        "The statement needs more memory than the node has for it. Use a larger warehouse or read less.",
    ),
    _rule(
        r"NoSuchBucket|NO_SUCH_BUCKET|bucket does not exist",
        StatementError.BUCKET_MISSING,
        "The bucket does not exist. Create it, or correct the table's files.",
    ),
    _rule(
        r"ACCESS_DENIED|SIGNATURE_DOES_NOT_MATCH|INVALID_ACCESS_KEY_ID"
        r"|AccessDenied|InvalidAccessKeyId|XAdminUserNotFound|SignatureDoesNotMatch|403 Forbidden"
        r"|401 Unauthorized|Unauthenticated"
        r"|PermissionDenied|lacked the required privileges|lacks valid authentication",
        StatementError.ACCESS_DENIED,
        "The object store refused the account's credentials. Correct them, or grant them access.",
    ),
    _rule(
        r"Object at location .* not found|NoSuchKey|404 Not Found|No such file or directory|No files found at",
        StatementError.OBJECT_MISSING,
        "A file of the table is gone from the object store. Put it back, or register the table again.",
    ),
    _rule(
        r"error sending request|Connection refused|connect error|dns error|timed out|Connect Error|HTTP error"
        r"|retry timeout|after \d+ retries|connection closed|connection reset|error decoding response body",
        StatementError.OBJECT_STORE_UNREACHABLE,
        "The object store does not answer. Check that it runs and that its address is right.",
    ),
    _rule(
        r"Divide by zero|DivideByZero|division by zero|Arithmetic overflow|ArithmeticOverflow|overflow happened"
        r"|Overflow happened|overflow on|too (large|small) to store in a Decimal",
        StatementError.ARITHMETIC,
        "Guard the expression, for example with NULLIF or TRY_CAST.",
    ),
    _rule(
        r"Csv error|Json error",
        StatementError.CORRUPT_FILE,
        "A file does not hold what FILE_FORMAT says. Correct the file, or the options.",
    ),
    _rule(
        r"Parquet error|Invalid Parquet|Corrupt|Parquet magic|EOF: |Requested range was invalid|416 Range"
        r"|Range Not Satisfiable|IoError.*decompress|snappy: |Invalid thrift|external format error|External: EOF",
        StatementError.CORRUPT_FILE,
        "A file of the table is not the Parquet file that was registered. Replace it and register the table again.",
    ),
    _rule(
        r"table '.*' not found|No table named|Table not found",
        StatementError.UNKNOWN_TABLE,
        "Check the table's name.",
    ),
    _rule(
        r"No field named|Schema error: .*(ambiguous|duplicate)|FieldNotFound",
        StatementError.UNKNOWN_COLUMN,
        "Check the column's name.",
    ),
    _rule(
        r"ParserError|TokenizerError|SQL error:",
        StatementError.SYNTAX,
        "Check the statement's text.",
    ),
    _rule(
        r"Invalid function|not implemented|NotImplemented|DDL not supported|DML not supported|Statement not supported",
        StatementError.UNSUPPORTED,
        "Write the statement another way.",
    ),
    _rule(
        r"Cast error|Cannot cast|Can't cast|Parser error: Error parsing|type_coercion|coerce|does not support.*types"
        r"|No function matches|signature|Incompatible data types|Failed to parse",
        StatementError.TYPE,
        "Check the types of the values, or use TRY_CAST.",
    ),
    _rule(
        r"not supported|unsupported",
        StatementError.UNSUPPORTED,
        "Write the statement another way.",
    ),
)
_SECRETS = re.compile(
    r"(Credential=|Signature=|X-Amz-[A-Za-z-]+=|AWSAccessKeyId>?=?|<AWSAccessKeyId>|SecretKey=|token=)[^\s,&<\"']+",
    re.IGNORECASE,
)
_SHORTEST_SECRET = 4  # a shorter one is no secret, and taking it out would only garble the text
_LONGEST_MESSAGE = 600
_NOISE = re.compile(r"<\?xml.*|DataFusion error: |Object Store error: |Parquet error: (?=Parquet error)", re.DOTALL)


def classify(text: str, secrets: tuple[str, ...] = ()) -> StatementFailedError:
    """Return what an engine's error text means for the user; `secrets` never appear in the message."""
    cleaned = redact(text, secrets)
    for rule in _RULES:
        if rule.pattern.search(text):
            return StatementFailedError(rule.error, f"{_shortened(cleaned)} {rule.advice}")
    return StatementFailedError(StatementError.INTERNAL, f"The engine failed: {_shortened(cleaned)}")


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text without any of the secrets and without signed query parameters."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return _SECRETS.sub(lambda match: f"{match.group(1)}***", text)


def _shortened(text: str) -> str:
    """Return one line of bounded length that ends as a sentence."""
    line = " ".join(_NOISE.sub("", text).split()).rstrip(": -")
    if len(line) > _LONGEST_MESSAGE:
        line = line[:_LONGEST_MESSAGE] + "…"
    return line if line.endswith((".", "…", "!", "?")) else line + "."
