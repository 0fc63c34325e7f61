"""How a statement ends, and the frames that say so."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from firn_model.frames import Frame, FrameType, encode
from firn_model.messages import Failure, Finish, Statistics
from firn_model.profile import Profile
from firn_model.statements import StatementError

from firn_runtime.errors import EngineLostError
from firn_runtime.node.executor import StageRun

_STOP_SECONDS = 2.0

Send = Callable[[bytes], Awaitable[None]]
"""Sends bytes to whoever dispatched the statement, waiting while they do not read."""

Outcome = Finish | Failure


@dataclass(frozen=True, slots=True)
class Ended:
    """How a statement ended, and the bytes of its answer that are still to be sent: the last frame at least."""

    outcome: Outcome
    unsent: bytes

    @property
    def is_success(self) -> bool:
        """Whether it ended well."""
        return isinstance(self.outcome, Finish)


class Stopped(Exception):
    """A statement was stopped; carries what it used until then, and how it ran."""

    def __init__(self, statistics: Statistics, profile: Profile | None = None) -> None:
        super().__init__("stopped")
        self.statistics = statistics
        self.profile = profile


def outcome_of(frame: Frame) -> Outcome:
    """Return what a last frame says."""
    model = Finish if frame.type is FrameType.FINISH else Failure
    return model.model_validate_json(frame.payload)


def failed(failure: Failure) -> Ended:
    """Return the end by a failure."""
    return Ended(failure, encode(FrameType.FAILURE, failure.model_dump_json().encode()))


def lost(error: EngineLostError) -> Failure:
    """Return the failure of a statement whose engine was lost."""
    return Failure(
        error=StatementError.NODE_LOST,
        message=f"The node's engine was lost: {error}. The statement can run again.",
        retryable=True,
    )


async def stopped(run: StageRun) -> Stopped:
    """Cancel what an engine runs and return what it used, as far as the engine still says so."""
    with contextlib.suppress(EngineLostError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            outcome = outcome_of(await run.stop())
            return Stopped(outcome.statistics, outcome.profile)
    return Stopped(Statistics())
