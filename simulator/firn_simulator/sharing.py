"""How the statements of one cluster share its processors.

A statement has work (CPU seconds) and a DOP, spread evenly over the nodes of the cluster's size; on fewer nodes, as
long as others have not joined, it has its part of each that is there, and one processor at least. While more is wanted
of a node than it has, all run slower by the same factor; so one virtual time serves them all, and each ends when it
reaches the statement's mark. Adding and ending cost O(log n).
"""

import heapq
import math
from datetime import datetime, timedelta

from firn_simulator.clock import TICK

_CLOSE = 1e-9


class Sharing:
    """The processors of one cluster of `size` nodes with `cores` each. Times only go forward."""

    __slots__ = (
        "_at",
        "_dops",
        "_heap",
        "_marks",
        "_shares",
        "_virtual",
        "_wanted",
        "bursts",
        "busy_bursts",
        "busy_core_seconds",
        "cores",
        "nodes",
        "size",
    )

    def __init__(self, cores: int, size: int, now: datetime) -> None:
        self.cores = cores
        self.size = size
        self.nodes = 1
        self.bursts = 0
        self.busy_bursts = 0
        self.busy_core_seconds = 0.0
        self._at = now
        self._virtual = 0.0
        self._wanted = 0.0
        self._dops: dict[str, int] = {}
        self._shares: dict[str, float] = {}
        self._marks: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._shares)

    def advance(self, now: datetime) -> None:
        """Let the time until `now` pass."""
        if now > self._at:
            if self._wanted:
                seconds = (now - self._at).total_seconds()
                self._virtual += seconds * self._pace
                self.busy_core_seconds += seconds * self.nodes * min(self._wanted, self.cores)
            self._at = now

    def add(self, key: str, cpu_seconds: float, dop: int, now: datetime) -> None:
        """Start a statement."""
        self.advance(now)
        self._dops[key] = dop
        self._put(key, cpu_seconds)

    def stop(self, key: str, now: datetime) -> None:
        """Stop a statement that has not ended."""
        self.advance(now)
        self._take(key)

    def set_nodes(self, nodes: int, now: datetime) -> None:
        """Run on so many nodes from now on."""
        self.advance(now)
        self.nodes = nodes
        going = [(mark, key) for mark, key in self._heap if self._marks.get(key) == mark]
        left = {key: (mark - self._virtual) * self._shares[key] for mark, key in going}
        self._heap.clear()
        self._shares.clear()
        self._wanted = 0.0
        for key, work in left.items():
            self._put(key, work)

    def ended(self, now: datetime) -> list[str]:
        """Return what has ended by now, in order, and forget it."""
        self.advance(now)
        done: list[str] = []
        heap, marks = self._heap, self._marks
        while heap and (heap[0][0] <= self._virtual + _CLOSE or marks.get(heap[0][1]) != heap[0][0]):
            mark, key = heapq.heappop(heap)
            if marks.get(key) == mark:
                self._take(key)
                done.append(key)
        return done

    def left(self, key: str) -> float:
        """Return the work of a statement that is left; 0 when it does not run."""
        return max(0.0, self._marks[key] - self._virtual) * self._shares[key] if key in self._shares else 0.0

    def rate(self, dop: int) -> float:
        """Return the work a second that a statement of so many processes does."""
        return self._share(dop) * (self._pace if self._wanted else self.nodes)

    def rate_alone(self, dop: int) -> float:
        """Return the work a second that it would do if nothing else ran."""
        return self._share(dop) * self.nodes

    def relieve(self, key: str, work: float) -> None:
        """Take work off a statement: others have done it."""
        if key in self._shares:
            self._mark(key, max(self._virtual, self._marks[key] - work / self._shares[key]))

    def set_dop(self, key: str, dop: int, now: datetime) -> None:
        """Have a statement use so many processes from now on."""
        if self._dops.get(key, dop) != dop:
            self.advance(now)
            left = self.left(key)
            self._wanted -= self._shares.pop(key)
            self._dops[key] = dop
            self._put(key, left)

    def next_end(self) -> datetime | None:
        """Return when the next statement ends if nothing changes; None when nothing runs."""
        while self._heap and self._marks.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or not self.nodes:
            return None
        micros = math.ceil(max(0.0, self._heap[0][0] - self._virtual) / self._pace * 1e6)
        return self._at + timedelta(microseconds=micros) + TICK

    @property
    def _pace(self) -> float:
        """Virtual seconds a second: the nodes, times the share of the wanted cores that each node has."""
        return self.nodes * min(1.0, self.cores / self._wanted)

    def _put(self, key: str, work: float) -> None:
        """Give a statement its share of each node."""
        share = self._share(self._dops[key])
        self._mark(key, self._virtual + work / share)
        self._shares[key] = share
        self._wanted += share

    def _share(self, dop: int) -> float:
        """Return the processors of each node that a statement can use."""
        return min(self.cores, max(dop / self.size, min(dop, 1) / self.nodes))

    def _mark(self, key: str, mark: float) -> None:
        """Set when a statement ends, in virtual time; an earlier mark holds no more."""
        self._marks[key] = mark
        heapq.heappush(self._heap, (mark, key))

    def _take(self, key: str) -> None:
        del self._dops[key], self._marks[key]
        self._wanted -= self._shares.pop(key)
        if not self._shares:
            self._wanted = 0.0
            self._heap.clear()
