"""The load of warehouses in the store: sums by slot, of two grains, added to as they come."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from firn_services.decide.load_history import COARSE, FINE, KEEP, ClusterSums, Slot, Slots, Sums, coarser
from firn_services.store.tables import cluster_load_history, load_history
from firn_services.store.writer import Writer

Named = tuple[str, str]
"""A warehouse's metadata.name and its SQL name."""


class LoadStore:
    """Durable load."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    async def add(self, counted: Mapping[Named, Slots], now: datetime) -> None:
        """Add what was counted to both grains and drop what is too old, in one transaction."""
        rows, cluster_rows = [], []
        for named, fine in counted.items():
            for grain, slots in ((FINE, fine), (COARSE, coarser(fine, COARSE))):
                for start, slot in slots.items():
                    rows.append(_row(named, grain, start, slot.sums))
                    cluster_rows.extend(_cluster_rows(named, grain, start, slot))

        def operation(connection: Connection) -> None:
            _add(connection, load_history, rows)
            _add(connection, cluster_load_history, cluster_rows)
            for table in (load_history, cluster_load_history):
                for grain, keep in KEEP.items():
                    old = (table.c.grain_seconds == _seconds(grain)) & (table.c.started_at < now - keep)
                    connection.execute(delete(table).where(old))

        await self._writer.write(operation)

    def slots(self, resource: str, grain: timedelta, start: datetime, end: datetime) -> Slots:
        """Return a warehouse's slots of a grain that begin between two times. Blocks."""
        found: Slots = {}
        with self._engine.connect().execution_options(reading=True) as connection:
            for row in connection.execute(_between(load_history, resource, grain, start, end)):
                found.setdefault(row.started_at, Slot()).sums.add(
                    Sums(
                        row.running_seconds,
                        row.queued_load_seconds,
                        row.queued_provisioning_seconds,
                        row.blocked_seconds,
                    )
                )
            for row in connection.execute(_between(cluster_load_history, resource, grain, start, end)):
                clusters = found.setdefault(row.started_at, Slot()).clusters
                clusters[row.cluster] = ClusterSums(
                    row.cluster_number, row.up_seconds, row.running_seconds, row.busy_seconds
                )
        return found


def _between(table: Table, resource: str, grain: timedelta, start: datetime, end: datetime) -> Any:
    return select(table).where(
        table.c.warehouse_resource == resource,
        table.c.grain_seconds == _seconds(grain),
        table.c.started_at >= start,
        table.c.started_at < end,
    )


def _add(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    """Insert rows; what is there already grows by them."""
    if not rows:
        return
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    sums = {
        c.name: c + statement.excluded[c.name]
        for c in table.columns
        if c.name.endswith("_seconds") and not c.primary_key
    }
    keys = [c.name for c in table.primary_key.columns]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=sums), rows)


def _row(named: Named, grain: timedelta, start: datetime, sums: Sums) -> dict[str, object]:
    return {
        "warehouse_resource": named[0],
        "warehouse": named[1],
        "grain_seconds": _seconds(grain),
        "started_at": start,
        "running_seconds": sums.running,
        "queued_load_seconds": sums.queued_load,
        "queued_provisioning_seconds": sums.queued_provisioning,
        "blocked_seconds": sums.blocked,
    }


def _cluster_rows(named: Named, grain: timedelta, start: datetime, slot: Slot) -> list[dict[str, object]]:
    return [
        {
            "warehouse_resource": named[0],
            "cluster": name,
            "cluster_number": sums.number,
            "grain_seconds": _seconds(grain),
            "started_at": start,
            "up_seconds": sums.up,
            "running_seconds": sums.running,
            "busy_seconds": sums.busy,
        }
        for name, sums in slot.clusters.items()
    ]


def _seconds(grain: timedelta) -> int:
    return int(grain.total_seconds())
