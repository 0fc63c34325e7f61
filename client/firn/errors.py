"""What can go wrong between a person and the services, and what to do about it.

FirnError
├── UsageError         the command line or a file is not usable; exit code 2
├── ServicesNotFound   there are no services where we looked; exit code 3
├── Unreachable        the services were there, or should be, and do not answer; exit code 3
├── LoginRefused       no, or wrong, user and password; exit code 4
├── ApiError           the services refused a call; exit code 1
├── StatementFailed    a statement failed or was cancelled; exit code 1
└── Interrupted        Ctrl-C, after the running statement was cancelled; exit code 130
"""

from firn_model.api import ErrorDetail, StatementReply
from firn_model.statements import StatementError, StatementState


class FirnError(Exception):
    """Base of all errors of this package. `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message}\n{hint}" if hint else message)


class UsageError(FirnError):
    """The command line, or a file that it names, is not usable."""

    exit_code = 2


class ServicesNotFound(FirnError):
    """There are no services where we looked."""

    exit_code = 3


class Unreachable(FirnError):
    """The services do not answer."""

    exit_code = 3


class LoginRefused(FirnError):
    """No, or wrong, user and password."""

    exit_code = 4


class ApiError(FirnError):
    """The services refused a call."""

    def __init__(self, status: int, detail: ErrorDetail) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail.message)


class StatementFailed(FirnError):
    """A statement failed or was cancelled.

    `reply` is None when the services refused the text before it became a statement. `first_line` is the line of its
    file in which the text starts.
    """

    def __init__(self, sql: str, detail: ErrorDetail, reply: StatementReply | None = None) -> None:
        self.sql = sql
        self.first_line = 1
        self.detail = detail
        self.reply = reply
        super().__init__(detail.message)

    @classmethod
    def from_reply(cls, reply: StatementReply) -> "StatementFailed":
        """Return the error of a statement that ended in `failed` or `cancelled`."""
        if reply.detail is not None:
            return cls(reply.sql, reply.detail, reply)
        cancelled = reply.state is StatementState.CANCELLED
        kind = reply.error or (StatementError.CANCELLED if cancelled else StatementError.INTERNAL)
        message = "the statement was cancelled" if cancelled else f"the statement failed: {kind.value}"
        return cls(reply.sql, ErrorDetail(error=kind.value, message=message), reply)


class Interrupted(FirnError):
    """The person interrupted us; the running statement was cancelled."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("cancelled")
