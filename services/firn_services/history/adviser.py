"""Advice on a warehouse: gathers what its statements did and its load, and lets decide/advice.py judge."""

import asyncio
from datetime import UTC, datetime

from firn_services.decide.advice import Advice, Observed, Work, decide
from firn_services.decide.load_history import COARSE
from firn_services.history.load import LoadHistory
from firn_services.store.work import WorkStore
from firn_services.warehouses.observed import ObservedWarehouse


class Adviser:
    """Judges warehouses by what is stored of them."""

    def __init__(self, work: WorkStore, load: LoadHistory) -> None:
        self._work = work
        self._load = load

    async def advise(self, warehouse: ObservedWarehouse, start: datetime, end: datetime) -> tuple[list[Advice], Work]:
        """Return the advice by what happened between two times, and what the statements did then."""
        load = await self._load.intervals(warehouse.resource, start, end, COARSE)
        work = await asyncio.to_thread(self._work.between, warehouse.resource, start, end)
        return decide(Observed(warehouse.spec, work, load), min(end, datetime.now(UTC))), work
