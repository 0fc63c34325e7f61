"""Statements: one SQL text with a life."""

from enum import StrEnum


class StatementState(StrEnum):
    """The life of a statement. A statement leaves `running` for `queued` when its cluster was lost."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the statement can never change again."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({StatementState.SUCCEEDED, StatementState.FAILED, StatementState.CANCELLED})

TRANSITIONS: dict[StatementState, frozenset[StatementState]] = {
    StatementState.QUEUED: frozenset({StatementState.RUNNING, *FINAL_STATES}),
    StatementState.RUNNING: frozenset({StatementState.QUEUED, *FINAL_STATES}),
    StatementState.SUCCEEDED: frozenset(),
    StatementState.FAILED: frozenset(),
    StatementState.CANCELLED: frozenset(),
}
"""From each state, the states that may follow."""


class StatementError(StrEnum):
    """Why a statement failed, by what the user can do about it."""

    SYNTAX = "syntax"
    UNSUPPORTED = "unsupported"
    UNKNOWN_TABLE = "unknown_table"
    UNKNOWN_COLUMN = "unknown_column"
    UNKNOWN_WAREHOUSE = "unknown_warehouse"
    ALREADY_EXISTS = "already_exists"
    TYPE = "type"
    ARITHMETIC = "arithmetic"
    CONSTRAINT = "constraint"
    WRITE_CONFLICT = "write_conflict"
    WAREHOUSE_SUSPENDED = "warehouse_suspended"
    QUEUED_TIMEOUT = "queued_timeout"
    STATEMENT_TIMEOUT = "statement_timeout"
    OBJECT_MISSING = "object_missing"
    BUCKET_MISSING = "bucket_missing"
    ACCESS_DENIED = "access_denied"
    OBJECT_STORE_UNREACHABLE = "object_store_unreachable"
    CORRUPT_FILE = "corrupt_file"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_LOST = "node_lost"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
