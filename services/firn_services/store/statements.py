"""Statements and their results in the store."""

import asyncio
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from firn_model.api import ErrorDetail, StepTime
from firn_model.messages import Statistics
from firn_model.profile import Profile
from firn_model.sizes import WarehouseSize
from firn_model.statements import StatementState
from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from firn_services.history.profiles import bounded
from firn_services.statements.record import ResultRecord, StatementRecord
from firn_services.store.tables import profiles, results, statements
from firn_services.store.writer import Writer

SOON_SECONDS = 0.05
_CHANGING = (
    "state", "cluster", "warehouse_size", "attempts", "started_at", "ended_at", "detail", "statistics", "steps"
)  # fmt: skip
_INSERT = insert(statements)
_INSERT_RESULT = insert(results)
_INSERT_PROFILE = insert(profiles)
_UPDATE = (
    update(statements).where(statements.c.id == bindparam("statement")).values({c: bindparam(c) for c in _CHANGING})
)
_OUTCOME = (
    select(statements, *results.c)
    .outerjoin(results, results.c.statement_id == statements.c.id)
    .where(statements.c.id == bindparam("statement"))
)


class DuplicateRequestError(Exception):
    """The user has used this request id before."""


class StatementStore:
    """Durable statements. What `accept`, `save` and `finish` were awaited for survives a crash at any later moment."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._soon: dict[str, StatementRecord] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def accept(self, record: StatementRecord, result: ResultRecord | None = None) -> None:
        """Make a new statement durable. Raises DuplicateRequestError when its request id was used before."""

        def operation(connection: Connection) -> None:
            connection.execute(_INSERT, _row(record))
            if result is not None:
                connection.execute(_INSERT_RESULT, _result_row(result))

        try:
            await self._writer.write(operation)
        except IntegrityError as error:
            raise DuplicateRequestError(record.request_id) from error

    def save_soon(self, record: StatementRecord) -> None:
        """Write a state that a crash may lose: losing `running` or a requeue leads back to the queue, as it should.

        It is written with the others of its while, and not at all when a later state is written before.
        """
        self._soon[record.id] = record
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON_SECONDS, self._save_now)

    def _save_now(self) -> None:
        self._timer = None
        if not self._soon:
            return
        rows = [_changes(record) for record in self._soon.values()]
        self._soon.clear()
        self._writer.submit(lambda connection: connection.execute(_UPDATE, rows))

    def close(self) -> None:
        """Leave what a crash may lose."""
        self._soon.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def finish(
        self, record: StatementRecord, result: ResultRecord | None, profile: Profile | None = None
    ) -> None:
        """Make a final state, its result and how it ran durable together."""
        text = bounded(profile) if profile is not None else None
        self._soon.pop(record.id, None)

        def operation(connection: Connection) -> None:
            connection.execute(_UPDATE, _changes(record))
            if result is not None:
                connection.execute(_INSERT_RESULT, _result_row(result))
            if text is not None:
                connection.execute(_INSERT_PROFILE, {"statement_id": record.id, "profile": text})

        await self._writer.write(operation)

    def profile(self, statement_id: str) -> Profile | None:
        """Return how a statement ran; None when that was not kept. Blocks."""
        query = select(profiles.c.profile).where(profiles.c.statement_id == statement_id)
        with self._reading() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else Profile.model_validate_json(text)

    def read(self, statement_id: str) -> StatementRecord | None:
        """Return a statement. Blocks."""
        found = self._all(select(statements).where(statements.c.id == statement_id))
        return found[0] if found else None

    def outcome(self, statement_id: str) -> tuple[StatementRecord, ResultRecord | None] | None:
        """Return a statement and where its result is. Blocks."""
        with self._reading() as connection:
            row = connection.execute(_OUTCOME, {"statement": statement_id}).one_or_none()
        if row is None:
            return None
        return _record(row), None if row.statement_id is None else _result(row)

    def by_request(self, user: str, request_id: str) -> StatementRecord | None:
        """Return the statement of a user's request id. Blocks."""
        query = select(statements).where(statements.c.user_name == user, statements.c.request_id == request_id)
        found = self._all(query)
        return found[0] if found else None

    def unfinished(self) -> list[StatementRecord]:
        """Return every queued or running statement by place. Blocks."""
        states = [StatementState.QUEUED.value, StatementState.RUNNING.value]
        return self._all(select(statements).where(statements.c.state.in_(states)).order_by(statements.c.place))

    def newest(
        self, warehouse: str | None, state: StatementState | None, limit: int, user: str | None = None
    ) -> list[StatementRecord]:
        """Return the newest statements first. Blocks."""
        query = select(statements).order_by(statements.c.place.desc()).limit(limit)
        if warehouse is not None:
            query = query.where(statements.c.warehouse == warehouse)
        if state is not None:
            query = query.where(statements.c.state == state.value)
        if user is not None:
            query = query.where(statements.c.user_name == user)
        return self._all(query)

    def history(
        self, warehouse: str | None, user: str | None, start: datetime | None, end: datetime | None, limit: int
    ) -> list[StatementRecord]:
        """Return the newest statements that ended within a time, without an end those that run still too. Blocks."""
        query, ended = select(statements).order_by(statements.c.place.desc()).limit(limit), statements.c.ended_at
        if warehouse is not None:
            query = query.where(statements.c.warehouse == warehouse)
        if user is not None:
            query = query.where(statements.c.user_name == user)
        if start is not None:
            query = query.where((ended >= start) | ended.is_(None))
        if end is not None:
            query = query.where(ended < end)
        return self._all(query)

    def last_place(self) -> int:
        """Return the highest place given so far; 0 before the first. Blocks."""
        with self._reading() as connection:
            return connection.execute(select(func.max(statements.c.place))).scalar() or 0

    def result(self, statement_id: str) -> ResultRecord | None:
        """Return where a result is. Blocks."""
        with self._reading() as connection:
            row = connection.execute(select(results).where(results.c.statement_id == statement_id)).one_or_none()
        return None if row is None else _result(row)

    def expired_results(self, now: datetime, limit: int = 1000) -> list[ResultRecord]:
        """Return results whose time is over. Blocks."""
        with self._reading() as connection:
            rows = connection.execute(select(results).where(results.c.expires_at <= now).limit(limit)).all()
        return [_result(row) for row in rows]

    async def forget_results(self, statement_ids: Iterable[str]) -> None:
        """Delete results."""
        ids = list(statement_ids)

        def operation(connection: Connection) -> None:
            connection.execute(delete(results).where(results.c.statement_id.in_(ids)))

        await self._writer.write(operation)

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reading=True)

    def _all(self, query: Any) -> list[StatementRecord]:
        with self._reading() as connection:
            return [_record(row) for row in connection.execute(query).all()]


