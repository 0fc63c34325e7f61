"""Which statements of one warehouse start, where, and which have waited or run too long.

Source: design.md "The services", statement scheduling; seed article, "Warehouse scheduling" and "Timeouts".

The queue is first in, first out by place, and a statement that was put back keeps its place. It is scanned from the
front: a smaller statement may pass one that fits nowhere, but only while that one has waited less than `patience`;
after that nothing passes it, so that running statements end and it gets its room.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why an action is taken."""

    CAPACITY_FREE = "CapacityFree"
    QUEUED_TIMEOUT = "QueuedTimeout"
    STATEMENT_TIMEOUT = "StatementTimeout"


@dataclass(frozen=True, slots=True)
class Need:
    """What a statement takes of each node: memory, and cores (its degree of parallelism ÷ nodes)."""

    memory_bytes: int = 0
    cores: int = 1


@dataclass(frozen=True, slots=True)
class Queued:
    """A statement that waits. `place` orders the queue and never changes."""

    id: str
    place: int
    queued_at: datetime
    need: Need = Need()
    queued_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A statement that runs on a cluster."""

    id: str
    cluster: str
    started_at: datetime
    need: Need = Need()
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that takes statements, and what each of its nodes has. Each statement may use every core."""

    name: str
    index: int
    cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The warehouse's bounds."""

    max_concurrency: int = 8
    patience: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Observed:
    """The queue of one warehouse at one moment. `queued` may come in any order."""

    queued: tuple[Queued, ...] = ()
    running: tuple[Running, ...] = ()
    clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Give a queued statement to a cluster, with as many cores as there are for it."""

    id: str
    cluster: str
    need: Need
    reason: Reason = Reason.CAPACITY_FREE


@dataclass(frozen=True, slots=True)
class ExpireQueued:
    """End a statement that waited too long."""

    id: str
    reason: Reason = Reason.QUEUED_TIMEOUT


@dataclass(frozen=True, slots=True)
class ExpireRunning:
    """Stop a statement that ran too long."""

    id: str
    reason: Reason = Reason.STATEMENT_TIMEOUT


Action = Start | ExpireQueued | ExpireRunning


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and when to look again though nothing happens."""

    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None


@dataclass(slots=True)
class _Room:
    """What is left of a cluster while starts are decided."""

    cluster: Cluster
    concurrency: int = 0
    memory_bytes: int = 0
    cores: int = 0

    def take(self, need: Need) -> None:
        self.concurrency += 1
        self.memory_bytes += need.memory_bytes
        self.cores += need.cores

    def fitting(self, need: Need, limits: Limits) -> Need | None:
        """Return what a statement gets here: what it needs, with fewer cores if that lets it start; None: no room."""
        if self.concurrency >= limits.max_concurrency:
            return None
        alone = self.concurrency == 0
        if not alone and self.memory_bytes + need.memory_bytes > self.cluster.memory_bytes:
            return None
        free_cores = self.cluster.cores * limits.max_concurrency - self.cores
        cores = min(need.cores, self.cluster.cores, free_cores)
        return replace(need, cores=cores) if cores >= 1 else None


@dataclass(slots=True)
class _Plan:
    actions: list[Action] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)


def timeout_of(*seconds: int) -> timedelta | None:
    """Return the lowest timeout that is not zero, of session and warehouse; None when all are zero."""
    bounds = [s for s in seconds if s > 0]
    return timedelta(seconds=min(bounds)) if bounds else None


def schedule(observed: Observed, limits: Limits, now: datetime) -> Decision:
    """Return the starts in order of the queue, what has timed out, and the next moment at which something may."""
    plan = _Plan()
    _expire_running(observed.running, now, plan)
    waiting = _expire_queued(observed.queued, now, plan)
    rooms = _rooms(observed)
    for statement in waiting:
        if not _start(statement, rooms, limits, plan) and rooms:
            gives_way_until = statement.queued_at + limits.patience
            if now >= gives_way_until:
                break
            plan.wakes.append(gives_way_until)
    return Decision(tuple(plan.actions), min(plan.wakes, default=None))


def _expire_running(running: Iterable[Running], now: datetime, plan: _Plan) -> None:
    for statement in running:
        if statement.timeout is None:
            continue
        ends = statement.started_at + statement.timeout
        if now >= ends:
            plan.actions.append(ExpireRunning(statement.id))
        else:
            plan.wakes.append(ends)


def _expire_queued(queued: Iterable[Queued], now: datetime, plan: _Plan) -> list[Queued]:
    """Return those that may still wait, by place."""
    waiting = []
    for statement in sorted(queued, key=lambda s: s.place):
        if statement.queued_timeout is not None and now >= statement.queued_at + statement.queued_timeout:
            plan.actions.append(ExpireQueued(statement.id))
            continue
        if statement.queued_timeout is not None:
            plan.wakes.append(statement.queued_at + statement.queued_timeout)
        waiting.append(statement)
    return waiting


def _rooms(observed: Observed) -> list[_Room]:
    rooms = {cluster.name: _Room(cluster) for cluster in observed.clusters}
    for statement in observed.running:
        if statement.cluster in rooms:
            rooms[statement.cluster].take(statement.need)
    return list(rooms.values())


def _start(statement: Queued, rooms: list[_Room], limits: Limits, plan: _Plan) -> bool:
    """Start a statement on the eligible cluster with the lowest concurrency, if there is one."""
    for room in sorted(rooms, key=lambda r: (r.concurrency, r.cluster.index)):
        granted = room.fitting(statement.need, limits)
        if granted is not None:
            room.take(granted)
            plan.actions.append(Start(statement.id, room.cluster.name, granted))
            return True
    return False
