"""One plan of a statement on the engines: the shell around its schedule, which decides.

It hands tasks to engines, keeps on each engine a connection that holds the statement's pieces, turns what happens into
events, and sends the result's rows on. Everything that an engine keeps or runs for the statement hangs on connections
of this process, so it ends with them, whatever way that happens.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from firn_model.frames import Frame, FrameType, encode
from firn_model.messages import Dispatch, Failure, Finish
from firn_model.names import ROLE_BURST, ROLE_HEAD
from firn_model.profile import ExchangeKind
from firn_model.statements import StatementError

from firn_runtime.engine.task_inputs import task_inputs
from firn_runtime.engine.tasks import (
    Discard,
    Drop,
    Hold,
    PlannedStage,
    PlanReply,
    ResultFinish,
    Task,
    TaskFailure,
    TaskReply,
)
from firn_runtime.errors import EngineLostError
from firn_runtime.node.executor import Executor, StageRun
from firn_runtime.node.members import MemberNode, Members
from firn_runtime.schedule.machine import Schedule
from firn_runtime.schedule.words import (
    DropPieces,
    Event,
    Finished,
    GiveUp,
    InputLost,
    Instruction,
    Made,
    NodeJoining,
    NodeLost,
    NodeUnwanted,
    NodeUsable,
    StageSpec,
    StartTask,
    StopTask,
    TaskDone,
    TaskSpec,
    Ticked,
)
from firn_runtime.statements.bursting import burst_wish
from firn_runtime.statements.outcomes import Ended, Send, failed, lost, stopped
from firn_runtime.statements.profiling import Ledger, Ran
from firn_runtime.statements.progress import QUIET_SECONDS, TICK_SECONDS, progress_of
from firn_runtime.statements.written import WrittenFiles

ENGINE_WAIT_SECONDS = 30.0
DISCARD_SECONDS = 5.0
_SMALLEST_DROP_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a statement may use: the head's own executor, the members, and the cluster's key."""

    executor: Executor
    members: Members
    key: bytes


