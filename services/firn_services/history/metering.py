"""Metering: stores what clusters have used, lets those go that are to be deleted, and answers what was used when.

Source: design.md section 6 "metering"; decision 9. Only an interval that has ended is stored, and only a cluster whose
intervals have all ended, and which the operator has let go, loses the services' finalizer.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog
from firn_model import names
from sqlalchemy.exc import SQLAlchemyError

from firn_services.decide.usage import Metered, Used, by_hour
from firn_services.kube.api import KubeError
from firn_services.kube.clusters import ClusterWriter
from firn_services.store.metering import MeterStore
from firn_services.warehouses.observed import ObservedCluster

log = structlog.get_logger()
CONFLICT, NOT_FOUND = 409, 404
RETRY_SECONDS = 1.0


class Metering:
    """Every cluster's intervals."""

    def __init__(self, store: MeterStore, writer: ClusterWriter, warehouse_name: Callable[[str], str]) -> None:
        self._store = store
        self._writer = writer
        self._warehouse_name = warehouse_name
        self._clusters: dict[str, ObservedCluster] = {}
        self._stored: dict[str, set[str]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def see(self, name: str, cluster: ObservedCluster | None) -> None:
        """Take the newest state of a cluster; None when it is gone."""
        if cluster is None:
            if (gone := self._clusters.pop(name, None)) is not None:
                self._stored.pop(gone.epoch, None)
            return
        self._clusters[name] = cluster
        if name not in self._tasks and self._is_due(cluster):
            self._tasks[name] = asyncio.create_task(self._settle(name))

    def _sealed(self, cluster: ObservedCluster) -> list[Metered]:
        """Return the intervals that have ended and are not known to be stored."""
        stored = self._stored.get(cluster.epoch, set())
        return [m for m in self._metered(cluster) if m.interval.ended_at is not None and m.interval.id not in stored]

    def _metered(self, cluster: ObservedCluster) -> list[Metered]:
        resource = cluster.spec.warehouse
        warehouse = self._warehouse_name(resource)
        return [Metered(cluster.epoch, cluster.name, warehouse, resource, i) for i in cluster.status.metering]

    def _is_due(self, cluster: ObservedCluster) -> bool:
        return bool(self._sealed(cluster)) or _may_go(cluster)

    async def _settle(self, name: str) -> None:
        """Store and let go until nothing is left to do; what fails is done again."""
        try:
            while (cluster := self._clusters.get(name)) is not None and self._is_due(cluster):
                try:
                    await self._store_sealed(cluster)
                    if _may_go(cluster):
                        await self._writer.let_go(name, cluster.epoch, cluster.version, cluster.finalizers)
                        return
                except KubeError as error:
                    if error.status in (CONFLICT, NOT_FOUND) and self._clusters.get(name) is cluster:
                        return  # the watch brings what is newer
                    if error.status not in (CONFLICT, NOT_FOUND):
                        await self._wait_after(name, error)
                except SQLAlchemyError as error:
                    await self._wait_after(name, error)
        finally:
            del self._tasks[name]

    async def _wait_after(self, name: str, error: Exception) -> None:
        log.warning("metering not settled yet", cluster=name, error=str(error))
        await asyncio.sleep(RETRY_SECONDS)

    async def _store_sealed(self, cluster: ObservedCluster) -> None:
        sealed = self._sealed(cluster)
        if sealed:
            await self._store.save(cluster.epoch, sealed)
            self._stored.setdefault(cluster.epoch, set()).update(m.interval.id for m in sealed)

    async def usage(self, start: datetime, end: datetime) -> list[Used]:
        """Return what was used between two times, by hour and warehouse; what goes on counts until now."""
        metered = {(m.cluster_uid, m.interval.id): m for m in self._live()}
        for one in await asyncio.to_thread(self._store.between, start, end):
            metered[one.cluster_uid, one.interval.id] = one
        return by_hour(metered.values(), start, end, datetime.now(UTC))

    def _live(self) -> Iterable[Metered]:
        for cluster in self._clusters.values():
            yield from self._metered(cluster)

    async def close(self) -> None:
        """Stop; the next start settles what is left."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _may_go(cluster: ObservedCluster) -> bool:
    """Return whether only the services hold a cluster that is to be deleted, and it uses nothing any more."""
    is_held = names.FINALIZER_METERING in cluster.finalizers and names.FINALIZER_CLUSTER not in cluster.finalizers
    return cluster.is_leaving and is_held and all(i.ended_at is not None for i in cluster.status.metering)
