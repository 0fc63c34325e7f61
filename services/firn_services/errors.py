"""The services' errors, and their one mapping to HTTP and SQLSTATE.

ServicesError                 anything the caller is told
├── UnauthenticatedError      no login, a wrong password or an expired token
├── NotFoundError             no such statement, warehouse or table
├── ConflictError             it exists already, or a request id is used for something else
├── MalformedError            the request cannot be understood
├── UnavailableError          a part that is needed is not there at the moment
└── StatementFailedError      the statement itself cannot run, and why (StatementError)
"""

from firn_model.api import ErrorDetail, ErrorReply
from firn_model.statements import StatementError


class ServicesError(Exception):
    """An error with a sentence for the caller that says what to do."""

    code = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def detail(self) -> ErrorDetail:
        """Return the wire form."""
        return ErrorDetail(error=self.code, message=self.message, sqlstate=SQLSTATES.get(self.code))


class UnauthenticatedError(ServicesError):
    """No login, a wrong password or an expired token."""

    code = "unauthenticated"


class NotFoundError(ServicesError):
    """No such thing."""

    code = "not_found"


class ConflictError(ServicesError):
    """It exists already, or is used for something else."""

    code = "conflict"


class MalformedError(ServicesError):
    """The request cannot be understood."""

    code = "malformed"


class UnavailableError(ServicesError):
    """A part that is needed is not there at the moment; try again."""

    code = "unavailable"


class StatementFailedError(ServicesError):
    """A statement cannot run: why, and where in its text (line and column from 1)."""

    def __init__(
        self, error: StatementError, message: str, *, line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = error.value
        self.error = error
        self.line = line
        self.column = column

    def detail(self) -> ErrorDetail:
        """Return the wire form."""
        return ErrorDetail(
            error=self.code, message=self.message, sqlstate=SQLSTATES.get(self.code), line=self.line, column=self.column
        )


HTTP_STATUS: dict[str, int] = {
    "unauthenticated": 401,
    "not_found": 404,
    "conflict": 409,
    "malformed": 400,
    "unavailable": 503,
    "internal": 500,
    "access_denied": 403,
    StatementError.UNKNOWN_TABLE: 404,
    StatementError.UNKNOWN_WAREHOUSE: 404,
    StatementError.ALREADY_EXISTS: 409,
    StatementError.OBJECT_STORE_UNREACHABLE: 503,
}
"""HTTP status by error code; what is not named is 400."""

SQLSTATES: dict[str, str] = {
    "unauthenticated": "28000",
    "not_found": "42704",
    "conflict": "42710",
    "malformed": "22023",
    "unavailable": "57P03",
    StatementError.SYNTAX: "42601",
    StatementError.UNSUPPORTED: "0A000",
    StatementError.UNKNOWN_TABLE: "42P01",
    StatementError.UNKNOWN_COLUMN: "42703",
    StatementError.UNKNOWN_WAREHOUSE: "57P03",
    StatementError.ALREADY_EXISTS: "42710",
    StatementError.TYPE: "42804",
    StatementError.ARITHMETIC: "22000",
    StatementError.CONSTRAINT: "23502",
    StatementError.WRITE_CONFLICT: "40001",
    StatementError.WAREHOUSE_SUSPENDED: "57P03",
    StatementError.QUEUED_TIMEOUT: "57014",
    StatementError.STATEMENT_TIMEOUT: "57014",
    StatementError.OBJECT_MISSING: "58030",
    StatementError.BUCKET_MISSING: "58030",
    StatementError.ACCESS_DENIED: "42501",
    StatementError.OBJECT_STORE_UNREACHABLE: "58030",
    StatementError.CORRUPT_FILE: "58030",
    StatementError.OUT_OF_MEMORY: "53200",
    StatementError.NODE_LOST: "57P01",
    StatementError.CANCELLED: "57014",
    StatementError.INTERNAL: "XX000",
}
"""SQLSTATE by error code."""


AS_STATEMENT_ERROR = {
    "conflict": StatementError.ALREADY_EXISTS,
    "not_found": StatementError.UNKNOWN_TABLE,
    "malformed": StatementError.UNSUPPORTED,
}
"""What a statement's error is called that is another thing at the doors."""


def as_statement_error(error: ServicesError) -> StatementFailedError:
    """Return an error of the services as that of the statement that met it."""
    if isinstance(error, StatementFailedError):
        return error
    return StatementFailedError(AS_STATEMENT_ERROR.get(error.code, StatementError.INTERNAL), error.message)


def http_status(error: ServicesError) -> int:
    """Return the HTTP status of an error."""
    return HTTP_STATUS.get(error.code, 400)


def reply(error: ServicesError) -> ErrorReply:
    """Return the body of an error's answer."""
    return ErrorReply(error=error.detail())
