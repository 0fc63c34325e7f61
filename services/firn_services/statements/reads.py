"""History and results that a statement for a warehouse reads: files of their rows, made with each attempt."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

import pyarrow as pa
from firn_model.messages import DataFile

from firn_services.sql.commands import HistoryCall, StoredResult
from firn_services.sql.query import Query
from firn_services.statements.exchange import Exchange
from firn_services.statements.record import StatementRecord


class Rows(Protocol):
    """What gives the rows."""

    async def rows(self, read: HistoryCall | StoredResult, user: str, now: datetime) -> pa.Table:
        """Return what a call, or an earlier statement, gives. Raises StatementFailedError."""
        ...


class Reads:
    """Makes the files. `source` is set once there is one."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.source: Rows | None = None

    async def filled(self, query: Query, record: StatementRecord) -> Query:
        """Return a query whose tables have all their files. Raises StatementFailedError."""
        if not query.reads or self.source is None:
            return query
        files = dict[str, tuple[DataFile, ...]]()
        for read in query.reads:
            rows = await self.source.rows(read, record.user, datetime.now(UTC))
            files[read.table] = (await asyncio.to_thread(self._exchange.put, record.id, rows),) if rows.num_rows else ()
        tables = (t.model_copy(update={"files": files[t.name]}) if t.name in files else t for t in query.tables)
        return replace(query, tables=tuple(tables), reads=())
