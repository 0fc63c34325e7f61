"""How a statement ran: its stages, and what each used. Made by the head, sent with a statement's last frame.

It holds sums and the slowest tasks, so its size does not grow with the statement's.
"""

from enum import StrEnum

from pydantic import Field

from firn_model.base import Message

MOST_TASKS = 8
"""So many tasks of a stage are told one by one, the slowest first."""


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
    seconds: float = Field(ge=0)
    rows: int = Field(ge=0, description="Given out.")


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


class Profile(Message):
    """A statement's whole profile."""

    stages: tuple[StageProfile, ...] = ()
    nodes: tuple[str, ...] = Field(default=(), description="Pod UIDs of all that it used.")
    lost_nodes: tuple[str, ...] = ()
    whole_because: str | None = Field(default=None, description="Why it ran whole, on one node.")
    replanned_because: tuple[str, ...] = Field(default=(), description="Why it was planned again, each time.")
    plan_seconds: float = Field(default=0, ge=0)
    execute_seconds: float = Field(default=0, ge=0)
