"""Sealed intervals of metering in the store: each once, for good."""

from collections.abc import Sequence
from datetime import datetime

from firn_model.clusters import MeterInterval
from sqlalchemy import Connection, Engine, insert, select

from firn_services.decide.usage import Metered
from firn_services.store.tables import meter_intervals as table
from firn_services.store.writer import Writer


class MeterStore:
    """Durable metering."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    async def save(self, cluster_uid: str, metered: Sequence[Metered]) -> None:
        """Make a cluster's sealed intervals durable; those that are stored already stay as they are."""

        def operation(connection: Connection) -> None:
            known = set(
                connection.execute(select(table.c.interval_id).where(table.c.cluster_uid == cluster_uid)).scalars()
            )
            rows = [_row(one) for one in metered if one.interval.id not in known]
            if rows:
                connection.execute(insert(table), rows)

        await self._writer.write(operation)

    def between(self, start: datetime, end: datetime) -> list[Metered]:
        """Return the intervals that have a part between two times. Blocks."""
        query = select(table).where(table.c.ended_at > start, table.c.started_at < end)
        with self._engine.connect().execution_options(reading=True) as connection:
            rows = connection.execute(query).all()
        return [
            Metered(
                row.cluster_uid,
                row.cluster,
                row.warehouse,
                row.warehouse_resource,
                MeterInterval(
                    id=row.interval_id,
                    size=row.size,
                    type=row.type,
                    burst_nodes=row.burst_nodes,
                    started_at=row.started_at,
                    ended_at=row.ended_at,
                ),
            )
            for row in rows
        ]


def _row(one: Metered) -> dict[str, object]:
    interval = one.interval
    return {
        "cluster_uid": one.cluster_uid,
        "interval_id": interval.id,
        "cluster": one.cluster,
        "warehouse": one.warehouse,
        "warehouse_resource": one.resource,
        "size": interval.size.value,
        "type": interval.type.value,
        "burst_nodes": interval.burst_nodes,
        "started_at": interval.started_at,
        "ended_at": interval.ended_at,
    }
