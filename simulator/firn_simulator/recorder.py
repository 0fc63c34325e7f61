"""What a run is measured by: each statement's times, clusters and nodes over time, credits."""

from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from firn_model.clusters import MeterInterval
from firn_model.credits import BEGINNING, cost_of, hourly_rate
from firn_model.sizes import node_count

from firn_simulator.clock import EPOCH
from firn_simulator.statement import Statement


class Steps:
    """A number that changes at moments: its integral, its peak, and its course."""

    __slots__ = ("_at", "at_seconds", "peak", "total", "value", "values")

    def __init__(self) -> None:
        self.value = 0
        self.peak = 0
        self.total = 0.0
        self._at = EPOCH
        self.at_seconds = array("d")
        self.values = array("d")

    def add(self, change: int, now: datetime) -> None:
        """Change it."""
        self.total += self.value * (now - self._at).total_seconds()
        self._at = now
        self.value += change
        self.peak = max(self.peak, self.value)
        seconds = (now - EPOCH).total_seconds()
        if self.at_seconds and self.at_seconds[-1] == seconds:
            self.values[-1] = self.value
        else:
            self.at_seconds.append(seconds)
            self.values.append(self.value)

    def until(self, now: datetime) -> float:
        """Return the integral up to now, in units times seconds."""
        return self.total + self.value * (now - self._at).total_seconds()


class Recorder:
    """Everything that a run leaves behind. Arrays, so that a million statements take megabytes."""

    def __init__(self) -> None:
        self.arrived = array("d")
        self.queued = array("f")
        self.ran = array("f")
        self.expired = 0
        self.submitted = 0
        self.clusters = Steps()
        self.idle_nodes = Steps()
        self.resumes = 0
        self.starts: Counter[str] = Counter()
        self.hits = 0
        self.misses: Counter[str] = Counter()
        """Claims that had to wait, by reason."""
        self.parked_claims = 0
        self.parked_nodes = Steps()
        self.burst_nodes = Steps()
        self.failures = 0
        self.reruns = 0
        self.cold_bytes = 0
        self.ended_at = EPOCH
        self.busy_core_seconds = 0.0
        self.paid_core_seconds = 0.0
        self._credit_seconds = Decimal(0)
        self._burst_credit_seconds = Decimal(0)
        self.bills: list[tuple[float, float, float]] = []
        """From, to (seconds) and credits an hour of each that was paid for."""

    def ended(self, statement: Statement, now: datetime) -> None:
        """Note a statement that has run to its end."""
        started = statement.started_at or now
        self.arrived.append((statement.arrived_at - EPOCH).total_seconds())
        self.queued.append((started - statement.arrived_at).total_seconds())
        self.ran.append((now - started).total_seconds())

    def billed(self, intervals: Sequence[MeterInterval], now: datetime, cores: int) -> None:
        """Note what a cluster has used: its metering, sealed or up to now."""
        self._credit_seconds += cost_of(intervals, now, BEGINNING)
        self._burst_credit_seconds += cost_of([i for i in intervals if i.burst_nodes], now, BEGINNING)
        for interval in intervals:
            since, until = interval.started_at, interval.ended_at or now
            rate = float(hourly_rate(interval.size, interval.type, interval.burst_nodes))
            self.bills.append(((since - EPOCH).total_seconds(), (until - EPOCH).total_seconds(), rate))
            nodes = interval.burst_nodes or node_count(interval.size, interval.type)
            self.paid_core_seconds += (until - since).total_seconds() * cores * nodes

    @property
    def open(self) -> int:
        """How many statements have arrived and not ended."""
        return self.submitted - self.expired - len(self.arrived)

    def close(self, now: datetime) -> None:
        """End the run."""
        self.ended_at = now

    @property
    def seconds(self) -> float:
        """How long the run was, in simulated seconds."""
        return (self.ended_at - EPOCH).total_seconds()

    @property
    def credits(self) -> Decimal:
        """Credits used, exact, those of burst nodes included."""
        return self._credit_seconds / 3600

    @property
    def burst_credits(self) -> Decimal:
        """Credits of burst nodes, exact."""
        return self._burst_credit_seconds / 3600
