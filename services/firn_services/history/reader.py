"""Answers queries over history: fetches what their calls ask for, and runs them here, within bounds.

Every user who may log in sees the whole account's history, as in `firn statement list`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext
from firn_model.credits import to_credits
from firn_model.statements import StatementError, StatementState

from firn_services.decide.acceleration import Estimate, Status
from firn_services.decide.events import Happened
from firn_services.decide.load_history import COARSE, FINE
from firn_services.decide.usage import HOUR, Used
from firn_services.errors import StatementFailedError
from firn_services.history.events import EventHistory
from firn_services.history.load import LoadHistory
from firn_services.sql.check import explain
from firn_services.sql.commands import HistoryCall, HistoryFunction, ReadHistory, StoredResult
from firn_services.sql.history import COLUMNS, TIME
from firn_services.statements.acceleration import REMEMBERED, Acceleration
from firn_services.statements.record import StatementRecord
from firn_services.statements.stored import StoredResults
from firn_services.store.statements import StatementStore
from firn_services.warehouses.account import Account

SECONDS = 10.0
"""How long a query over history may run: the services have other things to do."""
MEMORY_BYTES = 64 << 20
MOST_ROWS = 100_000
DEFAULT_LIMIT, MOST_LIMIT = 100, 10_000
"""RESULT_LIMIT of Snowflake's QUERY_HISTORY."""
BY_DEFAULT = timedelta(minutes=10)
FINE_UNTIL = timedelta(hours=1)
"""The fine grain of the load is kept for so long; for Snowflake's eight hours it would cost 5,760 rows a warehouse."""
_STATES = {
    StatementState.QUEUED: "QUEUED",
    StatementState.RUNNING: "RUNNING",
    StatementState.SUCCEEDED: "SUCCESS",
    StatementState.FAILED: "FAILED_WITH_ERROR",
    StatementState.CANCELLED: "FAILED_WITH_ERROR",
}
Given = Mapping[str, Any]
Rows = list[dict[str, Any]]


