"""What the services have learnt of statements' needs: kept in memory, loaded at the start, saved now and then."""

import asyncio
from datetime import UTC, datetime, timedelta

from firn_model.messages import Statistics

from firn_services.decide.needs import Estimate, Learnt, Used, estimate, learn
from firn_services.store.needs import NeedStore

MOST_SHAPES = 10_000
SAVE_SECONDS = 10
FORGET_AFTER = timedelta(days=60)


class Experience:
    """Estimates by fingerprint."""

    def __init__(self, store: NeedStore) -> None:
        self._store = store
        self._learnt: dict[str, Learnt] = {}
        self._changed: set[str] = set()

    def load(self) -> None:
        """Read what an earlier process learnt. Blocks."""
        self._learnt = self._store.newest(MOST_SHAPES)

    def estimate(self, fingerprint: str, file_bytes: int) -> Estimate:
        """Return what the next run of a shape will use."""
        return estimate(self._learnt.get(fingerprint), file_bytes)

    def learn(self, fingerprint: str, statistics: Statistics, run_seconds: float) -> None:
        """Take what a run used."""
        used = Used(
            memory_bytes=statistics.memory_peak_bytes,
            spilled_bytes=statistics.bytes_spilled_local + statistics.bytes_spilled_remote,
            cpu_seconds=statistics.cpu_seconds,
            run_seconds=run_seconds,
            scanned_bytes=statistics.bytes_scanned,
        )
        self._learnt[fingerprint] = learn(self._learnt.pop(fingerprint, None), used)
        self._changed.add(fingerprint)
        while len(self._learnt) > MOST_SHAPES:
            oldest = next(iter(self._learnt))
            del self._learnt[oldest]
            self._changed.discard(oldest)

    async def run(self) -> None:
        """Save for ever what has changed."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Save what has changed."""
        if self._changed:
            now = datetime.now(UTC)
            changed = {fingerprint: self._learnt[fingerprint] for fingerprint in self._changed}
            self._changed.clear()
            await self._store.save(changed, now, now - FORGET_AFTER)
