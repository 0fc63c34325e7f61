"""What every warehouse's queue works with, and what it knows of a statement that runs."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from firn_services.decide.burst import BurstTerms
from firn_services.decide.need import Grant
from firn_services.history.load import LoadHistory
from firn_services.statements.attempt import Runner
from firn_services.statements.dispatcher import Dispatcher, Head
from firn_services.statements.ticket import Ticket
from firn_services.store.statements import StatementStore
from firn_services.warehouses.experience import Experience

if TYPE_CHECKING:
    from firn_services.traces import Traces


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """What each node of a cluster has for statements: memory net of the node's own, of both types of node."""

    cores: int
    memory_bytes: int
    high_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What every queue works with."""

    store: StatementStore
    runner: Runner
    dispatcher: Dispatcher
    capacity: NodeCapacity
    max_attempts: int
    experience: Experience
    load_history: LoadHistory
    burst_terms: BurstTerms
    wish_lifetime: timedelta
    traces: "Traces | None" = None


@dataclass(slots=True)
class Run:
    """A statement that runs, and where."""

    ticket: Ticket
    cluster: str
    head: Head
    grant: Grant
    nodes: int
    """Its cluster's, when it started."""
    started_at: datetime
    task: asyncio.Task[None] | None = None
