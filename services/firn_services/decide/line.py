"""Who waits: first in, first out by place, looked at by need, so that a long queue costs no more than a short one.

Of those with the same need only the first can be the next to start: nobody overtakes another of the same need.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from firn_services.decide.need import Need

ANY_NEED = Need()


class Queued(NamedTuple):
    """A statement that waits. `place` orders the queue and never changes.

    `reads` are files, for cache affinity; `run_seconds` is how long it will run; `run_timeout` counts from its start.
    """

    id: str
    place: int
    queued_at: datetime
    need: Need = ANY_NEED
    queued_timeout: timedelta | None = None
    reads: tuple[str, ...] = ()
    run_seconds: float = 0.0
    run_timeout: timedelta | None = None


@dataclass(slots=True)
class _Class:
    """Those of one need: their places and ids as a heap, and the sum of the seconds that they will run."""

    heap: list[tuple[int, str]]
    run_seconds: float = 0.0
    count: int = 0


class Line:
    """The queue of one warehouse."""

    def __init__(self) -> None:
        self._by_id: dict[str, Queued] = {}
        self._classes: dict[Need, _Class] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, statement_id: str) -> bool:
        return statement_id in self._by_id

    def get(self, statement_id: str) -> Queued | None:
        """Return one that waits."""
        return self._by_id.get(statement_id)

    def put(self, statement: Queued) -> None:
        """Put a statement into its place."""
        self.take(statement.id)
        self._by_id[statement.id] = statement
        found = self._classes.get(statement.need)
        if found is None:
            found = self._classes[statement.need] = _Class([])
        heapq.heappush(found.heap, (statement.place, statement.id))
        found.run_seconds += statement.run_seconds
        found.count += 1

    def take(self, statement_id: str) -> Queued | None:
        """Take one out and return it; unless it is the front, its entry in the heap goes when it comes to it."""
        statement = self._by_id.pop(statement_id, None)
        if statement is not None:
            found = self._classes[statement.need]
            found.run_seconds -= statement.run_seconds
            found.count -= 1
            if found.heap and found.heap[0][1] == statement_id:
                heapq.heappop(found.heap)
            if found.count == 0:
                del self._classes[statement.need]
        return statement

    def fronts(self) -> list[tuple[int, str, Queued]]:
        """Return the first of each need, as a heap by place."""
        fronts = [(front.place, front.id, front) for need in self._classes if (front := self.front(need)) is not None]
        heapq.heapify(fronts)
        return fronts

    def front(self, need: Need) -> Queued | None:
        """Return the first of those with this need."""
        found = self._classes.get(need)
        if found is None:
            return None
        while found.heap:
            place, statement_id = found.heap[0]
            statement = self._by_id.get(statement_id)
            if statement is not None and statement.need == need and statement.place == place:
                return statement
            heapq.heappop(found.heap)
        return None

    def work(self) -> Iterator[tuple[Need, float]]:
        """Yield each need with the seconds that those who have it will run, together."""
        for need, found in self._classes.items():
            yield need, found.run_seconds