class Attempt:
    """One plan of a statement on the engines."""

    def __init__(
        self,
        cluster: Cluster,
        dispatch: Dispatch,
        send: Send,
        plan: PlanReply,
        ledger: Ledger,
        number: int,
        began: float,
        alone: bool = False,
    ) -> None:
        """`alone`: one task at a time on each node."""
        self._cluster = cluster
        self._dispatch = dispatch
        self._send = send
        self._plan = plan
        self._ledger = ledger
        self._began = began
        self._alone = alone
        self._id = f"{dispatch.statement_id}.{dispatch.attempt}.{number}"
        self._files = WrittenFiles(dispatch, number)
        self._schedule = Schedule(tuple(_spec(stage) for stage in plan.stages))
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._members: dict[str, MemberNode] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._holds: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._sending = asyncio.Lock()
        self._has_sent_rows = False
        self._fraction = 0.0
        self.is_exhausted = False
        """Whether it ran out of memory before it sent a row."""

    async def run(self) -> Ended:
        """Run to the end. Raises CancelledError when cancelled, after the engines have let go."""
        loops = [asyncio.ensure_future(loop()) for loop in (self._follow_members, self._tick, self._decide)]
        try:
            waits: list[asyncio.Future[Any]] = [self._ended, *loops]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not self._ended.done():
                for loop in loops:
                    if loop.done():
                        loop.result()  # one that ends before the statement has failed
            return self._ended.result()
        finally:
            await self._let_go([*loops, *self._background])
            await self._discard()
            self._ledger.add_counts(self._schedule.state.counts)

    async def _let_go(self, loops: list["asyncio.Task[None]"]) -> None:
        """Stop what runs, then give the pieces up."""
        await _cancelled(loops)
        await _cancelled(list(self._runs.values()))
        await _cancelled(list(self._holds.values()))

    async def _discard(self) -> None:
        """Have the files deleted that do not count, within a bound."""
        has_succeeded = self._ended.done() and not self._ended.exception() and self._ended.result().is_success
        uris = self._files.left(has_succeeded)
        if uris and self._dispatch.object_store is not None:
            request = Discard(object_store=self._dispatch.object_store, uris=uris)
            with contextlib.suppress(EngineLostError, TimeoutError):
                async with asyncio.timeout(DISCARD_SECONDS):
                    run = await self._cluster.executor.run(request, DISCARD_SECONDS)
                    try:
                        await run.frames()
                    finally:
                        run.close()

    # Members

    async def _follow_members(self) -> None:
        """Use what is usable, up to what the statement may use, as it comes and goes."""
        members = self._cluster.members
        while True:
            version = members.version
            chosen = self._chosen()
            for node in chosen:
                if self._members.get(node.pod_uid) != node:
                    self._members[node.pod_uid] = node
                    self._events.put_nowait(NodeJoining(node.pod_uid))
                    self._holds[node.pod_uid] = asyncio.ensure_future(self._hold(node))
            for uid in self._members.keys() - {node.pod_uid for node in chosen}:
                self._events.put_nowait(NodeUnwanted(uid))
            members.hold(self._dispatch.statement_id, self._members.keys())
            await members.changed(version)

    def _chosen(self) -> list[MemberNode]:
        """Return the nodes to use: those in use already first, then by the members' order."""
        usable = sorted(self._cluster.members.usable(), key=lambda node: (node.role != ROLE_HEAD, self._rank(node)))
        own = [node for node in usable if node.role != ROLE_BURST][: self._dispatch.nodes]
        most = self._dispatch.burst.most_nodes if self._dispatch.burst is not None else 0
        return own + [node for node in usable if node.role == ROLE_BURST][:most]

    def _rank(self, node: MemberNode) -> bool:
        return node.pod_uid not in self._members

    async def _hold(self, node: MemberNode) -> None:
        """Have an engine keep the statement's pieces until this task ends; say so when the engine is lost."""
        is_head = node.role == ROLE_HEAD
        hold = Hold(
            statement_id=self._id,
            object_store=self._dispatch.object_store,
            overflow_uri=self._overflow_uri,
        )
        try:
            run = await self._started(node.pod_uid, hold)
            try:
                await run.frames()
                slots = 1 if self._alone else self._dispatch.parallelism or node.cores
                self._events.put_nowait(NodeUsable(node.pod_uid, slots, node.role == ROLE_BURST, is_head))
                await run.frames()
            finally:
                run.close()
        except EngineLostError:
            if is_head and not self._ended.done():
                self._end(failed(lost(EngineLostError("the head's engine died"))))
            self._events.put_nowait(NodeLost(node.pod_uid))

    @property
    def _overflow_uri(self) -> str | None:
        uri = self._dispatch.exchange_uri
        return f"{uri.rstrip('/')}/{self._id}" if uri is not None else None

    async def _started(self, node: str, request: Hold | Task | Drop) -> StageRun:
        member = self._members[node]
        if member.role == ROLE_HEAD:
            return await self._cluster.executor.run(request, ENGINE_WAIT_SECONDS)
        return await StageRun.start_at(member.door, request, self._cluster.key)

    # Decisions

    async def _decide(self) -> None:
        """Feed each event to the schedule and do what follows."""
        while True:
            for instruction in self._schedule.handle(await self._events.get(), time.monotonic()):
                self._do(instruction)

    def _do(self, instruction: Instruction) -> None:
        match instruction:
            case StartTask():
                if self._plan.stages[instruction.task.stage].exchange is ExchangeKind.RESULT:
                    self._files.choose(self._schedule.state.runs_of(self._plan.writers))
                self._runs[instruction.run] = asyncio.ensure_future(self._run(instruction))
            case StopTask(run, _):
                self._runs[run].cancel()
            case DropPieces(node, names, size):
                if size >= _SMALLEST_DROP_BYTES:  # less goes with the statement
                    self._spawn(self._drop(node, names))
            case GiveUp(reason):
                self._end(failed(lost(EngineLostError(reason))))
            case Finished():
                pass  # the result's run has ended the statement

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _end(self, ended: Ended) -> None:
        if not self._ended.done():
            self._ended.set_result(ended)

    async def _drop(self, node: str, names: tuple[str, ...]) -> None:
        with contextlib.suppress(EngineLostError):
            run = await self._started(node, Drop(statement_id=self._id, names=names))
            try:
                await run.frames()
            finally:
                run.close()

    # Tasks

    async def _run(self, start: StartTask) -> None:
        """Run a task to its end and say what came of it."""
        task = self._task(start)
        began = time.monotonic() - self._began
        try:
            run = await self._started(start.node, task)
            try:
                work = self._relay(run) if task.exchange is ExchangeKind.RESULT else _last(run)
                await self._take(start, began, await work)
            except asyncio.CancelledError:
                self._ledger.wasted.append((await stopped(run)).statistics)
                raise
            finally:
                run.close()
        except EngineLostError as error:
            if self._has_sent_rows and task.exchange is ExchangeKind.RESULT:
                self._end(failed(lost(error)))
            self._retried(start)
            self._events.put_nowait(NodeLost(start.node))
        except ConnectionError as error:  # whoever waits for the rows is gone
            if not self._ended.done():
                self._ended.set_exception(error)

    def _task(self, start: StartTask) -> Task:
        stage = self._plan.stages[start.task.stage]
        planned = stage.tasks[start.task.number]
        name = f"{start.task}.{start.run}"
        return Task(
            statement_id=self._id,
            name=name,
            node=start.node,
            nodes=self._plan.nodes if start.node in self._plan.nodes else (),
            write=self._files.target(stage, name),
            plan=planned.plan,
            exchange=stage.exchange,
            partitions=planned.partitions,
            outputs=stage.outputs,
            inputs=task_inputs(start, self._members),
            object_store=self._dispatch.object_store,
            uris=self._uris,  # a scan that was left without files still names its store
            schema_ipc_base64=self._plan.schema_ipc_base64 if stage.exchange is ExchangeKind.RESULT else "",
            versions=planned.versions,
            keep_in_cache=planned.home in (None, start.node),
        )

    @property
    def _uris(self) -> tuple[str, ...]:
        """One file of each bucket and first folder: what tells an engine of their stores."""
        files = (file.uri for table in self._dispatch.tables for file in table.files)
        return tuple({"/".join(uri.split("/", 4)[: 4 if uri.count("/") > 3 else 3]): uri for uri in files}.values())

    async def _relay(self, run: StageRun) -> Frame:
        """Send the result's rows on as they come; return the last frame, with the rows that came with it kept."""
        while True:
            frames = await run.frames()
            rows = b"".join(encode(frame.type, frame.payload) for frame in frames if frame.type is FrameType.ARROW)
            if frames[-1].type is not FrameType.ARROW:
                self._unsent = rows
                return frames[-1]
            self._has_sent_rows = True
            async with self._sending:
                await self._send(rows)

    async def _take(self, start: StartTask, began: float, frame: Frame) -> None:
        """Note how a run has ended."""
        ended = time.monotonic() - self._began
        if frame.type is FrameType.FAILURE:
            self._failed(start, TaskFailure.model_validate_json(frame.payload))
            return
        is_result = self._plan.stages[start.task.stage].exchange is ExchangeKind.RESULT
        reply = (
            ResultFinish.model_validate_json(frame.payload)
            if is_result
            else TaskReply.model_validate_json(frame.payload)
        )
        self._files.note(start.run, reply.written)
        pieces = reply.pieces if isinstance(reply, TaskReply) else ()
        ran = Ran(start.task, start.node, start.why, began, ended, pieces, reply.statistics, reply.operators)
        self._ledger.ran.append(ran)
        made = tuple(Made(p.partition, p.name, p.size, p.rows, p.uri, p.data) for p in pieces)
        self._events.put_nowait(TaskDone(start.run, made))
        if is_result:
            finish = Finish(statistics=reply.statistics, written=self._files.of_all(start.run))
            self._end(Ended(finish, self._unsent))

    def _failed(self, start: StartTask, failure: TaskFailure) -> None:
        self._ledger.wasted.append(failure.statistics)
        if failure.lost_node is not None and not self._has_sent_rows:
            self._retried(start)
            self._events.put_nowait(InputLost(start.run, failure.lost_node))
            return
        out_of_memory = failure.error is StatementError.OUT_OF_MEMORY and not failure.is_exchange_full
        self.is_exhausted = out_of_memory and not self._has_sent_rows
        self._end(failed(Failure(error=failure.error, message=failure.message, retryable=failure.retryable)))

    def _retried(self, start: StartTask) -> None:
        stage = start.task.stage
        self._ledger.retried[stage] = self._ledger.retried.get(stage, 0) + 1

    # Time

    async def _tick(self) -> None:
        """Let the schedule see the time, and say how far the statement is."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._events.put_nowait(Ticked())
            if time.monotonic() - self._began < QUIET_SECONDS:
                continue
            state = self._schedule.state
            self._fraction = max(self._fraction, state.fraction())
            wish = burst_wish(state, self._dispatch.burst, time.monotonic())
            said = progress_of(state, self._ledger, self._fraction, wish)
            frame = encode(FrameType.PROGRESS, said.model_dump_json().encode())
            if not self._sending.locked():
                async with self._sending:
                    await self._send(frame)


def _spec(stage: PlannedStage) -> StageSpec:
    return StageSpec(
        tasks=tuple(TaskSpec(task.inputs, task.scan_bytes, task.home) for task in stage.tasks),
        inputs=stage.inputs,
        is_scan=stage.is_scan,
        is_result=stage.exchange is ExchangeKind.RESULT,
    )


async def _last(run: StageRun) -> Frame:
    return (await run.frames())[-1]


async def _cancelled(tasks: list["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
