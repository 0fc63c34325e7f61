"""Reporting one warehouse's load: one write at a time, always of the newest load."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from firn_services.decide import load as decide_load
from firn_services.decide.load import Load, Reported
from firn_services.kube.api import KubeError
from firn_services.kube.warehouses import WarehouseWriter

log = structlog.get_logger()
NOT_FOUND = 404
RETRY_SECONDS = 0.25


class LoadReporter:
    """Writes status.load of one warehouse when decide/load.py says so."""

    def __init__(self, writer: WarehouseWriter, resource: str, written: Callable[[Load, datetime], None]) -> None:
        self._writer = writer
        self._resource = resource
        self._written = written
        self._load: Load | None = None
        self._last: Reported | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._is_due = True
        self._not_before: datetime | None = None

    def update(self, load: Load) -> None:
        """Take the newest load and report it when it is time."""
        self._load = load
        self._look()

    def repeat(self, after: datetime | None = None) -> None:
        """Report again at once: the warehouse was made anew, or a report must be younger than `after`."""
        self._is_due = True
        self._not_before = after
        self._look()

    async def close(self) -> None:
        """Stop reporting."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _look(self) -> None:
        if self._load is None or self._closed or self._task is not None:
            return
        now = datetime.now(UTC)
        decision = decide_load.decide(self._load, None if self._is_due else self._last, now)
        if decision.write:
            self._task = asyncio.create_task(self._write(self._load))
        elif decision.wake_at is not None:
            self._look_in((decision.wake_at - now).total_seconds())

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.0), self._look)

    async def _write(self, load: Load) -> None:
        now = datetime.now(UTC)
        if self._not_before is not None and now <= self._not_before:
            now = self._not_before + timedelta(microseconds=1)
        self._is_due = False
        try:
            await self._writer.write_load(self._resource, load, now)
        except KubeError as error:
            self._task = None
            self._is_due = True
            if error.status == NOT_FOUND:
                return
            log.warning("load not reported", warehouse=self._resource, status=error.status, error=error.message)
            self._look_in(RETRY_SECONDS)
            return
        self._last = Reported(load, now)
        self._task = None
        self._written(load, datetime.now(UTC))
        self._look()
