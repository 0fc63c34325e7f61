"""Metering: write what clusters use into their status, count it before they go, and let them go."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import structlog
from firn_model import names
from firn_model.clusters import MeterInterval

from firn_operator.build.metering import ledger_of, ledger_patch, metering_patch
from firn_operator.build.monitor import counted_patch
from firn_operator.controllers.loop import Gone, utc_now
from firn_operator.decide.metering import count, gives_up_services_at, meter, metered
from firn_operator.decide.monitor import ledger_in, period_at, start_of
from firn_operator.decide.observed import Cluster, Warehouse
from firn_operator.errors import ConflictError, NotFoundError, UnreadableError
from firn_operator.kube.api import CLUSTERS, MONITORS, WAREHOUSES, KubeApi
from firn_operator.observe.account import Account

log = structlog.get_logger()

T = TypeVar("T")

MOST_READS = 10
"""So often a warehouse or a monitor that others write to meanwhile is read again, before its loop backs off."""


class MeteringController:
    """The loop body of the clusters' metering; it runs beside that of the clusters themselves."""

    def __init__(self, api: KubeApi, account: Account) -> None:
        self._api = api
        self._account = account

    async def reconcile(self, name: str) -> datetime | None:
        """Observe, decide, apply."""
        cluster = self._account.state.clusters.get(name)
        if cluster is None:
            raise Gone
        now = utc_now()
        intervals = meter(metered(cluster), cluster.status.metering, now)
        if intervals != cluster.status.metering:
            if cluster.status.drained:
                await self._count(cluster, intervals)
            await self._write(cluster, intervals)
            return None
        gives_up_at = gives_up_services_at(cluster, self._account.state.services)
        if gives_up_at is not None and now >= gives_up_at:
            await self._let_go(cluster)
            return None
        return gives_up_at

    async def _count(self, cluster: Cluster, intervals: tuple[MeterInterval, ...]) -> None:
        """Add a drained cluster to the ledgers of its warehouse and of its resource monitor.

        Only after that its last intervals are written: whoever waits for sealed intervals, the cluster's own finalizer
        among them, waits for this too.
        """
        warehouse = await _on_what_is_there(lambda: self._count_for_warehouse(cluster, intervals))
        name = warehouse.spec.resource_monitor if warehouse else cluster.monitor
        if name:
            await _on_what_is_there(lambda: self._count_for_monitor(name, cluster, intervals))

    async def _count_for_warehouse(self, cluster: Cluster, intervals: tuple[MeterInterval, ...]) -> Warehouse | None:
        """Return the warehouse counted into; None when the cluster's is gone."""
        warehouse = await self._read_warehouse(cluster)
        if warehouse is None:
            return None
        before = ledger_of(warehouse)
        after = count(before, cluster.uid, intervals, self._account.state.epochs())
        if after != before:
            raw = await self._api.patch(WAREHOUSES, warehouse.name, ledger_patch(warehouse, after), "status")
            self._account.learn_warehouse(raw)
        return warehouse

    async def _read_warehouse(self, cluster: Cluster) -> Warehouse | None:
        try:
            warehouse = self._account.learn_warehouse(await self._api.get(WAREHOUSES, cluster.spec.warehouse))
        except (NotFoundError, UnreadableError):
            return None
        return warehouse if warehouse.uid == cluster.warehouse_uid else None

    async def _count_for_monitor(self, name: str, cluster: Cluster, intervals: tuple[MeterInterval, ...]) -> None:
        try:
            monitor = self._account.learn_monitor(await self._api.get(MONITORS, name))
        except (NotFoundError, UnreadableError):
            return
        period = period_at(monitor.spec.frequency, start_of(monitor), utc_now())
        if period is None:
            return
        before = ledger_in(monitor, period)
        after = count(before, cluster.uid, intervals, self._account.state.epochs(), period.start)
        if after != before:
            patch = counted_patch(monitor, period, after)
            self._account.learn_monitor(await self._api.patch(MONITORS, name, patch, "status"))

    async def _write(self, cluster: Cluster, intervals: tuple[MeterInterval, ...]) -> None:
        try:
            raw = await self._api.patch(CLUSTERS, cluster.name, metering_patch(cluster, intervals), "status")
        except (NotFoundError, ConflictError):
            self._account.state.clusters.remove(cluster.name, cluster.uid)
            return
        self._account.learn_cluster(raw)

    async def _let_go(self, cluster: Cluster) -> None:
        """Take the services' finalizer away: they have been gone for too long."""
        log.warning("metering not stored by the services", cluster=cluster.name, metering=len(cluster.status.metering))
        raw = await self._api.get(CLUSTERS, cluster.name)
        kept = [f for f in raw["metadata"].get("finalizers") or () if f != names.FINALIZER_METERING]
        patch = {
            "metadata": {
                "uid": cluster.uid,
                "resourceVersion": raw["metadata"]["resourceVersion"],
                "finalizers": kept or None,
            }
        }
        await self._api.patch(CLUSTERS, cluster.name, patch)


async def _on_what_is_there(write: Callable[[], Awaitable[T]]) -> T:
    """Read and write again while others were faster: the services write the same status at each suspend."""
    for _ in range(MOST_READS - 1):
        try:
            return await write()
        except ConflictError:
            continue
    return await write()
