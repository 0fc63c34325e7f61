"""One task an object: woken by events or the clock, never twice at once for the same object."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from firn_operator import metrics
from firn_operator.errors import AgentError, ApiError

log = structlog.get_logger()

FIRST_BACK_OFF_SECONDS = 0.1
LONGEST_BACK_OFF_SECONDS = 15.0


class Gone(Exception):
    """The object is gone: its loop ends."""


def utc_now() -> datetime:
    """Return the time, the one clock of all controllers."""
    return datetime.now(UTC)


class Loops:
    """The loops of one controller.

    `reconcile(name)` brings one object a step further and returns when the clock alone may change what it decides. It
    raises Gone when the object is no more. An ApiError or AgentError is tried again with back-off, sooner on an event.
    `pace(name)` is the least time in seconds between two reconciliations; what happens meanwhile is seen together.
    """

    def __init__(
        self,
        kind: str,
        reconcile: Callable[[str], Awaitable[datetime | None]],
        pace: Callable[[str], float] = lambda _: 0.0,
    ) -> None:
        self.kind = kind
        self._reconcile = reconcile
        self._pace = pace
        self._events: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped = True
        self.failed: asyncio.Future[None] | None = None

    def start(self) -> None:
        """From now on, waking runs loops."""
        self._stopped = False
        self.failed = asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        """End all loops, in the midst of what they do: everything is rebuilt from the cluster's state."""
        self._stopped = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, name: str) -> None:
        """Have the object looked at now."""
        if self._stopped:
            return
        event = self._events.get(name)
        if event is None:
            event = self._events[name] = asyncio.Event()
            task = asyncio.create_task(self._run(name, event), name=f"{self.kind} {name}")
            self._tasks[name] = task
            task.add_done_callback(self._ended)
        event.set()

    def interrupted(self, name: str) -> asyncio.Event:
        """Return the event that is set when something happened to the object since its loop last looked."""
        return self._events[name]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None and self.failed and not self.failed.done():
            self.failed.set_exception(task.exception() or RuntimeError(task.get_name()))

    async def _run(self, name: str, event: asyncio.Event) -> None:
        pause = 0.0
        while True:
            event.clear()
            rested_at = time.monotonic() + self._pace(name)
            try:
                wake_at = await self._reconcile(name)
                pause, timeout = 0.0, _seconds_until(wake_at)
            except Gone:
                if not event.is_set():
                    del self._events[name], self._tasks[name]
                    return
                continue
            except (ApiError, AgentError) as error:
                metrics.RECONCILE_FAILURES.labels(self.kind, type(error).__name__).inc()
                log.warning("will try again", controller=self.kind, name=name, error=str(error))
                pause = min(max(pause * 2, FIRST_BACK_OFF_SECONDS), LONGEST_BACK_OFF_SECONDS)
                timeout = pause * random.uniform(0.8, 1.2)  # noqa: S311  jitter, no secret
            await _wait(event, timeout)
            rest = rested_at - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)


def _seconds_until(moment: datetime | None) -> float | None:
    return None if moment is None else max(0.0, (moment - utc_now()).total_seconds())


async def _wait(event: asyncio.Event, timeout_seconds: float | None) -> None:
    try:
        async with asyncio.timeout(timeout_seconds):
            await event.wait()
    except TimeoutError:
        return
