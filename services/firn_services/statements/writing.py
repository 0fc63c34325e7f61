"""Running a statement that writes: find the files that change, write the new ones, commit one snapshot, exactly once.

The snapshot's summary carries the statement's id, which is looked up before anything runs: what an earlier run has
committed is only answered. A statement whose files were changed meanwhile by another one is compiled again on what is
there now, and runs again.
"""

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import structlog
from firn_model.frames import FrameType
from firn_model.messages import Failure, Finish, Statistics
from firn_model.statements import StatementError
from firn_model.writes import WrittenFile

from firn_services.catalog.commits import Change, ConflictingChangeError, Counts
from firn_services.catalog.iceberg import IcebergCatalog
from firn_services.catalog.staging import LOADS
from firn_services.errors import StatementFailedError
from firn_services.objects import ObjectStore
from firn_services.sql.compile import Compiler
from firn_services.sql.query import Action, Query, Write
from firn_services.statements.dispatcher import Attempt, Dispatcher, Head, HeadLostError, own_name
from firn_services.statements.reads import Reads
from firn_services.statements.record import ResultRecord, StatementRecord
from firn_services.statements.results import inline_result
from firn_services.statements.ticket import Ticket
from firn_services.statements.touched import Touched, counts_of, narrowed, read_touched

log = structlog.get_logger()
MOST_ROUNDS = 8
MOST_FOUND_BYTES = 64 << 20


