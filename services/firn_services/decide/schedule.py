"""Which statements of one warehouse start, where and with what, and which have waited or run too long.

Source: design.md "The services", statement scheduling; seed article, "Primer on job scheduling in virtual warehouses",
"Warehouse scheduling in action", "Limiting concurrently running jobs" and the paragraphs on timeouts.

The queue is first in, first out by place, and a statement that was put back keeps its place. It is scanned from the
front: a smaller statement may pass one that fits nowhere, but once that one has waited for its patience, one cluster
takes nothing more until it has room for it. Among the clusters with room the least busy one gets a statement, then the
one that has read most of its files, then the one with the lowest index.

The state is kept from event to event, so that deciding costs what can start and not what waits. No clock and no I/O.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from firn_services.decide.line import Line, Queued
from firn_services.decide.load import ClusterShare
from firn_services.decide.need import Cluster, Grant, Limits
from firn_services.decide.room import Room

FEW = 64
"""Deadlines of statements that are no more are dropped when they are more than the others and this."""


class Reason(StrEnum):
    """Why an action is taken."""

    CAPACITY_FREE = "CapacityFree"
    DOP_LOWERED = "DopLowered"
    DOP_RAISED = "DopRaised"
    QUEUED_TIMEOUT = "QueuedTimeout"
    STATEMENT_TIMEOUT = "StatementTimeout"


@dataclass(frozen=True, slots=True)
class Start:
    """Give a queued statement to a cluster, with what it gets there."""

    id: str
    cluster: str
    grant: Grant
    reason: Reason = Reason.CAPACITY_FREE


@dataclass(frozen=True, slots=True)
class ExpireQueued:
    """End a statement that waited too long."""

    id: str
    reason: Reason = Reason.QUEUED_TIMEOUT


@dataclass(frozen=True, slots=True)
class ExpireRunning:
    """Stop a statement that ran too long; it holds what it has until `end`."""

    id: str
    reason: Reason = Reason.STATEMENT_TIMEOUT


Action = Start | ExpireQueued | ExpireRunning


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and when to look again though nothing happens."""

    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None


@dataclass(slots=True)
class _Running:
    cluster: str
    grant: Grant
    started_at: datetime


def timeout_of(*seconds: int) -> timedelta | None:
    """Return the lowest timeout that is not zero, of session and warehouse; None when all are zero."""
    bounds = [s for s in seconds if s > 0]
    return timedelta(seconds=min(bounds)) if bounds else None


