"""What shapes of statements need, in the store: written in batches, because losing some costs only a worse estimate."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, insert, select

from firn_services.decide.needs import Learnt
from firn_services.store.tables import needs
from firn_services.store.writer import Writer


class NeedStore:
    """Durable needs by fingerprint."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    def newest(self, limit: int) -> dict[str, Learnt]:
        """Return the shapes that ran last, the oldest first. Blocks."""
        query = select(needs).order_by(needs.c.updated_at.desc()).limit(limit)
        with self._engine.connect().execution_options(reading=True) as connection:
            rows = connection.execute(query).all()
        return {
            row.fingerprint: Learnt(
                row.samples, row.memory_bytes, row.memory_spread, row.cpu_seconds, row.run_seconds, row.scanned_bytes
            )
            for row in reversed(rows)
        }

    async def save(self, learnt: Mapping[str, Learnt], now: datetime, forget_before: datetime) -> None:
        """Write what has changed, and drop what has not run since `forget_before`."""
        rows = [
            {
                "fingerprint": fingerprint,
                "samples": one.samples,
                "memory_bytes": one.memory_bytes,
                "memory_spread": one.memory_spread,
                "cpu_seconds": one.cpu_seconds,
                "run_seconds": one.run_seconds,
                "scanned_bytes": one.scanned_bytes,
                "updated_at": now,
            }
            for fingerprint, one in learnt.items()
        ]

        def operation(connection: Connection) -> None:
            connection.execute(delete(needs).where(needs.c.updated_at < forget_before))
            connection.execute(delete(needs).where(needs.c.fingerprint.in_(list(learnt))))
            connection.execute(insert(needs), rows)

        await self._writer.write(operation)
