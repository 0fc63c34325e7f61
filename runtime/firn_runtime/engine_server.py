"""The engine's door: a Unix socket on which the agent hands over one stage a connection and gets frames back.

A connection is greeted, so that a dying process, whose socket still lets connections in, is told from one that runs.
A request is the stage's JSON, its length before it as four big-endian bytes. The answer is frames (firn_model.frames).
When the agent closes its half the stage is cancelled, and the answer still ends with a failure and its statistics.
A connection without a request only shows that the process lives.

DataFusion stops a cancelled plan where it waits for its leaves. A join that makes many rows of few never waits and runs
on; then the process ends itself, after the others' statements or a bound, and the agent starts a fresh one.
"""

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firn_model.frames import FrameType, encode
from firn_model.messages import Failure, Finish, Statistics
from firn_model.statements import StatementError
from firn_model.writes import WrittenFile

from firn_runtime.batches import StreamWriter
from firn_runtime.engine import Engine, Query
from firn_runtime.errors import StatementFailedError
from firn_runtime.probe import require_reachable
from firn_runtime.stage import GREETING, LENGTH, Stage

_LARGEST_FRAME_BYTES = 1 << 20
_SMALL_BYTES = 64 * 1024
_LONGEST_HOLD_SECONDS = 0.002
_PLANNING_THREADS = 64
_SETTLE_SECONDS = 0.4
_STUCK_SECONDS = 10.0
_STUCK_EXIT_CODE = 70


class EngineServer:
    """Serves an engine on a socket."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._planners = ThreadPoolExecutor(_PLANNING_THREADS, thread_name_prefix="plan")
        self._server: asyncio.Server | None = None
        self._runs: set[_Run] = set()
        self._quiet = asyncio.Event()
        self._watches: set[asyncio.Task[None]] = set()

    async def listen(self, path: Path) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(GREETING)
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            stage = Stage.model_validate_json(await reader.readexactly(length))
            await self._answer(stage, reader, writer)
        writer.close()

    async def _answer(self, stage: Stage, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the stage until its end or the agent's; write the last frame."""
        run = _Run(self._engine, self._planners, stage, writer)
        self._runs.add(run)
        self._quiet.clear()
        try:
            await self._until_end(run, reader)
            await writer.drain()
        finally:
            self._runs.discard(run)
            if not self._runs:
                self._quiet.set()

    async def _until_end(self, run: "_Run", reader: asyncio.StreamReader) -> None:
        """Run to the end, or cancel when the agent hangs up."""
        running = asyncio.ensure_future(run.run())
        hangup = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({running, hangup}, return_when=asyncio.FIRST_COMPLETED)
        hangup.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait({running})
        query = run.finish(running)
        if query is not None and running.cancelled():
            watch = asyncio.ensure_future(self._require_stop(query))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)

    async def _require_stop(self, query: Query) -> None:
        """End the process unless the cancelled query stops; let others finish first, within a bound."""
        query.streams.clear()
        await asyncio.sleep(_SETTLE_SECONDS)
        before = query.progress()
        await asyncio.sleep(_SETTLE_SECONDS)
        if query.progress() == before:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STUCK_SECONDS):
                await self._quiet.wait()
        os._exit(_STUCK_EXIT_CODE)


class _Run:
    """One stage on its way through the engine."""

    def __init__(
        self, engine: Engine, planners: ThreadPoolExecutor, stage: Stage, writer: asyncio.StreamWriter
    ) -> None:
        self._engine = engine
        self._planners = planners
        self._stage = stage
        self._writer = writer
        self._query: Query | None = None
        self._bytes = 0
        self._held = bytearray()
        self._flush: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Write the result as Arrow frames, or into files. Raises StatementFailedError."""
        if self._stage.object_store is not None and self._stage.uses_files:
            await require_reachable(self._stage.object_store.endpoint)
        loop = asyncio.get_running_loop()
        query = self._query = await loop.run_in_executor(self._planners, self._engine.start, self._stage)
        if self._stage.write is not None:
            await self._engine.write(query, self._stage.write)
            return
        stream: StreamWriter | None = None
        async for batch in self._engine.batches(query):
            stream = stream or StreamWriter(batch.schema)
            await self._send(stream.add(batch))
        await self._send((stream or StreamWriter(query.schema)).end())

    async def _send(self, data: bytes) -> None:
        """Write Arrow bytes and wait until the agent has taken most of what is under way.

        Few bytes are held for a moment, so that a small result goes out in one piece with its last frame.
        """
        self._bytes += len(data)
        for start in range(0, len(data), _LARGEST_FRAME_BYTES):
            self._held += encode(FrameType.ARROW, data[start : start + _LARGEST_FRAME_BYTES])
            if len(self._held) >= _SMALL_BYTES:
                self._write_held()
                await self._writer.drain()
        if self._held and self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_LONGEST_HOLD_SECONDS, self._write_held)

    def _write_held(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._writer.write(bytes(self._held))
        self._held.clear()

    def finish(self, running: "asyncio.Future[None]") -> Query | None:
        """Write the frame that says how the stage ended; give up the query."""
        query, self._query = self._query, None
        statistics = query.statistics(self._bytes) if query is not None else Statistics()
        if query is not None:
            query.lease.close()
        self._held += _last_frame(running, statistics, query.written if query is not None else ())
        self._write_held()
        return query


def _last_frame(running: "asyncio.Future[None]", statistics: Statistics, written: tuple[WrittenFile, ...]) -> bytes:
    if running.cancelled():
        failure = Failure(error=StatementError.CANCELLED, message="Cancelled.", statistics=statistics)
        return encode(FrameType.FAILURE, failure.model_dump_json().encode())
    error = running.exception()
    if error is None:
        return encode(FrameType.FINISH, Finish(statistics=statistics, written=written).model_dump_json().encode())
    if not isinstance(error, StatementFailedError):
        raise error
    failure = Failure(error=error.error, message=error.message, retryable=error.retryable, statistics=statistics)
    return encode(FrameType.FAILURE, failure.model_dump_json().encode())