class Schedule:
    """One warehouse's statements and clusters: events in, decisions out."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._line = Line()
        self._rooms: dict[str, Room] = {}
        self._running: dict[str, _Running] = {}
        self._expires: dict[str, datetime] = {}
        self._deadlines: list[tuple[datetime, str]] = []
        self._kept_for: dict[str, str] = {}
        """The cluster that takes nothing more until it has room for a statement that lost its patience."""

    # Events

    def add(self, statement: Queued) -> None:
        """Put a statement into its place, again with other bounds, or back after a loss."""
        self._line.put(statement)
        bound = statement.queued_timeout
        self._expire_at(statement.id, None if bound is None else statement.queued_at + bound)

    def remove(self, statement_id: str) -> bool:
        """Take a statement that waits out of the queue; return whether it waited."""
        if self._line.take(statement_id) is None:
            return False
        self._expires.pop(statement_id, None)
        self._kept_for.pop(statement_id, None)
        return True

    def end(self, statement_id: str) -> None:
        """Give back what a running statement held."""
        run = self._running.pop(statement_id, None)
        if run is not None:
            self._expires.pop(statement_id, None)
            if (room := self._rooms.get(run.cluster)) is not None:
                room.release(run.grant)

    def change(self, statement_id: str, grant: Grant) -> None:
        """Let a running statement hold another share: burst nodes do part of its work, or do so no more."""
        run = self._running.get(statement_id)
        if run is not None and run.grant != grant:
            if (room := self._rooms.get(run.cluster)) is not None:
                room.change(run.grant, grant)
            run.grant = grant

    def bound(self, statement_id: str, timeout: timedelta | None) -> None:
        """Set how long a running statement may run in all."""
        if (run := self._running.get(statement_id)) is not None:
            self._expire_at(statement_id, None if timeout is None else run.started_at + timeout)

    def see(self, clusters: Iterable[Cluster]) -> None:
        """Take all clusters as they are now. One that is missing takes nothing and gets its books back empty."""
        seen = {cluster.name: cluster for cluster in clusters}
        for name in self._rooms.keys() - seen.keys():
            del self._rooms[name]
        for name, cluster in seen.items():
            room = self._rooms.get(name)
            if room is None:
                room = self._rooms[name] = Room(cluster)
                for run in self._running.values():
                    if run.cluster == name:
                        room.take(run.grant)
            elif room.cluster.epoch != cluster.epoch:
                room.forget_files()
            room.see(cluster)

    # What is

    @property
    def waiting(self) -> int:
        """Return how many statements wait."""
        return len(self._line)

    @property
    def running(self) -> int:
        """Return how many statements run."""
        return len(self._running)

    @property
    def queued_since(self) -> datetime | None:
        """Return when the oldest statement that waits arrived."""
        if not len(self._line):
            return None
        return min(front.queued_at for _, _, front in self._line.fronts())

    def load(self) -> list[ClusterShare]:
        """Return how busy each cluster is."""
        return [ClusterShare(name, room.running, room.concurrency) for name, room in self._rooms.items()]

    def queued_seconds(self, most_dop: int) -> float:
        """Return how long one cluster of `most_dop` processes needs for all that waits, by its estimates."""
        whole = sum(seconds * min(need.dop, most_dop) / most_dop for need, seconds in self._line.work())
        return max(whole, 0.0) / self.limits.max_concurrency

    # Decisions

    def decide(self, now: datetime) -> Decision:
        """Return the starts in order of the queue and what has timed out; each is told once, and taken as done."""
        actions: list[Action] = []
        self._expire(now, actions)
        if len(self._line):
            self._start(now, actions)
        return Decision(tuple(actions), self._next_deadline())

    def _start(self, now: datetime, actions: list[Action]) -> None:
        limits = self.limits
        rooms = [room for room in self._rooms.values() if room.free_dop(limits)]
        if not rooms:
            return
        fronts = self._line.fronts()
        while fronts and rooms:
            _, _, front = heapq.heappop(fronts)
            found = self._best(front, rooms)
            if found is None:
                if now - front.queued_at >= timedelta(seconds=limits.patience_seconds):
                    kept = self._keep_one_for(front)
                    rooms = [room for room in rooms if room.cluster.name != kept]
                continue
            room, grant = found
            actions.append(self._begin(front, room, grant, now))
            if not len(self._line):
                return
            if not room.free_dop(limits):
                rooms.remove(room)
            if (following := self._line.front(front.need)) is not None:
                heapq.heappush(fronts, (following.place, following.id, following))

    def _best(self, statement: Queued, rooms: list[Room]) -> tuple[Room, Grant] | None:
        """Return the least busy cluster with room, and what the statement gets there."""
        least = 0.0
        found: list[tuple[Room, Grant]] = []
        for room in rooms:
            grant = room.fitting(statement.need, self.limits)
            if grant is None:
                continue
            concurrency = room.concurrency
            if not found or concurrency < least:
                least, found = concurrency, [(room, grant)]
            elif concurrency == least:
                found.append((room, grant))
        if len(found) <= 1:
            return found[0] if found else None
        return min(found, key=lambda f: (-f[0].affinity(statement.reads), f[0].cluster.index))

    def _begin(self, statement: Queued, room: Room, grant: Grant, now: datetime) -> Start:
        wanted = min(statement.need.dop, room.most_dop)
        self._line.take(statement.id)
        self._kept_for.pop(statement.id, None)
        if not len(self._line):
            grant = room.raised(grant, statement.need)
        room.take(grant, statement.reads)
        self._running[statement.id] = _Running(room.cluster.name, grant, now)
        self._expire_at(statement.id, None if statement.run_timeout is None else now + statement.run_timeout)
        reason = Reason.CAPACITY_FREE
        if grant.dop != wanted:
            reason = Reason.DOP_LOWERED if grant.dop < wanted else Reason.DOP_RAISED
        return Start(statement.id, room.cluster.name, grant, reason)

    def _keep_one_for(self, statement: Queued) -> str | None:
        """Return the cluster that is kept for a statement; once chosen it stays, so that it does empty."""
        others = {name for owner, name in self._kept_for.items() if owner != statement.id}
        kept = self._kept_for.get(statement.id)
        if kept is not None and kept in self._rooms and self._rooms[kept].cluster.is_open:
            return kept
        free = [r for name, r in self._rooms.items() if r.cluster.is_open and name not in others]
        if not free:
            return None
        chosen = min(free, key=lambda room: (room.concurrency, room.cluster.index)).cluster.name
        self._kept_for[statement.id] = chosen
        return chosen

    # Timeouts

    def _expire_at(self, statement_id: str, at: datetime | None) -> None:
        if at is None:
            self._expires.pop(statement_id, None)
        else:
            self._expires[statement_id] = at
            heapq.heappush(self._deadlines, (at, statement_id))
            if len(self._deadlines) > 2 * len(self._expires) + FEW:
                self._deadlines = [(when, one) for one, when in self._expires.items()]
                heapq.heapify(self._deadlines)

    def _next_deadline(self) -> datetime | None:
        while self._deadlines:
            at, statement_id = self._deadlines[0]
            if self._expires.get(statement_id) == at:
                return at
            heapq.heappop(self._deadlines)
        return None

    def _expire(self, now: datetime, actions: list[Action]) -> None:
        while (at := self._next_deadline()) is not None and at <= now:
            _, statement_id = heapq.heappop(self._deadlines)
            del self._expires[statement_id]
            if self.remove(statement_id):
                actions.append(ExpireQueued(statement_id))
            else:
                actions.append(ExpireRunning(statement_id))
