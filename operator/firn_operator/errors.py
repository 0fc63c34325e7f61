"""The operator's errors.

    OperatorError
    ├── UnreadableError       an object that this version cannot read; it is left alone until it changes
    ├── LostLeaseError        another operator may be the writer now: this process ends
    ├── ConfigurationError    the operator cannot start as it is configured
    ├── ApiError              the API server refused
    │   ├── NotFoundError     404
    │   ├── ConflictError     409: it exists, or a precondition does not hold
    │   ├── InvalidError      422: also a JSON patch whose test failed
    │   ├── ForbiddenError    403: RBAC, quota or admission
    │   ├── ExpiredError      410: what a watch would go on from is forgotten; list anew
    │   └── UnavailableError  no answer, or 429 or 5xx: the outcome is unknown, ask again
    └── AgentError            talking to a node
        ├── RefusedError      it answered no
        └── SilentError       it did not answer

Controllers retry ApiError and AgentError with back-off; nothing else is caught.
"""

from firn_model.messages import RefusalReason


class OperatorError(Exception):
    """Any error of the operator's own."""


class UnreadableError(OperatorError):
    """An object that this version of the operator cannot read."""


class LostLeaseError(OperatorError):
    """Another operator may be the writer now."""


class ConfigurationError(OperatorError):
    """The operator cannot start as it is configured."""


class ApiError(OperatorError):
    """The API server refused a call."""


class NotFoundError(ApiError):
    """The object is not there."""


class ConflictError(ApiError):
    """The object exists already, or is not as the precondition says."""


class InvalidError(ApiError):
    """The object would be invalid, or a JSON patch's test failed."""


class ForbiddenError(ApiError):
    """Access, a quota or admission forbids it."""


class ExpiredError(ApiError):
    """The version that a watch would go on from is forgotten."""


class UnavailableError(ApiError):
    """No answer, or one that says nothing: whether it was done is unknown."""


class AgentError(OperatorError):
    """Talking to a node's agent failed."""


class RefusedError(AgentError):
    """The agent refused."""

    def __init__(self, reason: RefusalReason | None, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SilentError(AgentError):
    """The agent did not answer."""
