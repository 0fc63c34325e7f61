"""What the schedule of a statement is told, and what it tells to do."""

from dataclasses import dataclass, field
from enum import StrEnum

Node = str
"""A node's pod UID."""


@dataclass(frozen=True, slots=True, order=True)
class TaskId:
    """One task: its stage's number and its own."""

    stage: int
    number: int

    def __str__(self) -> str:
        return f"{self.stage}.{self.number}"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What the schedule knows of a task before it runs."""

    inputs: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """Stage → the partitions of its output that it reads."""
    scan_bytes: int = 0
    home: Node | None = None


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage; those that it reads come before it."""

    tasks: tuple[TaskSpec, ...]
    inputs: tuple[int, ...] = ()
    is_scan: bool = False
    is_result: bool = False
    """Its one task runs on the head, which sends the rows on."""


@dataclass(frozen=True, slots=True)
class Made:
    """One piece that a task gave out: partition, name, bytes, rows, its URI if it is in the object store.

    A small one comes along, as text.
    """

    partition: int
    name: str
    size: int
    rows: int
    uri: str | None = None
    data: str = ""


# Events


@dataclass(frozen=True, slots=True)
class NodeJoining:
    """A node is about to be usable, or lost."""

    node: Node


@dataclass(frozen=True, slots=True)
class NodeUsable:
    """A node may get tasks from now on."""

    node: Node
    slots: int
    is_burst: bool = False
    is_head: bool = False


@dataclass(frozen=True, slots=True)
class NodeUnwanted:
    """A node gets no more tasks; what it runs and what it made stays."""

    node: Node


@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node is gone with all it made."""

    node: Node


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A run of a task has given out all it makes."""

    run: int
    made: tuple[Made, ...] = ()


@dataclass(frozen=True, slots=True)
class InputLost:
    """A run could not read what a node had made."""

    run: int
    node: Node


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


Event = NodeJoining | NodeUsable | NodeUnwanted | NodeLost | TaskDone | InputLost | Ticked


# Instructions


class Why(StrEnum):
    """Why a task starts where it does."""

    HOME = "home"
    FREE = "free"
    STOLEN = "stolen"
    DOUBLED = "doubled"


@dataclass(frozen=True, slots=True)
class StartTask:
    """Run a task on a node. Its inputs: for each stage and partition the pieces and the node of each."""

    run: int
    task: TaskId
    node: Node
    why: Why
    inputs: tuple[tuple[int, int, tuple[tuple[Node, Made], ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class StopTask:
    """End a run whose outcome nobody needs."""

    run: int
    node: Node


@dataclass(frozen=True, slots=True)
class DropPieces:
    """Forget what was made on a node and is read by no task any more: pieces of so many bytes."""

    node: Node
    names: tuple[str, ...]
    size: int = 0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The statement cannot be brought to an end; it may run again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The result's task is done."""


Instruction = StartTask | StopTask | DropPieces | GiveUp | Finished


@dataclass(slots=True)
class Counts:
    """What the schedule counts for the statistics."""

    tasks: int = 0
    stolen: int = 0
    doubled: int = 0
    retried: int = 0
    burst: int = 0
    burst_nodes: set[Node] = field(default_factory=set)
    lost_nodes: list[Node] = field(default_factory=list)
