"""Keeps the resident memory of a small node's engine in bounds: its reading threads give up what was freed.

A thread that reads files takes back what others freed of its memory with its next hundredth larger allocation, and not
before (allocator.py): with column chunks of half a MiB each, it keeps some 50 MiB. There are as many such threads as
there ever were requests of files at once, one for each file of a table that is planned, and they take turns: the one
that was idle longest comes first. So, while the process works and holds much, a file of many small column chunks is
read again and again. Each time the next thread makes those allocations, and what was freed of its memory goes to the
kernel. That is as often as the engine reads row groups, so that a thread keeps what it read once or twice.
"""

import atexit
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from datafusion import SessionConfig, SessionContext
from datafusion.plan import ExecutionPlan

from firn_runtime.cache.hot_columns import HotColumns
from firn_runtime.config import NodeSettings
from firn_runtime.engine.allocator import PLENTY_BYTES
from firn_runtime.resident import private_bytes

_CHUNKS = 128
"""Allocations of one reading: more than the hundred after which a thread takes back what others freed."""
_CHUNK_BYTES = 1100
"""More than the KiB from which an allocation is counted."""
_SHARE = 0.35
"""Of what the engine may hold; beyond it threads are swept."""
_LOOK_SECONDS = 0.05
_PAUSE_SECONDS = 0.01
"""Between two readings, each of which takes 2 ms of a core."""
_AFTERWARDS_SECONDS = 2.0
"""So long an engine is swept that does nothing any more."""


class Sweeper:
    """Looks at its process and sweeps while that works and holds much, in a thread of its own."""

    def __init__(self, folder: Path, engine_bytes: int, kept_bytes: Callable[[], int] = lambda: 0) -> None:
        """Keep the file that is read in `folder`; the engine may hold so many bytes beside those that are kept."""
        self._path = folder / "sweep.parquet"
        self._most_bytes = int(engine_bytes * _SHARE)
        self._kept_bytes = kept_bytes
        self._context: SessionContext | None = None
        self._plan = b""
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def start(self, is_busy: Callable[[], bool]) -> None:
        """Begin, and go on until `close` or the process's end; `is_busy` tells whether the engine works on anything."""
        self._thread = threading.Thread(target=self._keep, args=(is_busy,), name="sweeper", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a thread that is inside the engine while the interpreter goes ends all by SIGABRT

    def close(self) -> None:
        """Stop, once a reading that has begun is over."""
        atexit.unregister(self.close)
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _keep(self, is_busy: Callable[[], bool]) -> None:
        until, pause = 0.0, 0.0
        while not self._ended.wait(pause):
            if is_busy():
                until = time.monotonic() + _AFTERWARDS_SECONDS
            if time.monotonic() >= until or private_bytes() - self._kept_bytes() <= self._most_bytes:
                pause = _LOOK_SECONDS
                continue
            # An engine that cannot read a file now has other troubles, which its statements tell.
            with contextlib.suppress(Exception):
                self.sweep()
            pause = _PAUSE_SECONDS

    def sweep(self) -> int:
        """Have the reading thread that was idle longest give up what was freed; return the columns that it read.

        Raises what the engine raises; the next one then begins with a file of its own.
        """
        context, self._context = self._context or self._prepared(), None
        # A plan that has run keeps what it did.
        stream = context.execute(ExecutionPlan.from_bytes(context, self._plan), 0)
        columns = sum(len(batch.to_pyarrow().schema.names) for batch in stream)
        self._context = context
        return columns

    def _prepared(self) -> SessionContext:
        """Write the file and plan its reading: not before it is needed, for a node has to be ready at once."""
        import pyarrow.parquet as pq

        columns = {f"c{number}": pa.array([bytes(_CHUNK_BYTES)]) for number in range(_CHUNKS)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), self._path, compression="none", use_dictionary=False, write_statistics=False)
        context = SessionContext(SessionConfig().with_target_partitions(1))
        self._plan = context.read_parquet(str(self._path)).execution_plan().to_bytes(context)
        return context


def sweep(settings: NodeSettings, hot: HotColumns | None, is_busy: Callable[[], bool]) -> None:
    """Sweep this process from now on, if its node has little memory; what is kept hot in it is meant to stay."""
    if settings.memory_bytes >= PLENTY_BYTES:
        return
    if hot is None:
        Sweeper(settings.local_dir, settings.engine_bytes).start(is_busy)
        return
    own_bytes = settings.engine_bytes - settings.hot_bytes
    Sweeper(settings.local_dir, own_bytes, hot.leaf.held_bytes).start(is_busy)