def _row(record: StatementRecord) -> dict[str, Any]:
    """Return a whole row."""
    return {
        "id": record.id,
        "place": record.place,
        "request_id": record.request_id,
        "user_name": record.user,
        "sql_text": record.sql,
        "warehouse": record.warehouse,
        "warehouse_resource": record.warehouse_resource,
        "database_name": record.database,
        "schema_name": record.schema,
        "statement_timeout_seconds": record.statement_timeout_seconds,
        "queued_timeout_seconds": record.queued_timeout_seconds,
        "submitted_at": record.submitted_at,
        "last_statement_id": record.last_statement_id,
        **_course(record),
    }


def _changes(record: StatementRecord) -> dict[str, Any]:
    """Return the parameters of _UPDATE."""
    return {"statement": record.id, **_course(record)}


def _course(record: StatementRecord) -> dict[str, Any]:
    """Return the columns that change after a statement was accepted."""
    return {
        "state": record.state.value,
        "cluster": record.cluster,
        "warehouse_size": record.warehouse_size,
        "attempts": record.attempts,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "detail": record.detail.model_dump_json() if record.detail else None,
        "statistics": record.statistics.model_dump_json() if record.statistics else None,
        "steps": json.dumps([[step.step, step.at.isoformat()] for step in record.steps]),
    }


def _record(row: Row[Any]) -> StatementRecord:
    return StatementRecord(
        id=row.id,
        place=row.place,
        request_id=row.request_id,
        user=row.user_name,
        sql=row.sql_text,
        warehouse=row.warehouse,
        warehouse_resource=row.warehouse_resource,
        database=row.database_name,
        schema=row.schema_name,
        statement_timeout_seconds=row.statement_timeout_seconds,
        queued_timeout_seconds=row.queued_timeout_seconds,
        last_statement_id=row.last_statement_id,
        state=StatementState(row.state),
        cluster=row.cluster,
        warehouse_size=WarehouseSize(row.warehouse_size) if row.warehouse_size else None,
        attempts=row.attempts,
        submitted_at=row.submitted_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        detail=ErrorDetail.model_validate_json(row.detail) if row.detail else None,
        statistics=Statistics.model_validate_json(row.statistics) if row.statistics else None,
        steps=tuple(StepTime(step=step, at=datetime.fromisoformat(at)) for step, at in json.loads(row.steps)),
    )


def _result_row(result: ResultRecord) -> dict[str, Any]:
    return {
        "statement_id": result.statement_id,
        "row_count": result.rows,
        "size_bytes": result.size_bytes,
        "inline_bytes": result.inline,
        "object_key": result.key,
        "expires_at": result.expires_at,
    }


def _result(row: Row[Any]) -> ResultRecord:
    return ResultRecord(
        statement_id=row.statement_id,
        rows=row.row_count,
        size_bytes=row.size_bytes,
        inline=row.inline_bytes,
        key=row.object_key,
        expires_at=row.expires_at,
    )
