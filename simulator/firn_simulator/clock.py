"""Simulated time: what happens when, and loops that are woken by events or by the clock."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
"""When every simulation starts: a Monday at midnight."""
TICK = timedelta(microseconds=1)


class Clock:
    """Runs callbacks in the order of their moments; at the same moment, in the order in which they were set."""

    __slots__ = ("_heap", "_set", "now")

    def __init__(self) -> None:
        self.now = EPOCH
        self._heap: list[tuple[datetime, int, Callable[[], object]]] = []
        self._set = 0

    def at(self, when: datetime, act: Callable[[], object]) -> None:
        """Have something happen at a moment, or now if that is past."""
        self._set += 1
        heapq.heappush(self._heap, (when, self._set, act))

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Have something happen in so many seconds."""
        self.at(self.now + timedelta(seconds=seconds), act)

    def step(self) -> bool:
        """Let the next thing happen; return whether there was one."""
        if not self._heap:
            return False
        when, _, act = heapq.heappop(self._heap)
        if when > self.now:
            self.now = when
        act()
        return True

    def run_until(self, end: datetime) -> None:
        """Let everything happen that is due before `end`; it is then at least that late."""
        while self._heap and self._heap[0][0] < end:
            self.step()
        self.now = max(self.now, end)


class Loop:
    """Decides about one object: when woken, and when the clock alone may change the decision.

    `reconcile()` returns that moment, or None. Wakes that fall together are one.
    """

    __slots__ = ("_clock", "_due", "_next", "_reconcile")

    def __init__(self, clock: Clock, reconcile: Callable[[], datetime | None]) -> None:
        self._clock = clock
        self._reconcile = reconcile
        self._due: datetime | None = None
        self._next: datetime | None = None

    def wake(self, seconds: float = 0.0) -> None:
        """Have it look in so many seconds, unless it will sooner."""
        self._wake_at(self._clock.now + timedelta(seconds=seconds) if seconds else self._clock.now)

    def _wake_at(self, when: datetime) -> None:
        if self._due is None or when < self._due:
            self._due = when
        due = self._due
        if self._next is None or due < self._next:
            self._next = due
            self._clock.at(due, lambda: self._fire(due))

    def _fire(self, when: datetime) -> None:
        if when != self._next:
            return  # an earlier alarm has taken its place
        self._next = None
        if self._due is None:
            return
        if self._due > self._clock.now:
            self._wake_at(self._due)
            return
        self._due = None
        wake_at = self._reconcile()
        if wake_at is not None:
            self._wake_at(max(wake_at, self._clock.now))
