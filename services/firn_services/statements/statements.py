"""The life of statements: submit, wait, read, cancel; and taking them up again after a restart."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import structlog
from firn_model.api import INLINE_ROWS, ErrorDetail, ProfileReply, ResultPage, StatementReply, SubmitRequest
from firn_model.statements import StatementError, StatementState

from firn_services import metrics
from firn_services.errors import (
    AS_STATEMENT_ERROR,
    ConflictError,
    NotFoundError,
    ServicesError,
    StatementFailedError,
    UnavailableError,
    as_statement_error,
)
from firn_services.objects import ObjectStore, translated
from firn_services.sql.commands import Command
from firn_services.sql.compile import Compiled, Compiler, Explain
from firn_services.sql.fingerprint import fingerprint
from firn_services.sql.query import Query
from firn_services.sql.resolve import Defaults
from firn_services.statements.answer import Answerer
from firn_services.statements.record import ResultRecord, StatementRecord
from firn_services.statements.results import inline_result, page
from firn_services.statements.ticket import Ticket
from firn_services.statements.writing import Writes
from firn_services.store.statements import DuplicateRequestError, StatementStore
from firn_services.warehouses.account import Account
from firn_services.warehouses.experience import Experience

log = structlog.get_logger()
RETRY_SECONDS = 1.0
START_SECONDS = 30


class Statements:
    """Every statement of the account."""

    def __init__(
        self,
        store: StatementStore,
        objects: ObjectStore,
        compiler: Compiler,
        account: Account,
        answerer: Answerer,
        writes: Writes,
        experience: Experience,
        keep_results_for: timedelta,
    ) -> None:
        self._store = store
        self._objects = objects
        self._compiler = compiler
        self._account = account
        self._answerer = answerer
        self._writes = writes
        self._experience = experience
        self._keep_results_for = keep_results_for
        self._tickets: dict[str, Ticket] = {}
        self._submitting: dict[tuple[str, str], asyncio.Lock] = {}
        self._recovered = asyncio.Event()
        self._place = 0

    async def recover(self) -> None:
        """Put every unfinished statement back into its place: what ran is run again."""
        self._place = await asyncio.to_thread(self._store.last_place)
        for record in await asyncio.to_thread(self._store.unfinished):
            if record.state is StatementState.RUNNING:
                record = record.requeued()
            await self._take_up_or_fail(record)
        self._recovered.set()

    async def _take_up_or_fail(self, record: StatementRecord) -> None:
        while True:
            try:
                await self._take_up(record)
            except StatementFailedError as error:
                if error.error is StatementError.OBJECT_STORE_UNREACHABLE:
                    log.warning("statement not taken up yet", statement=record.id, error=error.message)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                await self._store.finish(record.failed(error.detail(), datetime.now(UTC)), None)
            return

    async def _take_up(self, record: StatementRecord) -> None:
        if (result := await asyncio.to_thread(self._writes.done, record)) is not None:
            now = datetime.now(UTC)
            await self._store.finish(record.answered(record.started_at or now, now), result)
            return
        compiled = await asyncio.to_thread(
            self._compile_whole, record.sql, self._compiler.defaults(record.database, record.schema, record.asker)
        )
        if not isinstance(compiled, Query) or record.warehouse_resource is None:
            raise StatementFailedError(StatementError.INTERNAL, "the services stopped while they ran it; run it again")
        self._enqueue(record, compiled)

    async def submit(self, request: SubmitRequest, user: str) -> StatementReply:
        """Take a statement, durably, and return it when it is final or after the wait. Raises ServicesError."""
        await self._until_recovered()
        if request.request_id is None:
            return await self._submit(request, user)
        key = (user, request.request_id)
        lock = self._submitting.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                known = await asyncio.to_thread(self._store.by_request, user, request.request_id)
                if known is None:
                    statement = await self._accept(request, user)
                else:
                    if known.sql != request.sql:
                        raise ConflictError(f"request id {request.request_id} was used for another statement")
                    statement = known.id
        finally:
            if not lock.locked():
                self._submitting.pop(key, None)
        return await self._reply_after(statement, request.wait_seconds)

    async def _until_recovered(self) -> None:
        """Wait until what an earlier process left is back in its place. Raises UnavailableError."""
        if self._recovered.is_set():
            return
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._recovered.wait()
        except TimeoutError as error:
            raise UnavailableError("the services are still starting; /readyz says what is missing") from error

    async def _submit(self, request: SubmitRequest, user: str) -> StatementReply:
        return await self._reply_after(await self._accept(request, user), request.wait_seconds)

    async def _accept(self, request: SubmitRequest, user: str) -> str:
        """Compile, make it durable, and queue it or answer it. Return its id."""
        record = self._new_record(request, user)
        try:
            compiled = await self._compile(record)
            if not isinstance(compiled, Query):
                return await self._answer(record, compiled)
            record = self._for_warehouse(record, request.warehouse)
        except ServicesError as error:
            return await self._accept_failed(record, error)
        record = record.step("accepted", datetime.now(UTC))
        await self._accept_durably(record, None)
        self._enqueue(record, compiled)
        return record.id

    def _new_record(self, request: SubmitRequest, user: str) -> StatementRecord:
        self._place += 1
        return StatementRecord(
            id=str(uuid.uuid4()),
            place=self._place,
            user=user,
            sql=request.sql,
            state=StatementState.QUEUED,
            submitted_at=datetime.now(UTC),
            request_id=request.request_id,
            warehouse=self._account.spelled(request.warehouse),
            database=request.database,
            schema=request.schema_name,
            statement_timeout_seconds=request.statement_timeout_seconds,
            queued_timeout_seconds=request.statement_queued_timeout_seconds,
            last_statement_id=request.last_statement_id,
        )

    async def _compile(self, record: StatementRecord) -> Compiled:
        defaults = self._compiler.defaults(record.database, record.schema, record.asker)
        started = time.perf_counter()
        compiled = self._compiler.cached(record.sql, defaults)
        if compiled is None:
            compiled = await asyncio.to_thread(self._compile_whole, record.sql, defaults)
        metrics.COMPILE_SECONDS.observe(time.perf_counter() - started)
        return compiled

    def _compile_whole(self, sql: str, defaults: Defaults) -> Compiled:
        """Compile, and take a query's fingerprint, which is remembered. Blocks."""
        compiled = self._compiler.compile(sql, defaults)
        if isinstance(compiled, Query):
            fingerprint(compiled.sql)
        return compiled

    def _for_warehouse(self, record: StatementRecord, name: str | None) -> StatementRecord:
        """Return the record bound to its warehouse. Raises StatementFailedError when none can run it."""
        if name is None:
            raise StatementFailedError(
                StatementError.UNKNOWN_WAREHOUSE, "this statement needs a warehouse: name one, or USE WAREHOUSE first"
            )
        warehouse = self._account.find(name)
        if (error := self._account.queue(warehouse.resource).refusal()) is not None:
            raise error
        return record.on_warehouse(warehouse.name, warehouse.resource)

    async def _answer(self, record: StatementRecord, command: Command | Explain) -> str:
        started = datetime.now(UTC)
        table = await self._answerer.answer(command, record)
        now = datetime.now(UTC)
        result = inline_result(record.id, table, now + self._keep_results_for)
        await self._accept_durably(record.answered(started, now), result)
        return record.id

    async def _accept_failed(self, record: StatementRecord, error: ServicesError) -> str:
        detail = (as_statement_error(error) if error.code in AS_STATEMENT_ERROR else error).detail()
        await self._accept_durably(record.failed(detail, datetime.now(UTC)), None)
        return record.id

    async def _accept_durably(self, record: StatementRecord, result: ResultRecord | None) -> None:
        try:
            await self._store.accept(record, result)
        except DuplicateRequestError as error:
            raise ConflictError(f"request id {record.request_id} is in use") from error

    def _enqueue(self, record: StatementRecord, query: Query) -> None:
        shape = fingerprint(query.sql)
        ticket = Ticket(record, query, shape, self._experience.estimate(shape, query.scan_bytes), self._forget)
        self._tickets[record.id] = ticket
        self._account.queue(record.warehouse_resource or "").add(ticket)

    def _forget(self, statement_id: str) -> None:
        self._tickets.pop(statement_id, None)

    async def get(self, statement_id: str, wait_seconds: float) -> StatementReply:
        """Return a statement when it is final or after the wait. Raises NotFoundError."""
        return await self._reply_after(statement_id, wait_seconds)

    async def _reply_after(self, statement_id: str, wait_seconds: float) -> StatementReply:
        ticket = self._tickets.get(statement_id)
        if ticket is None:
            return await self._stored_reply(statement_id)
        if wait_seconds > 0 and not ticket.done.is_set():
            try:
                async with asyncio.timeout(wait_seconds):
                    await ticket.done.wait()
            except TimeoutError:
                return self._reply(ticket.record, None)
        if not ticket.done.is_set():
            return self._reply(ticket.record, None)
        return self._reply(ticket.record, await self._first_page(ticket.result))

    async def _stored_reply(self, statement_id: str) -> StatementReply:
        found = await asyncio.to_thread(self._store.outcome, statement_id)
        if found is None:
            raise NotFoundError(f"statement {statement_id} does not exist")
        record, result = found
        return self._reply(record, await self._first_page(result))

    async def _first_page(self, result: ResultRecord | None) -> ResultPage | None:
        if result is None:
            return None
        if result.inline is not None:
            return page(self._objects, result, 0, INLINE_ROWS)
        try:
            return await asyncio.to_thread(self.page, result, 0, INLINE_ROWS)
        except StatementFailedError as error:
            log.warning("first rows not read", statement=result.statement_id, error=error.message)
            return None

    def page(self, result: ResultRecord, offset: int, limit: int) -> ResultPage:
        """Return rows of a result. Blocks. Raises StatementFailedError when the object store does not give them."""
        return translated("the result", lambda: page(self._objects, result, offset, limit))

    def _reply(self, record: StatementRecord, rows: ResultPage | None) -> StatementReply:
        if record.state is StatementState.QUEUED and record.warehouse_resource is not None:
            return record.reply(waiting_for=self._account.queue(record.warehouse_resource).waiting_for(record.id))
        if record.state is StatementState.RUNNING and (ticket := self._tickets.get(record.id)) is not None:
            return record.reply(progress=ticket.progress.reply() if ticket.progress else None)
        return record.reply(rows)

    async def record(self, statement_id: str) -> StatementRecord:
        """Return a statement's record. Raises NotFoundError."""
        if (ticket := self._tickets.get(statement_id)) is not None:
            return ticket.record
        record = await asyncio.to_thread(self._store.read, statement_id)
        if record is None:
            raise NotFoundError(f"statement {statement_id} does not exist")
        return record

    async def result(self, statement_id: str) -> ResultRecord:
        """Return where a statement's result is. Raises NotFoundError, ConflictError, StatementFailedError."""
        record = await self.record(statement_id)
        if not record.state.is_final:
            raise ConflictError(f"statement {statement_id} is {record.state.value}: it has no result yet")
        if record.detail is not None:
            raise _failure(record.detail)
        result = await asyncio.to_thread(self._store.result, statement_id)
        if result is None:
            raise NotFoundError(f"the result of statement {statement_id} has expired; run it again")
        return result

    async def profile(self, statement_id: str) -> ProfileReply:
        """Return how a statement ran. Raises NotFoundError when that is not known, ConflictError while it runs."""
        record = await self.record(statement_id)
        if not record.state.is_final:
            raise ConflictError(f"statement {statement_id} is {record.state.value}: its profile comes with its end")
        profile = await asyncio.to_thread(self._store.profile, statement_id)
        if profile is None:
            why = "the services answered it" if record.cluster is None else "it ended before its warehouse told"
            raise NotFoundError(f"statement {statement_id} has no profile: {why}")
        return ProfileReply.model_construct(statement=self._reply(record, None), profile=profile)

    async def newest(self, warehouse: str | None, state: StatementState | None, limit: int) -> list[StatementReply]:
        """Return the newest statements first, without rows."""
        records = await asyncio.to_thread(self._store.newest, warehouse, state, limit)
        fresh = (self._tickets[r.id].record if r.id in self._tickets else r for r in records)
        return [self._reply(record, None) for record in fresh]

    async def cancel(self, statement_id: str) -> StatementReply:
        """Cancel a statement and return it; one that is final stays as it is. Raises NotFoundError."""
        ticket = self._tickets.get(statement_id)
        if ticket is not None:
            error = StatementFailedError(StatementError.CANCELLED, "the statement was cancelled")
            self._account.queue(ticket.record.warehouse_resource or "").stop(statement_id, error)
            try:
                async with asyncio.timeout(10):
                    await ticket.done.wait()
            except TimeoutError as late:
                raise UnavailableError(f"statement {statement_id} has not stopped yet; ask again") from late
        return await self._reply_after(statement_id, 0)

    async def expire_results(self) -> None:
        """Delete the results whose time is over."""
        expired = await asyncio.to_thread(self._store.expired_results, datetime.now(UTC))
        for result in expired:
            if result.key is not None:
                try:
                    await asyncio.to_thread(self._objects.delete, result.key)
                except (OSError, pa.ArrowException) as error:
                    log.warning("expired result not deleted", statement=result.statement_id, error=str(error))
        if expired:
            await self._store.forget_results(result.statement_id for result in expired)

    def close(self) -> None:
        """Write nothing more on its own account. What waits stays in the store."""
        self._store.close()


def _failure(detail: ErrorDetail) -> StatementFailedError:
    known = {e.value for e in StatementError}
    kind = StatementError(detail.error) if detail.error in known else StatementError.INTERNAL
    return StatementFailedError(kind, detail.message, line=detail.line, column=detail.column)
