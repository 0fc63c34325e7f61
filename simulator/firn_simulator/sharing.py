"""How the statements of one cluster share its processors.

A statement has work (CPU seconds) and may use `cores` of each node. While the cores wanted on a node exceed what it
has, all run slower by the same factor; so one virtual time serves them all, and each ends when it reaches the
statement's mark. Adding and ending cost O(log n).
"""

import heapq
import math
from datetime import datetime, timedelta

from firn_simulator.clock import TICK

_CLOSE = 1e-9


class Sharing:
    """The processors of one cluster. Times only go forward."""

    __slots__ = ("_at", "_cores_of", "_heap", "_virtual", "_wanted", "busy_core_seconds", "cores", "nodes")

    def __init__(self, cores: float, now: datetime) -> None:
        self.cores = cores
        self.nodes = 1
        self.busy_core_seconds = 0.0
        self._at = now
        self._virtual = 0.0
        self._wanted = 0.0
        self._cores_of: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._cores_of)

    def advance(self, now: datetime) -> None:
        """Let the time until `now` pass."""
        if now > self._at:
            if self._wanted:
                seconds = (now - self._at).total_seconds()
                self._virtual += seconds * self._pace
                self.busy_core_seconds += seconds * self.nodes * min(self._wanted, self.cores)
            self._at = now

    def add(self, key: str, cpu_seconds: float, cores: float, now: datetime) -> None:
        """Start a statement."""
        self.advance(now)
        heapq.heappush(self._heap, (self._virtual + cpu_seconds / cores, key))
        self._cores_of[key] = cores
        self._wanted += cores

    def stop(self, key: str, now: datetime) -> None:
        """Stop a statement that has not ended."""
        self.advance(now)
        self._take(key)

    def set_nodes(self, nodes: int, now: datetime) -> None:
        """Nodes joined or left: from now on all run on so many."""
        self.advance(now)
        self.nodes = nodes

    def ended(self, now: datetime) -> list[str]:
        """Return what has ended by now, in order, and forget it."""
        self.advance(now)
        done: list[str] = []
        while self._heap and (self._heap[0][0] <= self._virtual + _CLOSE or self._heap[0][1] not in self._cores_of):
            key = heapq.heappop(self._heap)[1]
            if key in self._cores_of:
                self._take(key)
                done.append(key)
        return done

    def next_end(self) -> datetime | None:
        """Return when the next statement ends if nothing changes; None when nothing runs."""
        while self._heap and self._heap[0][1] not in self._cores_of:
            heapq.heappop(self._heap)
        if not self._heap or not self.nodes:
            return None
        micros = math.ceil(max(0.0, self._heap[0][0] - self._virtual) / self._pace * 1e6)
        return self._at + timedelta(microseconds=micros) + TICK

    @property
    def _pace(self) -> float:
        """Virtual seconds a second: the nodes, times the share of the wanted cores that each node has."""
        return self.nodes * min(1.0, self.cores / self._wanted)

    def _take(self, key: str) -> None:
        self._wanted -= self._cores_of.pop(key)
        if not self._cores_of:
            self._wanted = 0.0
            self._heap.clear()