class HistoryReader:
    """Runs queries over history."""

    def __init__(
        self,
        store: StatementStore,
        account: Account,
        load: LoadHistory,
        events: EventHistory,
        acceleration: Acceleration,
        results: StoredResults,
    ) -> None:
        self._store = store
        self._account = account
        self._load = load
        self._events = events
        self._estimates = acceleration
        self._results = results
        self._fetch: dict[HistoryFunction, Callable[[Given, str, datetime], Awaitable[Rows]]] = {
            HistoryFunction.STATEMENTS: self._statements,
            HistoryFunction.STATEMENTS_OF_USER: self._statements_of_user,
            HistoryFunction.STATEMENTS_OF_WAREHOUSE: self._statements,
            HistoryFunction.LOAD: self._loads,
            HistoryFunction.METERING: self._metering,
            HistoryFunction.ACCELERATION: self._acceleration,
            HistoryFunction.EVENTS: self._happened,
            HistoryFunction.ELIGIBLE: self._eligible,
        }

    async def answer(self, command: ReadHistory, user: str, now: datetime) -> pa.Table:
        """Return the result. Raises StatementFailedError."""
        context = _bounded()
        try:
            async with asyncio.timeout(SECONDS):
                for read in command.reads:
                    rows = await self.rows(read, user, now)
                    batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
                    context.register_record_batches(read.table, [batches])
                return await _run(context, command.sql)
        except TimeoutError as error:
            message = f"a query over history may take {SECONDS:.0f} s; ask for less of it"
            raise StatementFailedError(StatementError.STATEMENT_TIMEOUT, message) from error

    async def rows(self, read: HistoryCall | StoredResult, user: str, now: datetime) -> pa.Table:
        """Return what a call, or an earlier statement, gives. Raises StatementFailedError."""
        if isinstance(read, StoredResult):
            return await asyncio.to_thread(self._results.rows, read.statement_id, user)
        given = await asyncio.to_thread(_values, _bounded(), read)
        rows = await self._fetch[read.function](given, user, now)
        return pa.Table.from_pylist(rows, schema=COLUMNS[read.function])

    async def _statements(self, given: Given, user: str, now: datetime) -> Rows:
        del user, now
        return await self._newest(given, given.get("WAREHOUSE_NAME"), None)

    async def _statements_of_user(self, given: Given, user: str, now: datetime) -> Rows:
        del now
        return await self._newest(given, None, given.get("USER_NAME") or user)

    async def _newest(self, given: Given, warehouse: str | None, user: str | None) -> Rows:
        limit = given.get("RESULT_LIMIT", DEFAULT_LIMIT)
        if not 1 <= limit <= MOST_LIMIT:
            message = f"RESULT_LIMIT must be from 1 to {MOST_LIMIT}, not {limit}"
            raise StatementFailedError(StatementError.TYPE, message)
        if warehouse is not None:
            warehouse = self._named(warehouse)
        start, end = given.get("END_TIME_RANGE_START"), given.get("END_TIME_RANGE_END")
        found = await asyncio.to_thread(self._store.history, warehouse, user, start, end, limit)
        return [_statement(record) for record in found]

    async def _loads(self, given: Given, user: str, now: datetime) -> Rows:
        del user
        start, end = _span(given, now)
        length = FINE if now - start <= FINE_UNTIL else COARSE
        rows: Rows = []
        for resource, name in self._warehouses(given):
            for one in await self._load.intervals(resource, start, end, length):
                rows.append(
                    {
                        "start_time": one.start,
                        "end_time": one.start + length,
                        "warehouse_name": name,
                        "avg_running": one.running,
                        "avg_queued_load": one.queued_load,
                        "avg_queued_provisioning": one.queued_provisioning,
                        "avg_blocked": one.blocked,
                    }
                )
        return rows

    async def _metering(self, given: Given, user: str, now: datetime) -> Rows:
        del user
        used = await self._used(given, now)
        compute = [(span, to_credits(one.compute)) for span, one in used]
        return [
            {**span, "credits_used": c, "credits_used_compute": c, "credits_used_cloud_services": 0}
            for span, c in compute
        ]

    async def _acceleration(self, given: Given, user: str, now: datetime) -> Rows:
        del user
        used = await self._used(given, now)
        return [{**span, "credits_used": to_credits(one.burst)} for span, one in used if one.burst]

    async def _eligible(self, given: Given, user: str, now: datetime) -> Rows:
        del user
        found = await asyncio.to_thread(self._store.history, None, None, now - REMEMBERED, None, given["RESULT_LIMIT"])
        estimates = [(record, self._estimates.of(record, now)) for record in found]
        return [_gain(record, estimate) for record, estimate in estimates if estimate.status is Status.ELIGIBLE]

    async def _used(self, given: Given, now: datetime) -> list[tuple[dict[str, Any], Used]]:
        start, end = _span(given, now)
        used = await self._account.metering.usage(start, end)
        wanted = given.get("WAREHOUSE_NAME")
        return [
            ({"start_time": one.hour, "end_time": one.hour + HOUR, "warehouse_name": one.warehouse}, one)
            for one in used
            if _matches(wanted, one.warehouse)
        ]

    async def _happened(self, given: Given, user: str, now: datetime) -> Rows:
        del user
        start, end = _span(given, now)
        found = await self._events.newest(None, start, end, MOST_LIMIT)
        return [_event(one) for one in found if _matches(given.get("WAREHOUSE_NAME"), one.warehouse)]

    def _warehouses(self, given: Given) -> list[tuple[str, str]]:
        """Return metadata.name and SQL name of the warehouses that are asked for."""
        wanted = given.get("WAREHOUSE_NAME")
        return [(w.resource, w.name) for w in self._account.warehouses() if _matches(wanted, w.name)]

    def _named(self, name: str) -> str:
        """Return the name of a warehouse as it is stored; one that is gone has what it is called."""
        return next((n for _, n in self._warehouses({"WAREHOUSE_NAME": name})), name)


def _matches(wanted: str | None, name: str) -> bool:
    return wanted is None or wanted.upper() == name.upper()


def _bounded() -> SessionContext:
    """Return an engine that takes so much memory and no disk."""
    runtime = RuntimeEnvBuilder().with_greedy_memory_pool(MEMORY_BYTES).with_disk_manager_disabled()
    return SessionContext(SessionConfig().with_target_partitions(1), runtime)


