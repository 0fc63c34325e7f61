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

    `reconcile()` returns that moment, or None. Wakes that fall together are one. An alarm that comes too early, as it
    was set before the moment was put off, sets itself again: that is rarer than the moment changes.
    """

    __slots__ = ("_alarms", "_clock", "_due", "_reconcile", "_ringing")

    def __init__(self, clock: Clock, reconcile: Callable[[], datetime | None]) -> None:
        self._clock = clock
        self._reconcile = reconcile
        self._due: datetime | None = None
        self._alarms: list[datetime] = []
        self._ringing = self._ring

    def wake(self, seconds: float = 0.0) -> None:
        """Have it look in so many seconds, unless it will sooner."""
        self.wake_at(self._clock.now + timedelta(seconds=seconds) if seconds else self._clock.now)

    def wake_at(self, when: datetime) -> None:
        """Have it look at a moment, unless it will sooner."""
        if self._due is None or when < self._due:
            self._due = when
            self._set_alarm(when)

    def _set_alarm(self, due: datetime) -> None:
        """Set an alarm unless one comes before; so each is earlier than all that were set before it and are left."""
        if not self._alarms or due < self._alarms[-1]:
            self._alarms.append(due)
            self._clock.at(due, self._ringing)

    def _ring(self) -> None:
        self._alarms.pop()
        due = self._due
        if due is None:
            return
        if due > self._clock.now:
            self._set_alarm(due)
            return
        self._due = None
        wake_at = self._reconcile()
        if wake_at is not None:
            now = self._clock.now
            self.wake_at(wake_at if wake_at > now else now)
