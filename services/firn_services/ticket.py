"""A statement that is under way in this process, and those who wait for it."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from firn_model.api import ErrorDetail

from firn_services.decide.needs import Estimate
from firn_services.errors import StatementFailedError
from firn_services.record import ResultRecord, StatementRecord
from firn_services.sql.query import Query

READS = 64
"""Files by which a statement's affinity to a cluster's caches is told."""


class Ticket:
    """One unfinished statement: its record, what it compiled to, and the event of its end."""

    def __init__(
        self, record: StatementRecord, query: Query, shape: str, estimate: Estimate, on_end: Callable[[str], None]
    ) -> None:
        self.record = record
        self.query = query
        self.estimate = estimate
        self.shape = shape
        self.reads = _sample([file.uri for table in query.tables for file in table.files])
        self.losses = 0
        self._on_end = on_end
        self.result: ResultRecord | None = None
        self.done = asyncio.Event()
        self.stop_with: ErrorDetail | None = None
        """Set when somebody wants it stopped: how it then ends."""

    def step(self, name: str, at: datetime) -> None:
        """Note a step of its life, the first time it happens."""
        if all(step.step != name for step in self.record.steps):
            self.record = self.record.step(name, at)

    def end(self) -> None:
        """Tell everybody that its final state is durable."""
        self.done.set()
        self._on_end(self.record.id)

    def stop(self, error: StatementFailedError) -> bool:
        """Note that it is to end with this error; return whether nobody asked before."""
        if self.stop_with is not None:
            return False
        self.stop_with = error.detail()
        return True


def _sample(files: list[str]) -> tuple[str, ...]:
    """Return at most READS files, spread evenly, the same ones for the same files."""
    return tuple(files[:: -(-len(files) // READS)] if len(files) > READS else files)