def _values(context: SessionContext, call: HistoryCall) -> dict[str, Any]:
    """Return what a call's arguments are; NULL is none. Blocks."""
    found: dict[str, Any] = {}
    for name, sql in call.arguments:
        try:
            (column,) = context.sql(f"SELECT {sql} AS v").to_arrow_table().columns
        except Exception as error:
            if type(error) not in (Exception, ValueError, RuntimeError):
                raise
            message = f"{name} of {call.function.value}: {explain(str(error), '').message}"
            raise StatementFailedError(StatementError.TYPE, message) from error
        value = column.cast(TIME, safe=False)[0].as_py() if pa.types.is_timestamp(column.type) else column[0].as_py()
        if value is not None:
            found[name] = value
    return found


async def _run(context: SessionContext, sql: str) -> pa.Table:
    """Run a query; it ends with its task, whatever it does. Raises StatementFailedError."""
    batches: list[pa.RecordBatch] = []
    rows = 0
    try:
        frame = await asyncio.to_thread(context.sql, sql)
        async for batch in frame.execute_stream():
            batches.append(batch.to_pyarrow())
            rows += batches[-1].num_rows
            if rows > MOST_ROWS:
                break
    except Exception as error:
        if type(error) not in (Exception, ValueError, RuntimeError):
            raise
        raise explain(str(error), "") from error
    if rows > MOST_ROWS:
        message = f"a query over history may have {MOST_ROWS} rows; ask for less of it"
        raise StatementFailedError(StatementError.UNSUPPORTED, message)
    return pa.Table.from_batches(batches, frame.schema())


def _span(given: Given, now: datetime) -> tuple[datetime, datetime]:
    """Return the span of a range, of the last ten minutes by default. Raises StatementFailedError."""
    end = min(given.get("DATE_RANGE_END", now), now)
    start = given.get("DATE_RANGE_START", end - BY_DEFAULT)
    if start >= end:
        raise StatementFailedError(
            StatementError.TYPE, "DATE_RANGE_START must be before DATE_RANGE_END and in the past"
        )
    return start, end


def _statement(record: StatementRecord) -> dict[str, Any]:
    used, detail = record.statistics, record.detail
    word = re.match(r"[\s(]*(\w+)", re.sub(r"--[^\n]*|/\*.*?\*/", "", record.sql, flags=re.DOTALL))
    kind = word[1].upper() if word else ""
    return {
        "query_id": record.id,
        "query_text": record.sql,
        "database_name": record.database,
        "schema_name": record.schema,
        "query_type": "SELECT" if kind == "WITH" else kind,
        "user_name": record.user,
        "warehouse_name": record.warehouse,
        "warehouse_size": record.warehouse_size,
        "cluster_number": int(record.cluster.rpartition("-")[2]) if record.cluster else None,
        "execution_status": _STATES[record.state],
        "error_code": detail.error if detail else None,
        "error_message": detail.message if detail else None,
        "start_time": record.submitted_at,
        "end_time": record.ended_at,
        "total_elapsed_time": _milliseconds(record.submitted_at, record.ended_at),
        "bytes_scanned": used.bytes_scanned if used else 0,
        "percentage_scanned_from_cache": used.bytes_from_cache / max(used.bytes_scanned, 1) if used else 0.0,
        "bytes_written": used.bytes_written if used else 0,
        "rows_produced": used.rows_produced if used else 0,
        "execution_time": _milliseconds(record.started_at, record.ended_at),
        "queued_time": _milliseconds(record.submitted_at, record.started_at),
        "bytes_spilled_to_local_storage": used.bytes_spilled_local if used else 0,
        "bytes_spilled_to_remote_storage": used.bytes_spilled_remote if used else 0,
        "query_acceleration_nodes": used.burst_nodes if used else 0,
    }


def _gain(record: StatementRecord, estimate: Estimate) -> dict[str, Any]:
    return {
        "query_id": record.id,
        "query_text": record.sql,
        "start_time": record.submitted_at,
        "end_time": record.ended_at,
        "warehouse_name": record.warehouse,
        "warehouse_size": record.warehouse_size,
        "eligible_query_acceleration_time": estimate.scan_seconds,
        "upper_limit_scale_factor": estimate.upper_limit,
    }


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start) / timedelta(milliseconds=1))


def _event(one: Happened) -> dict[str, Any]:
    return {
        "timestamp": one.at,
        "warehouse_name": one.warehouse,
        "cluster_number": one.cluster_number,
        "event_name": one.event.value,
        "event_reason": one.reason,
        "event_state": one.state.value,
        "size": one.size,
        "cluster_count": one.cluster_count,
    }
