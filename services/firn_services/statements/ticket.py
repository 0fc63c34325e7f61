"""A statement that is under way in this process, and those who wait for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from firn_model.api import ErrorDetail, StatementProgress
from firn_model.messages import Progress
from firn_model.profile import Profile
from pydantic import ValidationError

from firn_services.decide.needs import Estimate
from firn_services.errors import StatementFailedError
from firn_services.history.profiles import in_turn
from firn_services.sql.query import Query
from firn_services.statements.record import ResultRecord, StatementRecord

if TYPE_CHECKING:
    from firn_services.traces import StatementTrace

log = structlog.get_logger()
READS = 64
"""Files by which a statement's affinity to a cluster's caches is told."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a head said of a statement's progress, and when."""

    said: Progress
    at: datetime

    def reply(self) -> StatementProgress:
        """Return what the statement's owner sees of it. Built without validation: it was validated as it came."""
        said = self.said
        return StatementProgress.model_construct(
            percent=None if said.fraction is None else round(said.fraction * 100, 1),
            rows_scanned=said.rows_scanned,
            bytes_scanned=said.bytes_scanned,
            stage=said.stage,
            stages=said.stages,
            burst_nodes=said.burst_nodes,
            at=self.at,
        )


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
        self.trace: StatementTrace | None = None
        """Where traces are on."""
        self.profile: Profile | None = None
        """How it ran, once its last attempt has told."""
        self.done = asyncio.Event()
        self.stop_with: ErrorDetail | None = None
        """Set when somebody wants it stopped: how it then ends."""
        self.progress: Heard | None = None
        """What the head of its present attempt said last; in memory only."""
        self._on_progress: Callable[[Progress], None] | None = None

    def step(self, name: str, at: datetime) -> None:
        """Note a step of its life, the first time it happens."""
        if all(step.step != name for step in self.record.steps):
            self.record = self.record.step(name, at)

    def follow(self, on_progress: Callable[[Progress], None]) -> None:
        """Begin an attempt: nothing is known of its progress yet."""
        self.progress = None
        self._on_progress = on_progress

    def hear(self, payload: bytes, now: datetime) -> None:
        """Take what its head says of its progress. What cannot be read tells nothing, and harms nothing."""
        try:
            said = Progress.model_validate_json(payload)
        except ValidationError as error:
            log.info("progress not understood", statement=self.record.id, error=str(error))
            return
        self.progress = Heard(said, now)
        if self._on_progress is not None:
            self._on_progress(said)

    def ran(self, profile: Profile | None) -> None:
        """Note how a query of its attempt ran; one that writes may have two."""
        self.profile = profile if self.profile is None or profile is None else in_turn(self.profile, profile)

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
