"""The load of every warehouse: counted in memory at each change, stored in batches and before each read."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice

import structlog
from sqlalchemy.exc import SQLAlchemyError

from firn_services.decide.load import Load
from firn_services.decide.load_history import (
    ClusterState,
    Interval,
    LoadMeter,
    Slot,
    Slots,
    State,
    grain_of,
    intervals,
    slot_of,
)
from firn_services.store.load import LoadStore, Named

log = structlog.get_logger()
SAVE_SECONDS = 15
"""What a crash loses of the load's history at most; a stop loses nothing."""


MOST_AT_ONCE = 50
"""Warehouses of one transaction: statements that come meanwhile wait for milliseconds."""


class LoadHistory:
    """Load by warehouse and time."""

    def __init__(self, store: LoadStore) -> None:
        self._store = store
        self._meters: dict[str, LoadMeter] = {}
        self._names: dict[str, str] = {}
        self._unsaved: dict[Named, Slots] = {}
        self._saving = asyncio.Lock()

    def change(self, resource: str, name: str, load: Load, serving: Mapping[str, int], now: datetime) -> None:
        """Take a warehouse's load from now on; `serving` has the number of each cluster that takes statements."""
        clusters = {
            share.name: ClusterState(serving[share.name], share.running, min(share.concurrency, 1.0))
            for share in load.clusters
            if share.name in serving
        }
        waits_for_room = load.queued if serving else 0
        state = State(load.running, waits_for_room, load.queued - waits_for_room, clusters=clusters)
        self._names[resource] = name
        self._meter(resource, now).change(state, now)

    def forget(self, resource: str, now: datetime) -> None:
        """Count no more for a warehouse that is gone; what was counted stays."""
        if resource in self._meters:
            self._meters[resource].change(State(), now)

    def _meter(self, resource: str, now: datetime) -> LoadMeter:
        if resource not in self._meters:
            self._meters[resource] = LoadMeter(now)
        return self._meters[resource]

    async def intervals(self, resource: str, start: datetime, end: datetime, length: timedelta) -> list[Interval]:
        """Return a warehouse's load between two times. Raises ValueError for a length that cannot be."""
        grain, now = grain_of(length), datetime.now(UTC)
        await self.save()
        slots = await asyncio.to_thread(self._store.slots, resource, grain, slot_of(start, length), end)
        return intervals(slots, start, end, length, now)

    async def run(self) -> None:
        """Save for ever what was counted."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Save what was counted; what fails is saved with the next."""
        async with self._saving:
            now = datetime.now(UTC)
            for resource, meter in self._meters.items():
                if slots := meter.take(now):
                    kept = self._unsaved.setdefault((resource, self._names[resource]), {})
                    for start, slot in slots.items():
                        kept.setdefault(start, Slot()).add(slot)
            try:
                while few := dict(islice(self._unsaved.items(), MOST_AT_ONCE)):
                    await self._store.add(few, now)
                    for named in few:
                        del self._unsaved[named]
            except SQLAlchemyError as error:
                log.warning("load not stored yet", error=str(error))
