"""Tasks beside the loops, for what takes seconds: one a key, and a failure that nobody expected ends the operator."""

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any


class Background:
    """Running tasks by key."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self.failed: asyncio.Future[None] | None = None

    def begin(self) -> None:
        """Have `failed` tell of failures from now on."""
        self.failed = asyncio.get_running_loop().create_future()

    def start(self, key: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; what ran under its key before is ended."""
        self.cancel(key)
        task = asyncio.create_task(work)
        self._tasks[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))

    def cancel(self, key: Hashable) -> None:
        """End what runs under this key."""
        task = self._tasks.pop(key, None)
        if task:
            task.cancel()

    def _ended(self, key: Hashable, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if task.cancelled() or self.failed is None or self.failed.done():
            return
        error = task.exception()
        if error is not None:
            self.failed.set_exception(error)

    async def stop(self) -> None:
        """End all."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
