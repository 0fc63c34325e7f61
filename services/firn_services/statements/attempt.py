"""One attempt at a statement on a head: dispatch, gather, and how it came out."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from firn_model.frames import Frame, FrameType
from firn_model.messages import Failure, Finish, RefusalReason, Statistics
from pydantic import ValidationError

from firn_services.errors import ServicesError, StatementFailedError, as_statement_error
from firn_services.objects import ObjectStore, failure
from firn_services.statements.dispatcher import (
    Attempt,
    Dispatcher,
    Head,
    HeadLostError,
    HeadRefusedError,
    HeadUnreachableError,
)
from firn_services.statements.reads import Reads
from firn_services.statements.record import ResultRecord
from firn_services.statements.results import ResultGatherer
from firn_services.statements.ticket import Ticket
from firn_services.statements.writing import StoppedError, Writes


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The result is safe."""

    result: ResultRecord
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Failed:
    """The statement itself failed."""

    error: StatementFailedError
    statistics: Statistics | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Through no fault of the statement: it runs again in its place.

    `started`: the head may have begun it. `refused`: why the head did not.
    """

    message: str
    started: bool = True
    refused: RefusalReason | None = None


Outcome = Succeeded | Failed | Lost


class Runner:
    """Runs attempts."""

    def __init__(
        self, dispatcher: Dispatcher, writes: Writes, store: ObjectStore, keep_for: timedelta, reads: Reads
    ) -> None:
        self._dispatcher = dispatcher
        self._writes = writes
        self._store = store
        self._keep_for = keep_for
        self._reads = reads

    async def run(self, ticket: Ticket, head: Head, attempt: Attempt) -> Outcome:
        """Run one attempt to its end, in a span of its own where traces are on."""
        if ticket.trace is None:
            return await self._run(ticket, head, attempt)
        with ticket.trace.attempt(attempt.number, ticket.record.cluster, head.pod_uid) as span:
            outcome = await self._run(ticket, head, replace(attempt, trace=span.context))
            if not isinstance(outcome, Succeeded):
                span.failed(outcome.message if isinstance(outcome, Lost) else outcome.error.message)
            return outcome

    async def _run(self, ticket: Ticket, head: Head, attempt: Attempt) -> Outcome:
        """Run one attempt. A cancelled call leaves no result behind."""
        gatherer = ResultGatherer(self._store, attempt.statement_id)
        ticket.profile = None
        outcome: Outcome | None = None
        try:
            if ticket.query.write is None:
                outcome = await self._gather(ticket, head, attempt, gatherer)
            else:
                outcome = await self._write(ticket, head, attempt)
        except HeadRefusedError as refusal:
            outcome = Lost(str(refusal), started=False, refused=refusal.reason)
        except HeadUnreachableError as absence:
            outcome = Lost(str(absence), started=False)
        except HeadLostError as loss:
            outcome = Lost(str(loss))
        except StatementFailedError as error:
            outcome = Failed(error)
        except (OSError, pa.ArrowException) as error:
            outcome = Failed(failure(error, "the result cannot be spooled"))
        finally:
            if not isinstance(outcome, Succeeded):
                await gatherer.abandon()
        return outcome

    async def _write(self, ticket: Ticket, head: Head, attempt: Attempt) -> Outcome:
        try:
            return Succeeded(*await self._writes.run(ticket, head, attempt))
        except StoppedError as stopped:
            ticket.ran(stopped.failure.profile)
            return _outcome(stopped.failure)
        except ServicesError as error:
            return Failed(as_statement_error(error))

    async def _gather(self, ticket: Ticket, head: Head, attempt: Attempt, gatherer: ResultGatherer) -> Outcome:
        query = await self._reads.filled(ticket.query, ticket.record)
        async for frame in self._dispatcher.run(head, attempt, query):
            if frame.type is FrameType.ARROW:
                ticket.step("first_batch", datetime.now(UTC))
                await gatherer.feed(frame.payload)
            elif frame.type is FrameType.PROGRESS:
                ticket.hear(frame.payload, datetime.now(UTC))
            else:
                return await self._last(ticket, frame, gatherer)
        return Lost("the head's answer ended before its last frame")

    async def _last(self, ticket: Ticket, frame: Frame, gatherer: ResultGatherer) -> Outcome:
        try:
            if frame.type is FrameType.FINISH:
                finish = Finish.model_validate_json(frame.payload)
                statistics = finish.statistics
                ticket.ran(finish.profile)
                result = await gatherer.finish(statistics.rows_produced, datetime.now(UTC) + self._keep_for)
                return Succeeded(result, statistics)
            answer = Failure.model_validate_json(frame.payload)
            ticket.ran(answer.profile)
        except ValidationError as error:
            return Lost(f"the head's last frame cannot be read: {error}")
        return _outcome(answer)


def _outcome(answer: Failure) -> Outcome:
    if answer.retryable:
        return Lost(answer.message)
    return Failed(StatementFailedError(answer.error, answer.message), answer.statistics)
