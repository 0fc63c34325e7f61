"""The one writer: writes that arrive together share one transaction and so one fsync (group commit)."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

T = TypeVar("T")
LARGEST_GROUP = 256
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Write:
    operation: Callable[[Connection], Any]
    done: Future[Any]


class Writer:
    """Runs write operations in the order they are given; each is durable when its future is done."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._closing = False

    def start(self) -> None:
        """Start the writing thread."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was given, then stop, and close the database. Blocks."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()
        self._engine.dispose()

    def submit(self, operation: Callable[[Connection], T]) -> "Future[T]":
        """Queue a write. The future is done when it is committed and on disk, or carries its error."""
        if self._closing:
            raise RuntimeError("the store is closing")
        done: Future[T] = Future()
        self._queue.put(_Write(operation, done))
        return done

    async def write(self, operation: Callable[[Connection], T]) -> T:
        """Write and wait until it is durable."""
        return await asyncio.wrap_future(self.submit(operation))

    def _run(self) -> None:
        with self._engine.connect() as connection:
            while (first := self._queue.get()) is not None:
                group, last = self._group(first)
                self._commit(connection, group)
                if last:
                    return

    def _group(self, first: _Write) -> tuple[list[_Write], bool]:
        """Return what has arrived meanwhile, and whether the end was among it."""
        group = [first]
        while len(group) < LARGEST_GROUP:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                return group, False
            if write is None:
                return group, True
            group.append(write)
        return group, False

    def _commit(self, connection: Connection, group: list[_Write]) -> None:
        outcomes: list[tuple[_Write, Any]] = []
        try:
            with connection.begin():
                outcomes.extend((write, self._apply(connection, write, alone=len(group) == 1)) for write in group)
        except SQLAlchemyError as error:
            log.exception("store write failed")
            outcomes = [(write, error) for write in group]
        for write, outcome in outcomes:
            with contextlib.suppress(InvalidStateError):  # who waited for it is gone
                if isinstance(outcome, SQLAlchemyError):
                    write.done.set_exception(outcome)
                else:
                    write.done.set_result(outcome)

    @staticmethod
    def _apply(connection: Connection, write: _Write, *, alone: bool) -> Any:
        """Run one write. In a group its failure undoes only itself; alone it undoes the transaction."""
        if alone:
            return write.operation(connection)
        try:
            with connection.begin_nested():
                return write.operation(connection)
        except SQLAlchemyError as error:
            return error