class StoppedError(Exception):
    """The head says that the statement failed or is to run again."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Written:
    """What one query on a head gave: rows, or files."""

    rows: bytes
    files: tuple[WrittenFile, ...]
    statistics: Statistics


class Writes:
    """Runs statements that write, to their commit."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        catalog: IcebergCatalog,
        compiler: Compiler,
        store: ObjectStore,
        keep_for: timedelta,
        reads: Reads,
    ) -> None:
        self._dispatcher = dispatcher
        self._catalog = catalog
        self._compiler = compiler
        self._store = store
        self._keep_for = keep_for
        self._reads = reads

    def done(self, record: StatementRecord) -> ResultRecord | None:
        """Return the result of a statement whose snapshot is committed. Blocks. Raises StatementFailedError."""
        name = self._compiler.written_table(record.sql, self._compiler.defaults(record.database, record.schema))
        counts = self._catalog.committed(name, record.id) if name is not None else None
        return None if counts is None else self._result(record.id, counts)

    async def run(self, ticket: Ticket, head: Head, attempt: Attempt) -> tuple[ResultRecord, Statistics]:
        """Run one attempt to its commit. Raises StoppedError, StatementFailedError and what a dispatch raises."""
        for number in range(MOST_ROUNDS):
            if (result := await asyncio.to_thread(self.done, ticket.record)) is not None:
                return result, Statistics()
            query = await self._compiled(ticket.record)
            ticket.profile = None
            this = replace(attempt, round=number)
            try:
                counts, used = await self._round(ticket, head, this, query)
            except ConflictingChangeError as conflict:
                log.info("statement runs again", statement=attempt.statement_id, reason=str(conflict))
                continue
            finally:
                if (attempt.number, number) != (1, 0) and query.write is not None:
                    await asyncio.to_thread(self._discard_others, query.write, this)
            return self._result(attempt.statement_id, counts), used
        message = f"other statements changed its table {MOST_ROUNDS} times while it ran; run it again"
        raise StatementFailedError(StatementError.WRITE_CONFLICT, message)

    async def _compiled(self, record: StatementRecord) -> Query:
        """Return the statement compiled on the tables as they are now."""
        defaults = self._compiler.defaults(record.database, record.schema, record.asker)
        compiled = self._compiler.cached(record.sql, defaults)
        if compiled is None:
            compiled = await asyncio.to_thread(self._compiler.compile, record.sql, defaults)
        if not isinstance(compiled, Query):
            raise StatementFailedError(StatementError.WRITE_CONFLICT, "its table was made meanwhile; run it again")
        return await self._reads.filled(compiled, record)

    async def _round(self, ticket: Ticket, head: Head, attempt: Attempt, query: Query) -> tuple[Counts, Statistics]:
        write = query.write
        assert write is not None, "only statements that write come here"  # noqa: S101  for the type checker
        touched, used = Touched(write.candidates if write.find is None else (), 0, 0), Statistics()
        if write.find is not None:
            found = await self._asked(ticket, head, attempt, write.find)
            touched, used = read_touched(found.rows, write), found.statistics
            if not touched.files and not write.inserts:
                return counts_of(write, (), touched), used
            query = narrowed(query, write, touched)
        written = await self._asked(ticket, head, attempt, query)
        counts = counts_of(write, written.files, touched)
        change = Change(
            attempt.statement_id,
            counts,
            added=written.files,
            removed=None if write.action is Action.OVERWRITE else touched.uris,
        )
        return await self._committed(write, change), _sum(used, written.statistics)

    async def _asked(self, ticket: Ticket, head: Head, attempt: Attempt, query: Query) -> Written:
        """Run one query on the head."""
        rows = bytearray()
        async for frame in self._dispatcher.run(head, attempt, query):
            if frame.type is FrameType.ARROW:
                rows += frame.payload
                if len(rows) > MOST_FOUND_BYTES:
                    raise StatementFailedError(StatementError.UNSUPPORTED, "the statement changes too many files")
            elif frame.type is FrameType.PROGRESS:
                ticket.hear(frame.payload, datetime.now(UTC))
            elif frame.type is FrameType.FINISH:
                ticket.step("first_batch", datetime.now(UTC))
                finish = Finish.model_validate_json(frame.payload)
                ticket.ran(finish.profile)
                return Written(bytes(rows), finish.written, finish.statistics)
            elif frame.type is FrameType.FAILURE:
                raise StoppedError(Failure.model_validate_json(frame.payload))
        raise HeadLostError("the head's answer ended before its last frame")

    async def _committed(self, write: Write, change: Change) -> Counts:
        """Commit. Who stops the statement meanwhile comes too late: a commit is not left half way."""
        commit = asyncio.ensure_future(asyncio.to_thread(self._commit, write, change))
        try:
            return await asyncio.shield(commit)
        except asyncio.CancelledError:
            counts = await commit
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            return counts

    def _commit(self, write: Write, change: Change) -> Counts:
        if write.action is Action.UNLOAD:
            return change.counts
        if write.new is not None:
            self._catalog.create_as(write.table, write.new, change, replace=write.replace)
            return change.counts
        assert write.base is not None, "a table that is there has a state"  # noqa: S101  for the type checker
        is_load = write.action is Action.LOAD
        if not is_load and not change.added and change.removed is not None and not change.removed:
            return change.counts
        if write.action is Action.LOAD:
            place = f"{write.base.root}/loads/{change.statement_id}-{uuid.uuid4().hex[:8]}.json"
            noted = self._catalog.staging.note(write.base.loads, write.loaded, place, datetime.now(UTC))
            change = replace(change, properties={LOADS: noted})
        alone = write.action in (Action.MERGE, Action.LOAD)
        return self._catalog.change(write.table, write.base, change, alone=alone)

    def _result(self, statement_id: str, counts: Counts) -> ResultRecord:
        table = pa.table({name: [value] for name, value in counts.items()})
        return inline_result(statement_id, table, datetime.now(UTC) + self._keep_for)

    def _discard_others(self, write: Write, attempt: Attempt) -> None:
        """Delete what earlier attempts wrote and no commit names. What is not deleted is an orphan."""
        place, statement_id = write.target.location, attempt.statement_id
        try:
            if write.action is not Action.UNLOAD:
                committed = self._catalog.files_of_statement(write.table, statement_id)
                self._store.delete_below(f"{place}/{statement_id}", keep=committed)
            elif not write.target.single:
                own = own_name(attempt, write.action)
                self._store.delete_named(place, f"{statement_id}_", keep=own)
        except OSError as error:
            log.info("files of lost attempts not deleted", statement=statement_id, error=str(error))


def _sum(first: Statistics, second: Statistics) -> Statistics:
    return Statistics(**{name: value + getattr(second, name) for name, value in first})
