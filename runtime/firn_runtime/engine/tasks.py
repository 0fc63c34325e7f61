"""What goes between a coordinator and the engines, beside whole stages of SQL (stage.py).

Each request is JSON, its length before it; over TCP a ticket goes between the two (exchange/tickets.py). Answers:

| request | answer |
|---|---|
| Stage | the statement's frames |
| PlanAsked | frame F with PlanReply, or E |
| Task that gives pieces out | frame F with TaskReply, or E with TaskFailure |
| Task of the result | the statement's frames, the last one F with ResultFinish, or E with TaskFailure |
| Hold | frame F with {} when the statement is known; its pieces are kept until the connection closes |
| Drop | frame F with {} |
| Discard | frame F with {}, whatever could be deleted |
| Fetch | for each name eight bytes of length and the piece's bytes; all ones when it is not here |
"""

import struct
from typing import Annotated, Literal

from firn_model.base import Message
from firn_model.messages import Failure, Finish, ObjectStoreAccess, Statistics
from firn_model.profile import ExchangeKind, OperatorProfile
from firn_model.writes import WriteTarget, WrittenFile
from pydantic import Field, TypeAdapter

from firn_runtime.engine.stage import Stage

PIECE_LENGTH = struct.Struct(">Q")
MISSING_PIECE = (1 << 64) - 1


class PlanAsked(Message):
    """Plan a statement for several nodes and cut the plan."""

    kind: Literal["plan"] = "plan"
    stage: Stage
    slots: int = Field(ge=1, description="Cores that may work on it at once.")
    nodes: tuple[str, ...] = Field(description="Pod UIDs that files may have their home on.")
    finer: int = Field(default=1, ge=1, description="More partitions by this factor: it ran out of memory.")
    sort_merge: bool = Field(default=False, description="Joins by sorting, which spills: it ran out of memory again.")


class FileVersion(Message):
    """A file as it was when its statement was planned."""

    uri: str
    etag: str
    size_bytes: int


class PlannedTask(Message):
    """One task of a planned stage."""

    plan: str = Field(description="Base64 of the physical plan.", repr=False)
    partitions: tuple[int, ...]
    inputs: tuple[tuple[int, tuple[int, ...]], ...] = Field(description="Stage → the partitions that it reads.")
    scan_bytes: int = 0
    scan_files: int = 0
    home: str | None = Field(default=None, description="Where most of its files belong.")
    versions: tuple[FileVersion, ...] = Field(default=(), description="Of files that it scans, as far as it is known.")


class PlannedStage(Message):
    """One stage of a plan, after those that it reads."""

    exchange: ExchangeKind
    outputs: int
    inputs: tuple[int, ...]
    operators: tuple[str, ...]
    tasks: tuple[PlannedTask, ...]
    writes: bool = Field(default=False, description="Its tasks write what is enough for files of their own.")

    @property
    def is_scan(self) -> bool:
        """Whether it only reads tables."""
        return not self.writes and not self.inputs and any(task.scan_files for task in self.tasks)


class PlanReply(Message):
    """The stages, or why the plan runs whole."""

    stages: tuple[PlannedStage, ...] = ()
    whole_because: str | None = None
    schema_ipc_base64: str = ""
    nodes: tuple[str, ...] = Field(default=(), description="Pod UIDs that files may have their home on.")
    plan_seconds: float = 0

    @property
    def writers(self) -> tuple[int, ...]:
        """The stages whose tasks write files."""
        return tuple(number for number, stage in enumerate(self.stages) if stage.writes)


class PieceAddress(Message):
    """One piece of a stage's output, and where it is."""

    name: str
    node: str = Field(description="Pod UID of the node that made it.")
    door: str = Field(description="host:port of that node's engine.")
    size: int
    uri: str | None = Field(default=None, description="Where it is in the object store, if it is there.")
    data: str = Field(default="", repr=False, description="Base64 of it, when it is small and made elsewhere.")


class TaskInput(Message):
    """The pieces that make one partition of a stage's output, in the order of the tasks that made them."""

    stage: int
    partition: int
    pieces: tuple[PieceAddress, ...] = ()


class Task(Message):
    """Run one task."""

    kind: Literal["task"] = "task"
    statement_id: str
    name: str = Field(description="Of this run of it; what it gives out is named by it.")
    plan: str = Field(repr=False)
    exchange: ExchangeKind
    partitions: tuple[int, ...]
    outputs: int
    inputs: tuple[TaskInput, ...] = ()
    object_store: ObjectStoreAccess | None = None
    uris: tuple[str, ...] = Field(default=(), description="One file of each root in the object store that it reads.")
    schema_ipc_base64: str = ""
    write: WriteTarget | None = Field(default=None, description="Where its rows go, under names of this run's own.")
    node: str = Field(default="", description="Pod UID of where it runs.")
    nodes: tuple[str, ...] = Field(default=(), description="Those that the files it writes may belong to.")
    versions: tuple[FileVersion, ...] = Field(default=(), description="Of files that it scans, as far as it is known.")
    keep_in_cache: bool = Field(
        default=True, description="False away from home: only what the cache has is read from it."
    )


class PieceMade(Message):
    """One piece that a task gave out."""

    partition: int
    name: str
    size: int
    rows: int
    tier: str
    uri: str | None = None
    data: str = Field(default="", repr=False, description="Base64 of it, when all that its task gave out is small.")


class TaskReply(Message):
    """What a task gave out and used. Partitions without rows have no piece."""

    pieces: tuple[PieceMade, ...] = ()
    written: tuple[WrittenFile, ...] = ()
    statistics: Statistics = Statistics()
    seconds: float = 0
    operators: tuple[OperatorProfile, ...] = ()


class ResultFinish(Finish):
    """What the task of the result used; its rows went before it."""

    operators: tuple[OperatorProfile, ...] = ()


class TaskFailure(Failure):
    """Why a task has failed."""

    lost_node: str | None = Field(default=None, description="The node whose pieces were not to be had.")
    is_exchange_full: bool = Field(default=False, description="Out of room for pieces, which no other plan mends.")


class Hold(Message):
    """Keep a statement's pieces while this connection is open."""

    kind: Literal["hold"] = "hold"
    statement_id: str
    object_store: ObjectStoreAccess | None = None
    overflow_uri: str | None = Field(default=None, description="s3://bucket/prefix/ for what finds no room locally.")


class Drop(Message):
    """Forget pieces that nobody reads any more."""

    kind: Literal["drop"] = "drop"
    statement_id: str
    names: tuple[str, ...]


class Fetch(Message):
    """Send pieces."""

    kind: Literal["fetch"] = "fetch"
    statement_id: str
    names: tuple[str, ...]


class Discard(Message):
    """Delete files that were written and do not count."""

    kind: Literal["discard"] = "discard"
    object_store: ObjectStoreAccess
    uris: tuple[str, ...]


Request = Annotated[Stage | PlanAsked | Task | Hold | Drop | Discard | Fetch, Field(discriminator="kind")]
REQUEST: TypeAdapter[Stage | PlanAsked | Task | Hold | Drop | Discard | Fetch] = TypeAdapter(Request)
