"""What the engine does for one request each: a whole statement, a plan, a task, the task of a result."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pyarrow as pa
from firn_model.base import Message
from firn_model.frames import FrameType, encode
from firn_model.messages import Failure, Finish, Statistics
from firn_model.profile import OperatorProfile, Profile
from firn_model.statements import StatementError
from firn_model.writes import WrittenFile

from firn_runtime.cache.objects import Versions, look_up
from firn_runtime.engine.batches import StreamWriter
from firn_runtime.engine.binding import MOST_FILES
from firn_runtime.engine.engine import Engine, Query
from firn_runtime.engine.operators import operators_of, readings
from firn_runtime.engine.probe import require_reachable
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.task_engine import RunningTask, start
from firn_runtime.engine.tasks import PieceMade, PlanAsked, PlanReply, ResultFinish, Task, TaskFailure, TaskReply
from firn_runtime.errors import ExchangeFullError, PieceLostError, StatementFailedError
from firn_runtime.exchange.fetching import Fetcher
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tiers import Tier
from firn_runtime.statements.profiling import whole_profile
from firn_runtime.statements.progress import QUIET_SECONDS, TICK_SECONDS, progress_of_whole

_LARGEST_FRAME_BYTES = 1 << 20
_SMALL_BYTES = 64 * 1024
_LONGEST_HOLD_SECONDS = 0.002


class _Rows:
    """Rows on their way out as Arrow frames.

    Few bytes are held for a moment, so that a small result goes out in one piece with its last frame.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._held = bytearray()
        self._flush: asyncio.TimerHandle | None = None
        self.bytes = 0

    async def send_all(self, batches: AsyncGenerator[pa.RecordBatch], schema: "_HasSchema") -> None:
        """Write all batches, or an empty result of the schema; let go of the batches at once when that fails."""
        stream: StreamWriter | None = None
        async with contextlib.aclosing(batches):
            async for batch in batches:
                stream = stream or StreamWriter(batch.schema)
                await self._send(stream.add(batch))
        await self._send((stream or StreamWriter(schema.schema)).end())

    async def _send(self, data: bytes) -> None:
        """Write Arrow bytes and wait until the reader has taken most of what is under way."""
        self.bytes += len(data)
        for start_ in range(0, len(data), _LARGEST_FRAME_BYTES):
            self._held += encode(FrameType.ARROW, data[start_ : start_ + _LARGEST_FRAME_BYTES])
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

    def tell(self, frame: bytes) -> None:
        """Write a frame between others, unless the reader does not keep up."""
        if self._writer.transport.get_write_buffer_size() == 0:
            self._writer.write(frame)

    def end(self, last: bytes) -> None:
        """Write the last frame."""
        self._held += last
        self._write_held()


class _HasSchema(Protocol):
    @property
    def schema(self) -> pa.Schema: ...


class StageAnswer:
    """A whole statement on its way through the engine."""

    def __init__(
        self, engine: Engine, planners: ThreadPoolExecutor, stage: Stage, writer: asyncio.StreamWriter
    ) -> None:
        self._engine = engine
        self._planners = planners
        self._stage = stage
        self._rows = _Rows(writer)
        self._query: Query | None = None

    async def run(self) -> None:
        """Write the result as Arrow frames, or into files. Raises StatementFailedError."""
        await _require_store(self._stage)
        versions = await _versions(self._stage)
        loop = asyncio.get_running_loop()
        query = self._query = await loop.run_in_executor(self._planners, self._engine.start, self._stage, versions)
        telling = asyncio.ensure_future(self._tell(query))
        try:
            if self._stage.write is not None:
                await self._engine.write(query, self._stage.write)
            else:
                await self._rows.send_all(self._engine.batches(query), query)
        finally:
            telling.cancel()

    async def _tell(self, query: Query) -> None:
        """Say how far it is, now and then."""
        await asyncio.sleep(QUIET_SECONDS)
        while True:
            said = progress_of_whole(readings(query.plan), self._stage.tables, query.lease.paths)
            self._rows.tell(encode(FrameType.PROGRESS, said.model_dump_json().encode()))
            await asyncio.sleep(TICK_SECONDS)

    def finish(self, running: "asyncio.Future[None]") -> Query | None:
        """Write the frame that says how the stage ended; give up the query."""
        query, self._query = self._query, None
        if query is None:
            self._rows.end(_last_frame(running, Finish(statistics=Statistics()), Statistics()))
            return None
        read = tuple(readings(query.plan))
        statistics = query.statistics(read, self._rows.bytes)
        profile = whole_profile(self._stage, statistics, operators_of(read, self._stage.tables, query.lease.paths))
        query.lease.close()
        finish = Finish(statistics=statistics, written=query.written, profile=profile)
        self._rows.end(_last_frame(running, finish, statistics, profile))
        return query


class PlanAnswer:
    """A statement's stages."""

    def __init__(
        self, engine: Engine, planners: ThreadPoolExecutor, asked: PlanAsked, writer: asyncio.StreamWriter
    ) -> None:
        self._engine = engine
        self._planners = planners
        self._asked = asked
        self._writer = writer
        self._reply: PlanReply | None = None

    async def run(self) -> None:
        """Plan and cut. Raises StatementFailedError."""
        await _require_store(self._asked.stage)
        versions = await _versions(self._asked.stage)
        loop = asyncio.get_running_loop()
        self._reply = await loop.run_in_executor(
            self._planners, self._engine.planner.plan, self._asked, self._engine.sizes, versions
        )

    def finish(self, running: "asyncio.Future[None]") -> None:
        """Write the frame with the plan."""
        self._writer.write(_last_frame(running, self._reply, Statistics()))


