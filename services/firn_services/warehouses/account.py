"""The account's warehouses: one queue for each, fed by the watches."""

import asyncio
import difflib
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from firn_model.statements import StatementError
from firn_model.warehouses import WarehouseSpec, sql_name
from pydantic import ValidationError

from firn_services import metrics
from firn_services.decide.load import Load
from firn_services.errors import StatementFailedError
from firn_services.history.events import EventHistory
from firn_services.history.metering import Metering
from firn_services.kube.api import Raw
from firn_services.kube.clusters import ClusterWriter
from firn_services.kube.warehouses import WarehouseWriter
from firn_services.store.metering import MeterStore
from firn_services.warehouses.observed import ObservedCluster, ObservedWarehouse
from firn_services.warehouses.parts import Parts
from firn_services.warehouses.queue import WarehouseQueue
from firn_services.warehouses.reporter import LoadReporter

log = structlog.get_logger()


class Account:
    """Finds a statement's warehouse, and tells each queue what the watches see."""

    def __init__(
        self,
        parts: Parts,
        writer: WarehouseWriter,
        meters: MeterStore,
        clusters: ClusterWriter,
        events: EventHistory,
    ) -> None:
        self._parts = parts
        self._events = events
        self._writer = writer
        self.metering = Metering(meters, clusters, self.sql_name)
        self._queues: dict[str, WarehouseQueue] = {}
        self._warehouse_of_cluster: dict[str, str] = {}

    def queue(self, resource: str) -> WarehouseQueue:
        """Return the queue of a warehouse, by metadata.name."""
        if resource not in self._queues:
            self._queues[resource] = WarehouseQueue(self._parts, resource, self._reporter(resource))
        return self._queues[resource]

    def _reporter(self, resource: str) -> Callable[[Callable[[Load, datetime], None]], LoadReporter]:
        return lambda written: LoadReporter(self._writer, resource, written)

    def warehouses(self) -> list[ObservedWarehouse]:
        """Return every warehouse by name."""
        found = [q.warehouse for q in self._queues.values() if q.warehouse is not None]
        return sorted(found, key=lambda w: w.name)

    def sql_name(self, resource: str) -> str:
        """Return the SQL name of a warehouse, also of one that is gone."""
        warehouse = self._queues[resource].warehouse if resource in self._queues else None
        return warehouse.name if warehouse is not None else sql_name(resource, WarehouseSpec())

    def spelled(self, name: str | None) -> str | None:
        """Return the name of a warehouse as it is stored; one that is not there keeps what it is called."""
        known = {w.name for w in self.warehouses()} if name is not None else set()
        return name.upper() if name is not None and name not in known and name.upper() in known else name

    def find(self, name: str) -> ObservedWarehouse:
        """Return a warehouse by SQL name. Raises StatementFailedError (unknown_warehouse) that names near ones."""
        everything = self.warehouses()
        for wanted in (name, name.upper()):
            for warehouse in everything:
                if warehouse.name == wanted:
                    return warehouse
        known = [w.name for w in everything]
        near = difflib.get_close_matches(name.upper(), known, n=3) or known[:3]
        hint = f"; there is {', '.join(near)}" if near else "; CREATE WAREHOUSE makes one"
        raise StatementFailedError(StatementError.UNKNOWN_WAREHOUSE, f"warehouse {name} does not exist{hint}")

    def see_warehouse(self, resource: str, item: Raw | None) -> None:
        """Take a change of a VirtualWarehouse."""
        if item is None:
            self._events.see_warehouse(resource, None, datetime.now(UTC))
            if resource in self._queues:
                self._queues[resource].see_warehouse(None)
            return
        try:
            warehouse = ObservedWarehouse.read(item)
        except (ValidationError, KeyError) as error:
            log.warning("warehouse not understood", warehouse=resource, error=str(error))
            return
        self.queue(resource).see_warehouse(warehouse)
        self._events.see_warehouse(resource, warehouse, datetime.now(UTC))

    def see_cluster(self, name: str, item: Raw | None) -> None:
        """Take a change of a WarehouseCluster."""
        if item is None:
            self.metering.see(name, None)
            self._events.see_cluster(name, None, datetime.now(UTC))
            warehouse = self._warehouse_of_cluster.pop(name, None)
            if warehouse is not None:
                self.queue(warehouse).see_cluster(name, None)
            return
        try:
            cluster = ObservedCluster.read(item)
        except (ValidationError, KeyError) as error:
            log.warning("cluster not understood", cluster=name, error=str(error))
            return
        self._warehouse_of_cluster[name] = cluster.spec.warehouse
        self.queue(cluster.spec.warehouse).see_cluster(name, cluster)
        self.metering.see(name, cluster)
        self._events.see_cluster(name, cluster, datetime.now(UTC))

    async def clear_heads(self) -> None:
        """Stop what heads still hold of an earlier process, before anything is dispatched to them."""
        await asyncio.gather(*(queue.clear_heads() for queue in list(self._queues.values())))

    def observe_metrics(self) -> None:
        """Set the gauges."""
        counts = [q.counts for q in self._queues.values()]
        metrics.QUEUE_LENGTH.set(sum(waiting for waiting, _ in counts))
        metrics.RUNNING.set(sum(running for _, running in counts))

    async def close(self) -> None:
        """Stop every queue; send what is left of traces."""
        await self.metering.close()
        for queue in self._queues.values():
            await queue.close()
        if self._parts.traces is not None:
            await asyncio.to_thread(self._parts.traces.close)
