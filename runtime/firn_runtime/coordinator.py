"""The coordinator: a statement becomes stages, the stages run, the result streams out.

It owns a statement's bounds: cancel, timeout, and an engine that dies under it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from firn_model.frames import Frame, FrameType, encode
from firn_model.messages import Dispatch, Failure, Finish, Statistics
from firn_model.statements import StatementError

from firn_runtime.errors import EngineLostError
from firn_runtime.executor import Executor, StageRun
from firn_runtime.stage import cut

ENGINE_WAIT_SECONDS = 30.0
_STOP_SECONDS = 2.0

Send = Callable[[bytes], Awaitable[None]]
"""Sends bytes to whoever dispatched the statement, waiting while they do not read."""

_MESSAGES = {
    StatementError.CANCELLED: "The statement was cancelled.",
    StatementError.STATEMENT_TIMEOUT: (
        "The statement ran longer than its timeout. Raise STATEMENT_TIMEOUT_IN_SECONDS or use a larger warehouse."
    ),
}

Outcome = Finish | Failure


@dataclass(frozen=True, slots=True)
class Ended:
    """How a statement ended, and the bytes of its answer that are still to be sent: the last frame at least."""

    outcome: Outcome
    unsent: bytes


class Coordinator:
    """Runs statements on the node's executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
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
            statistics = await _stopped(work)
            return _failed(Failure(error=reason, message=_MESSAGES[reason], statistics=statistics))
        finally:
            cancelled.cancel()
            if not work.done():
                await _stopped(work)

    async def _stages(self, dispatch: Dispatch, send: Send) -> Ended:
        """Run one stage after the other; only the last one's rows go out."""
        (stage,) = cut(dispatch)
        try:
            run = await self._executor.run(stage, ENGINE_WAIT_SECONDS)
        except EngineLostError as error:
            return _failed(_lost(error))
        try:
            return await _relayed(run, send)
        except EngineLostError as error:
            return _failed(_lost(error))
        except (asyncio.CancelledError, ConnectionError):
            raise _Stopped(await _stop(run)) from None
        finally:
            run.close()


class _Stopped(Exception):
    def __init__(self, statistics: Statistics) -> None:
        super().__init__("stopped")
        self.statistics = statistics


async def _relayed(run: StageRun, send: Send) -> Ended:
    """Send a stage's rows on as they come; leave those that came together with its last frame."""
    while True:
        frames = await run.frames()
        data = b"".join(encode(frame.type, frame.payload) for frame in frames)
        if frames[-1].type is not FrameType.ARROW:
            return Ended(_outcome(frames[-1]), data)
        await send(data)


async def _stopped(work: "asyncio.Future[Ended]") -> Statistics:
    """Stop the stages, wait until the engine has let go of them, and return what they used."""
    work.cancel()
    await asyncio.wait({work})
    error = None if work.cancelled() else work.exception()
    return error.statistics if isinstance(error, _Stopped) else Statistics()


async def _stop(run: StageRun) -> Statistics:
    """Cancel a stage and return what it used, as far as the engine still says so."""
    with contextlib.suppress(EngineLostError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            return _outcome(await run.stop()).statistics
    return Statistics()


def _outcome(frame: Frame) -> Outcome:
    model = Finish if frame.type is FrameType.FINISH else Failure
    return model.model_validate_json(frame.payload)


def _failed(failure: Failure) -> Ended:
    return Ended(failure, encode(FrameType.FAILURE, failure.model_dump_json().encode()))


def _lost(error: EngineLostError) -> Failure:
    return Failure(
        error=StatementError.NODE_LOST,
        message=f"The node's engine was lost: {error}. The statement can run again.",
        retryable=True,
    )
