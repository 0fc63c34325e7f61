"""The coordinator: a statement runs whole on the head's engine, or in stages on all nodes; the result streams out.

It owns a statement's bounds: cancel, timeout, and an engine that dies under it.
"""

import asyncio

from firn_model.frames import encode
from firn_model.messages import Dispatch, Failure, Statistics
from firn_model.statements import StatementError

from firn_runtime.attempt import ENGINE_WAIT_SECONDS, Cluster
from firn_runtime.distributed import DistributedStatement, RunsWhole
from firn_runtime.errors import EngineLostError
from firn_runtime.executor import StageRun
from firn_runtime.outcomes import Ended, Send, Stopped, failed, lost, outcome_of, stopped
from firn_runtime.stage import whole

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
        """Run a statement in stages where that is worth it, else whole."""
        reason = self._runs_whole_because(dispatch)
        if reason is None:
            try:
                return await DistributedStatement(self._cluster, dispatch, send).run()
            except RunsWhole as answer:
                reason = answer.reason
            except EngineLostError as error:
                return failed(lost(error))
        return await self._whole(dispatch, send, reason)

    def _runs_whole_because(self, dispatch: Dispatch) -> str | None:
        """Return why it is one task on the head; None when several nodes may work on it, and it reads enough."""
        if dispatch.nodes == 1 and dispatch.burst is None:
            return "its cluster has one node"
        if dispatch.write is not None and (dispatch.write.single or dispatch.write.sort_by):
            return "it writes one file" if dispatch.write.single else "it writes files that are sorted as a whole"
        if any(table.row_column is not None for table in dispatch.tables):
            return "the places of rows in a file are counted by one reader of the file"
        size = sum(file.size_bytes for table in dispatch.tables for file in table.files)
        least = self._small_bytes if dispatch.nodes > 1 else max(self._small_bytes, _least_burst_bytes(dispatch))
        if size < least:
            return f"its files have {size:,} bytes; stages are worth it from {least:,} on"
        return None if self._cluster.members.usable() else "no node was ready for stages"

    async def _whole(self, dispatch: Dispatch, send: Send, reason: str) -> Ended:
        """Run a statement on the head's engine alone."""
        head = next((node.pod_uid for node in self._cluster.members.usable()), "")
        try:
            run = await self._cluster.executor.run(whole(dispatch, head, reason), ENGINE_WAIT_SECONDS)
        except EngineLostError as error:
            return failed(lost(error))
        try:
            return await _relayed(run, send)
        except EngineLostError as error:
            return failed(lost(error))
        except (asyncio.CancelledError, ConnectionError):
            raise await stopped(run) from None
        finally:
            run.close()


def _least_burst_bytes(dispatch: Dispatch) -> int:
    return dispatch.burst.min_scan_bytes if dispatch.burst is not None else 0


async def _relayed(run: StageRun, send: Send) -> Ended:
    """Send a stage's rows on as they come; leave those that came together with its last frame."""
    while True:
        frames = await run.frames()
        last = frames[-1]
        if last.type.is_last:
            return Ended(outcome_of(last), b"".join(encode(frame.type, frame.payload) for frame in frames))
        await send(b"".join(encode(frame.type, frame.payload) for frame in frames))


async def _stopped(work: "asyncio.Future[Ended]") -> Stopped:
    """Stop the stages, wait until the engine has let go of them, and return what they used."""
    work.cancel()
    await asyncio.wait({work})
    error = None if work.cancelled() else work.exception()
    return error if isinstance(error, Stopped) else Stopped(Statistics())
