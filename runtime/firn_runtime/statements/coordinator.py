"""The coordinator: a statement runs whole on the head's engine, or in stages on all nodes; the result streams out.

It owns a statement's bounds: cancel, timeout, and an engine that dies under it.
"""

import asyncio
from dataclasses import dataclass

from firn_model.frames import FrameType, encode
from firn_model.messages import Dispatch, Failure, Statistics
from firn_model.statements import StatementError

from firn_runtime.engine.stage import whole
from firn_runtime.errors import EngineLostError
from firn_runtime.node.executor import StageRun
from firn_runtime.statements.attempt import ENGINE_WAIT_SECONDS, Cluster
from firn_runtime.statements.distributed import DistributedStatement, RunsWhole
from firn_runtime.statements.outcomes import Ended, Send, Stopped, failed, lost, outcome_of, stopped

_MESSAGES = {
    StatementError.CANCELLED: "The statement was cancelled.",
    StatementError.STATEMENT_TIMEOUT: (
        "The statement ran longer than its timeout. Raise STATEMENT_TIMEOUT_IN_SECONDS or use a larger warehouse."
    ),
}


class Coordinator:
    """Runs statements on the head's engine and its members'."""

    def __init__(self, cluster: Cluster, small_bytes: int) -> None:
        """Statements over files of fewer than `small_bytes` run whole."""
        self._cluster = cluster
        self._small_bytes = small_bytes
        self._cancels: dict[str, asyncio.Event] = {}

    def cancel(self, statement_id: str) -> bool:
        """Ask a statement to stop; return whether it is held."""
        event = self._cancels.get(statement_id)
        if event is not None:
            event.set()
        return event is not None

    async def run(self, dispatch: Dispatch, send: Send) -> Ended:
        """Run a statement to its end; send its frames but the last ones. Raises what `send` raises."""
        cancel = self._cancels[dispatch.statement_id] = asyncio.Event()
        try:
            return await self._bounded(dispatch, send, cancel)
        finally:
            del self._cancels[dispatch.statement_id]

    async def _bounded(self, dispatch: Dispatch, send: Send, cancel: asyncio.Event) -> Ended:
        """Run the stages until their end, a cancel, or the timeout."""
        work = asyncio.ensure_future(self._stages(dispatch, send))
        cancelled = asyncio.ensure_future(cancel.wait())
        try:
            await asyncio.wait({work, cancelled}, timeout=dispatch.timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            reason = StatementError.CANCELLED if cancel.is_set() else StatementError.STATEMENT_TIMEOUT
            until = await _stopped(work)
            message = _MESSAGES[reason]
            return failed(Failure(error=reason, message=message, statistics=until.statistics, profile=until.profile))
        finally:
            cancelled.cancel()
            if not work.done():
                await _stopped(work)

    async def _stages(self, dispatch: Dispatch, send: Send) -> Ended:
        """Run a statement in stages where that is worth it, else whole; in stages too when it has no room whole."""
        cannot = self._cannot_be_cut(dispatch)
        reason = cannot or self._is_not_worth_stages(dispatch)
        if reason is None:
            try:
                return await self._in_stages(DistributedStatement(self._cluster, dispatch, send))
            except RunsWhole as answer:
                cannot = reason = answer.reason
        whole = await self._whole(dispatch, send, reason)
        if cannot is not None or not whole.is_exhausted:
            return whole.ended
        statement = DistributedStatement(self._cluster, dispatch, send, exhausted=whole.ended.outcome)
        try:
            return await self._in_stages(statement)
        except RunsWhole:
            return whole.ended

    async def _in_stages(self, statement: DistributedStatement) -> Ended:
        """Run a statement in stages. Raises RunsWhole."""
        try:
            return await statement.run()
        except EngineLostError as error:
            return failed(lost(error))

    def _cannot_be_cut(self, dispatch: Dispatch) -> str | None:
        """Return why it has to be one task on the head, whatever it reads."""
        if dispatch.write is not None and (dispatch.write.single or dispatch.write.sort_by):
            return "it writes one file" if dispatch.write.single else "it writes files that are sorted as a whole"
        if any(table.row_column is not None for table in dispatch.tables):
            return "the places of rows in a file are counted by one reader of the file"
        return None if self._cluster.members.usable() else "no node was ready for stages"

    def _is_not_worth_stages(self, dispatch: Dispatch) -> str | None:
        """Return why one task on the head is better; None when several nodes may work on it, and it reads enough."""
        if dispatch.nodes == 1 and dispatch.burst is None:
            return "its cluster has one node"
        size = sum(file.size_bytes for table in dispatch.tables for file in table.files)
        least = self._small_bytes if dispatch.nodes > 1 else max(self._small_bytes, _least_burst_bytes(dispatch))
        return f"its files have {size:,} bytes; stages are worth it from {least:,} on" if size < least else None

    async def _whole(self, dispatch: Dispatch, send: Send, reason: str) -> "_Whole":
        """Run a statement on the head's engine alone."""
        head = next((node.pod_uid for node in self._cluster.members.usable()), "")
        try:
            run = await self._cluster.executor.run(whole(dispatch, head, reason), ENGINE_WAIT_SECONDS)
        except EngineLostError as error:
            return _Whole(failed(lost(error)))
        try:
            return await _relayed(run, send)
        except EngineLostError as error:
            return _Whole(failed(lost(error)))
        except (asyncio.CancelledError, ConnectionError):
            raise await stopped(run) from None
        finally:
            run.close()


@dataclass(frozen=True, slots=True)
class _Whole:
    """How a statement that ran whole ended, and whether any of its rows were sent."""

    ended: Ended
    has_sent_rows: bool = False

    @property
    def is_exhausted(self) -> bool:
        """Whether it found no room in memory, and may begin anew."""
        outcome = self.ended.outcome
        out_of_memory = isinstance(outcome, Failure) and outcome.error is StatementError.OUT_OF_MEMORY
        return out_of_memory and not self.has_sent_rows


def _least_burst_bytes(dispatch: Dispatch) -> int:
    return dispatch.burst.min_scan_bytes if dispatch.burst is not None else 0


async def _relayed(run: StageRun, send: Send) -> _Whole:
    """Send a stage's rows on as they come; leave those that came together with its last frame."""
    has_sent_rows = False
    while True:
        frames = await run.frames()
        last = frames[-1]
        data = b"".join(encode(frame.type, frame.payload) for frame in frames)
        if last.type.is_last:
            return _Whole(Ended(outcome_of(last), data), has_sent_rows)
        has_sent_rows = has_sent_rows or any(frame.type is FrameType.ARROW for frame in frames)
        await send(data)


async def _stopped(work: "asyncio.Future[Ended]") -> Stopped:
    """Stop the stages, wait until the engine has let go of them, and return what they used."""
    work.cancel()
    await asyncio.wait({work})
    error = None if work.cancelled() else work.exception()
    return error if isinstance(error, Stopped) else Stopped(Statistics())
