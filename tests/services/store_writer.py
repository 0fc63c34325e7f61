"""A process that accepts statements as fast as it can and says which are durable; killed by the test in the middle."""

import asyncio
import sys
import uuid
from datetime import UTC, datetime

from firn_model.statements import StatementState
from firn_services.statements.record import StatementRecord
from firn_services.store.database import open_database
from firn_services.store.statements import StatementStore
from firn_services.store.writer import Writer


async def accept_for_ever(store: StatementStore, lane: int) -> None:
    """Accept one statement after the other; print each id once it is acknowledged."""
    count = 0
    while True:
        count += 1
        record = StatementRecord(
            id=str(uuid.uuid4()),
            place=count * 100 + lane,
            user="tester",
            sql=f"SELECT {count}",
            state=StatementState.QUEUED,
            submitted_at=datetime.now(UTC),
        )
        await store.accept(record)
        sys.stdout.write(record.id + "\n")
        sys.stdout.flush()


async def main() -> None:
    """Accept in eight lanes, so that commits are shared."""
    engine = open_database(sys.argv[1])
    writer = Writer(engine)
    writer.start()
    store = StatementStore(engine, writer)
    await asyncio.gather(*(accept_for_ever(store, lane) for lane in range(8)))


if __name__ == "__main__":
    asyncio.run(main())