class TaskAnswer:
    """A task that gives its rows out in pieces."""

    def __init__(
        self,
        engine: Engine,
        planners: ThreadPoolExecutor,
        fetcher: Fetcher,
        pieces: PieceStore,
        task: Task,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._engine = engine
        self._planners = planners
        self._fetcher = fetcher
        self._pieces = pieces
        self._task = task
        self._writer = writer
        self._running: RunningTask | None = None
        self._made: list[PieceMade] = []
        self._written: tuple[WrittenFile, ...] = ()
        self._fetched_bytes = 0

    async def run(self) -> None:
        """Fetch, run, give out. Raises StatementFailedError, ExchangeFullError, PieceLostError."""
        running = await self._started()
        if self._task.write is None:
            await running.give_out_into(self._pieces, self._made)
        else:
            self._written = await running.write_large_into(self._pieces, self._made, self._engine.cache)

    async def _started(self) -> RunningTask:
        before = self._fetcher.bytes_from_peers
        inputs = await self._fetcher.fetch(self._task.statement_id, self._task.inputs)
        self._fetched_bytes = self._fetcher.bytes_from_peers - before
        loop = asyncio.get_running_loop()
        self._running = await loop.run_in_executor(self._planners, start, self._engine, self._task, inputs)
        return self._running

    def _used(self, bytes_produced: int) -> tuple[Statistics, tuple[OperatorProfile, ...]]:
        if self._running is None:
            return Statistics(bytes_from_peers=self._fetched_bytes), ()
        spilled = {tier: sum(piece.size for piece in self._made if piece.tier == tier) for tier in Tier}
        read = self._running.readings()
        used = self._running.statistics(read, bytes_produced)
        sums = {
            "bytes_from_peers": self._fetched_bytes,
            "bytes_spilled_local": used.bytes_spilled_local + spilled[Tier.DISK],
            "bytes_spilled_remote": spilled[Tier.STORE],
        }
        return used.model_copy(update=sums), operators_of(read)

    def finish(self, running: "asyncio.Future[None]") -> RunningTask | None:
        """Write the frame that says what the task gave out."""
        statistics, operators = self._used(0)
        seconds = statistics.execute_seconds
        reply = TaskReply(
            pieces=self._told,
            written=self._written,
            statistics=statistics,
            seconds=seconds,
            operators=operators,
        )
        self._writer.write(_last_frame(running, reply, statistics))
        return self._let_go()

    @property
    def _told(self) -> tuple[PieceMade, ...]:
        """The pieces, with their bytes when all are small: so their readers need not fetch them."""
        made = tuple(self._made)
        if sum(piece.size for piece in made) > _SMALL_BYTES:
            return made
        return tuple(
            piece.model_copy(update={"data": self._pieces.small(self._task.statement_id, piece.name)}) for piece in made
        )

    def _let_go(self) -> RunningTask | None:
        """Give up the task; return it."""
        ran, self._running = self._running, None
        if ran is not None:
            ran.lease.close()
        return ran


class ResultAnswer(TaskAnswer):
    """The task whose rows are the statement's result."""

    async def run(self) -> None:
        """Fetch, run, and write the result as Arrow frames, or into files.

        Raises StatementFailedError, PieceLostError.
        """
        self._rows = _Rows(self._writer)
        running = await self._started()
        if self._task.write is not None:
            self._written = await running.write_out(self._engine.cache)
            return
        await self._rows.send_all(running.batches(), running)

    def finish(self, running: "asyncio.Future[None]") -> RunningTask | None:
        """Write the frame that says how the result ended."""
        rows = self._rows
        statistics, operators = self._used(rows.bytes)
        rows.end(
            _last_frame(
                running, ResultFinish(statistics=statistics, written=self._written, operators=operators), statistics
            )
        )
        return self._let_go()


async def _require_store(stage: Stage) -> None:
    if stage.object_store is not None and stage.uses_files:
        await require_reachable(stage.object_store.endpoint)


async def _versions(stage: Stage) -> Versions:
    """Return the versions of a stage's files, or none when they are many. Raises StatementFailedError."""
    files = stage.parquet_files
    if stage.object_store is None or len(files) > MOST_FILES:
        return {}
    return await look_up(stage.object_store, (file.uri for file in files))


def _last_frame(
    running: "asyncio.Future[None]", reply: Message | None, statistics: Statistics, profile: Profile | None = None
) -> bytes:
    error = None if running.cancelled() else running.exception()
    if error is None and not running.cancelled() and reply is not None:
        return encode(FrameType.FINISH, reply.model_dump_json().encode())
    failure = _failure(error, running.cancelled()).model_copy(update={"statistics": statistics, "profile": profile})
    return encode(FrameType.FAILURE, failure.model_dump_json().encode())


def _failure(error: BaseException | None, cancelled: bool) -> Failure:
    if cancelled or isinstance(error, ConnectionError):  # whoever would read the rows is gone
        return Failure(error=StatementError.CANCELLED, message="Cancelled.")
    if isinstance(error, StatementFailedError):
        return Failure(error=error.error, message=error.message, retryable=error.retryable)
    if isinstance(error, PieceLostError):
        return TaskFailure(
            error=StatementError.NODE_LOST,
            message=f"The statement's data is gone: {error}. It can run again.",
            retryable=True,
            lost_node=error.node,
        )
    if isinstance(error, ExchangeFullError):
        message = f"No room is left for what the statement's stages exchange: {error}. Use a larger warehouse."
        return TaskFailure(error=StatementError.OUT_OF_MEMORY, message=message, is_exchange_full=True)
    raise error or AssertionError("an answer that ended without an error or a reply")
