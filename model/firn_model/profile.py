"""How a statement ran: its stages, and what each used. Made by the head, sent with a statement's last frame.

It holds sums and the slowest tasks, so its size does not grow with the statement's.
"""

from enum import StrEnum

from pydantic import Field

from firn_model.base import Message

MOST_TASKS = 8
"""So many tasks of a stage are told one by one, the slowest first."""
MOST_OPERATORS = 64
"""So many operators of a stage are told one by one, the first from its root."""
MOST_DETAIL = 120
"""Characters of what an operator does."""


class ExchangeKind(StrEnum):
    """How a stage gives its rows to the next."""

    SHUFFLE = "shuffle"
    GATHER = "gather"
    RESULT = "result"


class TierBytes(Message):
    """Bytes of persistent files read, by where they came from, and of what stages exchanged, by where they went."""

    scanned_from_memory: int = Field(default=0, ge=0)
    scanned_from_disk: int = Field(default=0, ge=0)
    scanned_from_object_store: int = Field(default=0, ge=0)
    fetched_from_peers: int = Field(default=0, ge=0)
    kept_in_memory: int = Field(default=0, ge=0)
    spilled_to_disk: int = Field(default=0, ge=0)
    spilled_to_object_store: int = Field(default=0, ge=0)


class TaskProfile(Message):
    """One run of a task."""

    number: int = Field(ge=0)
    node: str = Field(description="Pod UID.")
    placed: str = Field(description="Why there: home, free, stolen or doubled.")
    started_seconds: float = Field(default=0, ge=0, description="After the statement.")
    seconds: float = Field(ge=0)
    rows: int = Field(ge=0, description="Given out.")


class OperatorProfile(Message):
    """One operator of a stage's plan, in all its tasks together."""

    name: str = Field(description="Its kind, such as HashJoin; of a leaf that reads a stage: `read stage 3`.")
    detail: str = Field(default="", description="What it does, in the engine's words.")
    depth: int = Field(default=0, ge=0, description="Below the stage's root; its inputs follow it, one deeper.")
    rows: int = Field(default=0, ge=0, description="Given out.")
    seconds: float = Field(default=0, ge=0, description="Of computing, without its inputs, of all cores together.")
    bytes_scanned: int = Field(default=0, ge=0)
    bytes_spilled: int = Field(default=0, ge=0)


class StageProfile(Message):
    """One stage."""

    number: int = Field(ge=0)
    exchange: ExchangeKind
    inputs: tuple[int, ...] = Field(default=(), description="The stages that it reads.")
    operators: tuple[str, ...] = Field(default=(), description="The kinds of its plan's nodes, from the root.")
    tasks: int = Field(ge=0)
    nodes: tuple[str, ...] = Field(default=(), description="Where its tasks ran.")
    rows_scanned: int = Field(default=0, ge=0)
    rows_out: int = Field(default=0, ge=0)
    bytes_out: int = Field(default=0, ge=0)
    bytes: TierBytes = TierBytes()
    started_seconds: float = Field(default=0, ge=0, description="After the statement.")
    ended_seconds: float = Field(default=0, ge=0)
    task_seconds: float = Field(default=0, ge=0, description="Of all its tasks together.")
    cpu_seconds: float = Field(default=0, ge=0)
    skew: float = Field(default=1, ge=1, description="Its slowest task's time over the median.")
    stolen: int = Field(default=0, ge=0)
    doubled: int = Field(default=0, ge=0)
    retried: int = Field(default=0, ge=0)
    slowest: tuple[TaskProfile, ...] = ()
    plan: tuple[OperatorProfile, ...] = Field(default=(), description="Its operators from the root, with their sums.")


class Profile(Message):
    """A statement's whole profile."""

    stages: tuple[StageProfile, ...] = ()
    nodes: tuple[str, ...] = Field(default=(), description="Pod UIDs of all that it used.")
    lost_nodes: tuple[str, ...] = ()
    whole_because: str | None = Field(default=None, description="Why it ran whole, on one node.")
    replanned_because: tuple[str, ...] = Field(default=(), description="Why it was planned again, each time.")
    plan_seconds: float = Field(default=0, ge=0)
    execute_seconds: float = Field(default=0, ge=0)
