"""Events of warehouses in the store: each once, for a year."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from firn_services.decide.events import KEEP, Event, EventState, Happened
from firn_services.store.tables import warehouse_events as table
from firn_services.store.writer import Writer


class EventStore:
    """Durable events."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    async def add(self, events: Sequence[Happened], now: datetime) -> None:
        """Store events; those that are stored already stay as they are, and those of more than a year ago go."""
        rows = [_row(one) for one in events]

        def operation(connection: Connection) -> None:
            insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            connection.execute(insert(table).on_conflict_do_nothing(index_elements=["id"]), rows)
            connection.execute(delete(table).where(table.c.at < now - KEEP))

        await self._writer.write(operation)

    def newest(self, resource: str | None, start: datetime, end: datetime, limit: int) -> list[Happened]:
        """Return a warehouse's events between two times, or those of all, the newest first. Blocks."""
        query = (
            select(table)
            .where(table.c.at >= start, table.c.at < end)
            .order_by(table.c.at.desc(), table.c.state, table.c.event)
            .limit(limit)
        )
        if resource is not None:
            query = query.where(table.c.warehouse_resource == resource)
        with self._engine.connect().execution_options(reading=True) as connection:
            rows = connection.execute(query).all()
        return [_happened(row) for row in rows]

    def last(self) -> dict[str, Happened]:
        """Return the newest event of each warehouse, by metadata.name. Blocks."""
        newest = select(table.c.warehouse_resource, func.max(table.c.at).label("at")).group_by(
            table.c.warehouse_resource
        )
        times = newest.subquery()
        same = (table.c.warehouse_resource == times.c.warehouse_resource) & (table.c.at == times.c.at)
        with self._engine.connect().execution_options(reading=True) as connection:
            rows = connection.execute(select(table).join(times, same)).all()
        return {row.warehouse_resource: _happened(row) for row in rows}


def _happened(row: Row[Any]) -> Happened:
    return Happened(
        id=row.id,
        at=row.at,
        resource=row.warehouse_resource,
        warehouse=row.warehouse,
        event=Event(row.event),
        state=EventState(row.state),
        reason=row.reason,
        size=row.size,
        cluster_count=row.cluster_count,
        cluster_number=row.cluster_number,
    )


def _row(one: Happened) -> dict[str, object]:
    return {
        "id": one.id,
        "at": one.at,
        "warehouse_resource": one.resource,
        "warehouse": one.warehouse,
        "cluster_number": one.cluster_number,
        "event": one.event.value,
        "reason": one.reason,
        "state": one.state.value,
        "size": one.size,
        "cluster_count": one.cluster_count,
    }
