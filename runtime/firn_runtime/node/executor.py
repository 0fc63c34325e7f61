"""The agent's side of the engine: hands a stage over, reads frames back, and keeps an engine running.

This is the seam for more engines: a cluster of several nodes has an executor for each of them.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from firn_model.base import Message
from firn_model.frames import Frame, FrameReader, FrameType

from firn_runtime.engine.stage import GREETING, LENGTH, Stage
from firn_runtime.errors import EngineLostError
from firn_runtime.exchange.tickets import ticket

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

EARLY_SECONDS = 60.0
"""An engine that lives longer than this makes up for those that died before it."""
_DYING_SECONDS = 0.01
"""How long a dying process is left before its death should have been noticed."""
_CHUNK_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_KEEPALIVE = {socket.TCP_KEEPIDLE: 2, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3}
_UNACKNOWLEDGED_MILLISECONDS = 8000


class StageRun:
    """One stage that an engine runs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._cutter = FrameReader()

    @classmethod
    async def start(cls, path: Path, request: Message) -> "StageRun":
        """Hand a request to the node's own engine. Raises EngineLostError."""
        body = request.model_dump_json().encode()
        try:
            reader, writer = await _greeted(asyncio.open_unix_connection(path), LENGTH.pack(len(body)) + body)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise EngineLostError("the engine does not answer") from error
        return cls(reader, writer)

    @classmethod
    async def start_at(cls, door: str, request: Message, key: bytes) -> "StageRun":
        """Hand a request to the engine behind a door, host:port, of the same cluster. Raises EngineLostError."""
        host, _, port = door.rpartition(":")
        body = request.model_dump_json().encode()
        message = LENGTH.pack(len(body)) + ticket(key, body, time.time()) + body
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await _greeted(asyncio.open_connection(host, int(port)), message)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise EngineLostError("the engine does not answer") from error
        _notice_silence(writer.get_extra_info("socket"))
        return cls(reader, writer)

    async def frames(self) -> list[Frame]:
        """Return the next frames, as many as came together. Raises EngineLostError when the engine is gone."""
        while True:
            try:
                data = await self._reader.read(_CHUNK_BYTES)
            except OSError as error:
                raise EngineLostError("the engine's process died") from error
            if not data:
                raise EngineLostError("the engine's process died")
            if frames := self._cutter.feed(data):
                return frames

    async def stop(self) -> Frame:
        """Cancel the stage; return its last frame, which comes when the engine has let go of it."""
        if self._writer.can_write_eof() and not self._writer.is_closing():
            self._writer.write_eof()
        while not (last := (await self.frames())[-1]).type.is_last:
            pass
        return last

    def close(self) -> None:
        """Let go of the connection; a stage that still runs is cancelled by that."""
        self._writer.close()


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A running engine: where it listens, its process's id, and where the cluster reaches it, host:port."""

    socket: Path
    pid: int
    door: str = ""


StartEngine = Callable[[int], Awaitable[EngineProcess]]
"""Starts the n-th engine of this node and returns it when it serves. Raises EngineLostError."""


class Executor:
    """One engine, started again when it dies. Statements wait for it, within a bound."""

    def __init__(self, on_warm: Callable[[bool], None]) -> None:
        self._on_warm = on_warm
        self._engine: EngineProcess | None = None
        self._serving = asyncio.Event()

    @property
    def engine(self) -> EngineProcess | None:
        """The engine that serves now."""
        return self._engine

    async def keep(self, start: StartEngine, most_early_deaths: int, warm: Callable[[], Awaitable[None]]) -> None:
        """Keep an engine running. Raises EngineLostError when it dies early again and again: beyond repair."""
        early_deaths = number = 0
        try:
            while early_deaths < most_early_deaths:
                born = time.monotonic()
                with contextlib.suppress(EngineLostError):
                    self._engine = await start(number)
                    self._serving.set()
                    await warm()
                    self._on_warm(True)
                    await _until_death(self._engine.socket)
                self._lost()
                self._on_warm(False)
                number += 1
                early_deaths = early_deaths + 1 if time.monotonic() - born < EARLY_SECONDS else 0
        finally:
            self._lost()
        raise EngineLostError(f"the engine died early {early_deaths} times in a row")

    def _lost(self) -> None:
        self._serving.clear()
        self._engine = None

    async def run(self, request: Message, wait_seconds: float) -> StageRun:
        """Start a request, after waiting for an engine that is being started again. Raises EngineLostError."""
        try:
            async with asyncio.timeout(wait_seconds):
                while True:
                    await self._serving.wait()
                    if run := await self._started(request):
                        return run
                    await asyncio.sleep(_DYING_SECONDS)
        except TimeoutError as error:
            raise EngineLostError("the engine did not come back in time") from error

    async def _started(self, request: Message) -> StageRun | None:
        """Start a request, or return None when the engine is dying: it never began to read it."""
        if self._engine is not None:
            with contextlib.suppress(EngineLostError):
                return await StageRun.start(self._engine.socket, request)
        return None


async def answer_once(path: Path) -> None:
    """Have the engine behind the socket answer a query. Raises EngineLostError."""
    run = await StageRun.start(path, Stage(statement_id="first", sql="SELECT 1 AS one"))
    try:
        while not (last := (await run.frames())[-1]).type.is_last:
            pass
    finally:
        run.close()
    if last.type is not FrameType.FINISH:
        raise EngineLostError("the engine does not answer its first query")


async def _greeted(opening: Awaitable[Connection], message: bytes) -> Connection:
    """Return a connection whose other side has greeted; one that is given up before that is closed.

    The message is sent meanwhile: the other side reads nothing before it greets.
    """
    reader, writer = await opening
    try:
        writer.write(message)
        await reader.readexactly(len(GREETING))
    except BaseException:
        writer.close()
        raise
    return reader, writer


def _notice_silence(connection: socket.socket) -> None:
    """Let the kernel end a connection to a machine that is gone without a word, within about eight seconds."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS)


async def _until_death(path: Path) -> None:
    """Return when the engine behind the socket is gone: the kernel closes an open connection at that moment."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            await reader.read()
        finally:
            writer.close()
