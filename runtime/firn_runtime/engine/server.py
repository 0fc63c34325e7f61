"""The engine's doors: a Unix socket for the node's own agent, and a TCP port for the rest of the cluster.

A connection is greeted, so that a dying process, whose socket still lets connections in, is told from one that runs.
A request is JSON, its length before it as four big-endian bytes; over TCP a ticket of the cluster stands between both.
One request a connection; what there is, and what is answered: tasks.py. When the other side closes its half what runs
for it is cancelled, and the answer still ends with a failure and its statistics. A connection without a request only
shows that the process lives.

DataFusion stops a cancelled plan where it waits for its leaves. A join that makes many rows of few never waits and runs
on; then the process ends itself, after the others' statements or a bound, and the agent starts a fresh one.
"""

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

from firn_model.profile import ExchangeKind
from pydantic import ValidationError

from firn_runtime.engine.answers import PlanAnswer, ResultAnswer, StageAnswer, TaskAnswer
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.stage import GREETING, LENGTH, Stage
from firn_runtime.engine.tasks import REQUEST, Discard, Drop, Fetch, Hold, PlanAsked, Task
from firn_runtime.exchange.doors import PieceDoors
from firn_runtime.exchange.fetching import Fetcher
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tickets import TICKET_BYTES, is_valid

_PLANNING_THREADS = 64
_SETTLE_SECONDS = 0.4
_STUCK_SECONDS = 10.0
_STUCK_EXIT_CODE = 70
_LARGEST_REQUEST_BYTES = 256 << 20


class Stoppable(Protocol):
    """What the engine runs for an answer."""

    def stop(self) -> None:
        """Let go of the rows to come."""

    def progress(self) -> int:
        """Return a number that grows while any part of the plan works."""


class Answer(Protocol):
    """What is done for one request."""

    async def run(self) -> None:
        """Do it, and write all but the last frame."""

    def finish(self, running: "asyncio.Future[None]") -> Stoppable | None:
        """Write the last frame; return what the engine ran."""


class EngineServer:
    """Serves an engine on its doors."""

    def __init__(self, engine: Engine, pieces: PieceStore, key: bytes) -> None:
        self._engine = engine
        self._key = key
        self._pieces = pieces
        self._fetcher = Fetcher(pieces, key)
        self._piece_doors = PieceDoors(pieces)
        self._planners = ThreadPoolExecutor(_PLANNING_THREADS, thread_name_prefix="plan")
        self._servers: list[asyncio.Server] = []
        self._runs: set[Answer] = set()
        self._quiet = asyncio.Event()
        self._watches: set[asyncio.Task[None]] = set()

    def is_busy(self) -> bool:
        """Whether it works on an answer. For any thread."""
        return bool(self._runs)

    async def listen(self, path: Path) -> None:
        """Accept the agent's connections from now on."""
        self._servers.append(await asyncio.start_unix_server(partial(self._serve, False), path))

    async def listen_to_cluster(self, host: str) -> int:
        """Accept the cluster's connections from now on; return the port."""
        server = await asyncio.start_server(partial(self._serve, True), host, 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, ticketed: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValidationError):
            writer.write(GREETING)
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            ticket = await reader.readexactly(TICKET_BYTES) if ticketed else b""
            if length <= _LARGEST_REQUEST_BYTES:
                body = await reader.readexactly(length)
                if not ticketed or is_valid(self._key, ticket, body, time.time()):
                    await self._dispatch(body, reader, writer)
        writer.close()

    async def _dispatch(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match request := REQUEST.validate_json(body):
            case Hold():
                await self._piece_doors.hold(request, reader, writer)
            case Drop():
                await self._piece_doors.drop(request, writer)
            case Discard():
                await self._piece_doors.discard(request, writer)
            case Fetch():
                await self._piece_doors.send(request, writer)
            case _:
                await self._answer(self._maker(request)(writer), reader, writer)

    def _maker(self, request: Stage | PlanAsked | Task) -> Callable[[asyncio.StreamWriter], Answer]:
        """Return what answers a request that the engine works on."""
        if isinstance(request, Stage):
            return partial(StageAnswer, self._engine, self._planners, request)
        if isinstance(request, PlanAsked):
            return partial(PlanAnswer, self._engine, self._planners, request)
        kind = ResultAnswer if request.exchange is ExchangeKind.RESULT else TaskAnswer
        return partial(kind, self._engine, self._planners, self._fetcher, self._pieces, request)

    async def _answer(self, run: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the request until its end or the other side's; write the last frame."""
        self._runs.add(run)
        self._quiet.clear()
        try:
            await self._until_end(run, reader)
            await writer.drain()
        finally:
            self._runs.discard(run)
            if not self._runs:
                self._quiet.set()

    async def _until_end(self, run: Answer, reader: asyncio.StreamReader) -> None:
        """Run to the end, or cancel when the other side hangs up."""
        running = asyncio.ensure_future(run.run())
        hangup = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({running, hangup}, return_when=asyncio.FIRST_COMPLETED)
        hangup.cancel()
        if not running.done():
            running.cancel()
            await asyncio.wait({running})
        query = run.finish(running)
        if query is not None and (running.cancelled() or isinstance(running.exception(), ConnectionError)):
            watch = asyncio.ensure_future(self._require_stop(query))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)

    async def _require_stop(self, query: Stoppable) -> None:
        """End the process unless the cancelled query stops; let others finish first, within a bound."""
        query.stop()
        await asyncio.sleep(_SETTLE_SECONDS)
        before = query.progress()
        await asyncio.sleep(_SETTLE_SECONDS)
        if query.progress() == before:
            gc.collect()  # a broken connection keeps its error, whose frames keep the query and what it reads
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STUCK_SECONDS):
                await self._quiet.wait()
        os._exit(_STUCK_EXIT_CODE)
