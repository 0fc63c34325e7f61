"""One alarm on the event loop, set to the earliest moment that anybody wants to look again."""

import asyncio
from collections.abc import Callable
from datetime import datetime

LATE_SECONDS = 0.001
"""So much later, so that the moment is past when it rings."""


class Alarm:
    """Calls `ring` once."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: datetime | None, now: datetime) -> None:
        """Set it, unless an earlier moment is set."""
        if at is None:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max((at - now).total_seconds(), 0.0) + LATE_SECONDS
        if self._timer is not None and not self._timer.cancelled() and loop.time() < self._timer.when() <= when:
            return
        self.cancel()
        self._timer = loop.call_at(when, self._ring)

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
