"""The events of every warehouse: told by decide/events.py from what the watches see, stored in batches."""

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime

import structlog
from firn_model.conditions import ConditionStatus
from sqlalchemy.exc import SQLAlchemyError

from firn_services.decide import events
from firn_services.decide.events import Happened, SeenCluster, SeenWarehouse
from firn_services.store.events import EventStore
from firn_services.warehouses.observed import ObservedCluster, ObservedWarehouse

log = structlog.get_logger()
SAVE_SECONDS = 2
MOST_TOLD = 100_000
"""Ids that are remembered as told; older ones would be written again, and found to be there."""


class EventHistory:
    """Events by warehouse and time."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._warehouses: dict[str, SeenWarehouse] = {}
        self._clusters: dict[str, tuple[str, SeenCluster]] = {}
        self._told: OrderedDict[str, None] = OrderedDict()
        self._unsaved: dict[str, Happened] = {}
        self._last: dict[str, Happened] = {}
        self._saving = asyncio.Lock()

    async def open(self) -> None:
        """Read what was last told of each warehouse: what happened while no services ran is told by it."""
        self._last = await asyncio.to_thread(self._store.last)

    def all_seen(self, now: datetime) -> None:
        """Take that every warehouse that there is was seen: the others have gone."""
        gone = (events.dropped_since(one, now) for one in self._last.values())
        self._tell([one for one in gone if one is not None])
        self._last = {}

    def see_warehouse(self, resource: str, warehouse: ObservedWarehouse | None, now: datetime) -> None:
        """Take the newest state of a warehouse; None when it is gone."""
        before = self._warehouses.get(resource)
        if warehouse is None:
            if before is not None:
                self._tell([events.of_drop(self._warehouses.pop(resource), now)])
            return
        after = _warehouse(warehouse, now)
        if before is not None and before.uid == after.uid and after.generation < before.generation:
            return  # an older state than what a request was answered with
        self._warehouses[resource] = after
        if (stored := self._last.pop(resource, None)) is not None:
            self._tell(events.since(stored, after, now))
        if before is None:
            for of, cluster in self._clusters.values():
                if of == resource:
                    self._tell(events.of_cluster(None, cluster, after, now))
        if after != before:
            self._tell(events.of_warehouse(before, after, now))

    def see_cluster(self, name: str, cluster: ObservedCluster | None, now: datetime) -> None:
        """Take the newest state of a cluster; None when it is gone."""
        resource, before = self._clusters.get(name, (None, None))
        if cluster is None:
            of = self._warehouses.get(resource) if resource is not None else None
            if before is not None and of is not None:
                self._tell([events.of_gone_cluster(before, of, now)])
            self._clusters.pop(name, None)
            return
        after = _cluster(cluster, now)
        self._clusters[name] = (cluster.spec.warehouse, after)
        warehouse = self._warehouses.get(cluster.spec.warehouse)
        if warehouse is not None and after != before:
            self._tell(events.of_cluster(before, after, warehouse, now))

    def _tell(self, happened: list[Happened]) -> None:
        for one in happened:
            if one.id not in self._told:
                self._told[one.id] = None
                self._unsaved[one.id] = one
        while len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)

    async def newest(self, resource: str | None, start: datetime, end: datetime, limit: int) -> list[Happened]:
        """Return a warehouse's events between two times, or those of all, the newest first."""
        await self.save()
        return await asyncio.to_thread(self._store.newest, resource, start, end, limit)

    async def run(self) -> None:
        """Save for ever what happened."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Save what happened; what fails is saved with the next."""
        async with self._saving:
            saving = self._unsaved
            if not saving:
                return
            self._unsaved = {}
            try:
                await self._store.add(list(saving.values()), datetime.now(UTC))
            except SQLAlchemyError as error:
                log.warning("events not stored yet", error=str(error))
                self._unsaved = saving | self._unsaved


def _warehouse(seen: ObservedWarehouse, now: datetime) -> SeenWarehouse:
    ready = next((c for c in seen.status.conditions if c.type == "Ready"), None)
    limit = seen.limit
    return SeenWarehouse(
        uid=seen.uid,
        resource=seen.resource,
        name=seen.name,
        spec=seen.spec,
        generation=seen.generation,
        created_at=seen.created_at or now,
        phase=seen.status.phase,
        reason=ready.reason if ready is not None and ready.status is not ConditionStatus.UNKNOWN else "",
        clusters=seen.status.started_clusters,
        resumed_at=seen.status.resumed_at,
        suspended_at=seen.status.suspended_at,
        limit=(limit.reason, limit.last_transition_time) if limit is not None else None,
    )


def _cluster(seen: ObservedCluster, now: datetime) -> SeenCluster:
    return SeenCluster(
        uid=seen.epoch,
        number=seen.spec.index,
        size=seen.spec.size.value,
        created_at=seen.created_at or now,
        is_automatic=seen.is_automatic,
        is_leaving=seen.spec.drain or seen.is_leaving,
        started_at=seen.status.started_at,
        drained_at=seen.status.drained_at,
    )
