"""The load of a warehouse over time: Σ seconds that statements were in a state, divided by the interval.

Source: seed article, "Warehouse load & Warehouse utilization"; snowflake-surface.md, WAREHOUSE_LOAD_HISTORY: grains of
5 s and 5 min, the coarse one for 14 days. A cluster's utilisation is the share of its processes that were given out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

FINE, COARSE = timedelta(seconds=5), timedelta(minutes=5)
KEEP = {FINE: timedelta(hours=1), COARSE: timedelta(days=14)}
"""For how long each grain is kept."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One cluster that serves: its number, its statements, its share of processes given out (0 to 1)."""

    number: int
    running: int
    busy: float


@dataclass(frozen=True, slots=True)
class State:
    """How many statements are in each state, and the clusters that serve, by name.

    What waits while no cluster serves waits for provisioning. Nothing waits for locks in Firn: `blocked` stays 0.
    """

    running: int = 0
    queued_load: int = 0
    queued_provisioning: int = 0
    blocked: int = 0
    clusters: Mapping[str, ClusterState] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to count."""
        return not (self.running or self.queued_load or self.queued_provisioning or self.blocked or self.clusters)


@dataclass(slots=True)
class Sums:
    """Seconds that statements spent in each state."""

    running: float = 0.0
    queued_load: float = 0.0
    queued_provisioning: float = 0.0
    blocked: float = 0.0

    def add(self, other: "Sums | State", times: float = 1.0) -> None:
        """Add other sums, or a state that lasted for so many seconds."""
        self.running += other.running * times
        self.queued_load += other.queued_load * times
        self.queued_provisioning += other.queued_provisioning * times
        self.blocked += other.blocked * times


@dataclass(slots=True)
class ClusterSums:
    """Seconds that a cluster served, that its statements ran, and that all of its processes were given out."""

    number: int
    up: float = 0.0
    running: float = 0.0
    busy: float = 0.0

    def add(self, other: "ClusterSums") -> None:
        """Add other sums of the same cluster."""
        self.up += other.up
        self.running += other.running
        self.busy += other.busy


@dataclass(slots=True)
class Slot:
    """What happened from its start on, for the length of a grain."""

    sums: Sums = field(default_factory=Sums)
    clusters: dict[str, ClusterSums] = field(default_factory=dict)

    def last(self, state: State, seconds: float) -> None:
        """Count a state that lasted."""
        self.sums.add(state, seconds)
        for name, cluster in state.clusters.items():
            one = self.clusters.setdefault(name, ClusterSums(cluster.number))
            one.add(ClusterSums(cluster.number, seconds, cluster.running * seconds, cluster.busy * seconds))

    def add(self, other: "Slot") -> None:
        """Add another slot, of this grain or within this one."""
        self.sums.add(other.sums)
        for name, cluster in other.clusters.items():
            self.clusters.setdefault(name, ClusterSums(cluster.number)).add(cluster)


Slots = dict[datetime, Slot]
"""Slots of one grain by their start."""


def slot_of(at: datetime, grain: timedelta) -> datetime:
    """Return the start of the slot that a moment is in, in UTC."""
    seconds = grain.total_seconds()
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


class LoadMeter:
    """Counts one warehouse's states in slots of 5 s. Costs O(clusters) a change, and nothing while nothing happens."""

    def __init__(self, now: datetime) -> None:
        self._state = State()
        self._since = now
        self._slots: Slots = {}

    def change(self, state: State, now: datetime) -> None:
        """Take the state from `now` on. A clock that goes back counts nothing twice."""
        self._count(now)
        self._state = state

    def take(self, now: datetime) -> Slots:
        """Return what was counted since the last time, until `now`."""
        self._count(now)
        taken, self._slots = self._slots, {}
        return taken

    def _count(self, now: datetime) -> None:
        while not self._state.is_empty and self._since < now:
            start = slot_of(self._since, FINE)
            until = min(start + FINE, now)
            slot = self._slots.setdefault(start, Slot())
            slot.last(self._state, (until - self._since).total_seconds())
            self._since = until
        self._since = max(self._since, now)


def coarser(slots: Mapping[datetime, Slot], grain: timedelta) -> Slots:
    """Return the slots added up to a coarser grain."""
    found: Slots = {}
    for start, slot in slots.items():
        found.setdefault(slot_of(start, grain), Slot()).add(slot)
    return found


@dataclass(frozen=True, slots=True)
class ClusterInterval:
    """One cluster's averages while it served: statements, and the share of its processes given out."""

    cluster: str
    number: int
    running: float
    utilization: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A warehouse's averages in an interval. `utilization` is of all clusters that served; None when none did."""

    start: datetime
    running: float
    queued_load: float
    queued_provisioning: float
    blocked: float
    utilization: float | None
    clusters: tuple[ClusterInterval, ...]


def intervals(
    slots: Mapping[datetime, Slot], start: datetime, end: datetime, length: timedelta, now: datetime
) -> list[Interval]:
    """Return every interval that has a part between two times, the oldest first; one that goes on counts until now."""
    by_start = coarser(slots, length)
    found = []
    at, end = slot_of(start, length), min(end, now)
    while at < end:
        seconds = (min(at + length, now) - at).total_seconds()
        found.append(_interval(at, by_start.get(at, Slot()), seconds))
        at += length
    return found


def _interval(start: datetime, slot: Slot, seconds: float) -> Interval:
    sums, clusters = slot.sums, slot.clusters
    up = sum(cluster.up for cluster in clusters.values())
    return Interval(
        start=start,
        running=sums.running / seconds,
        queued_load=sums.queued_load / seconds,
        queued_provisioning=sums.queued_provisioning / seconds,
        blocked=sums.blocked / seconds,
        utilization=sum(cluster.busy for cluster in clusters.values()) / up if up else None,
        clusters=tuple(_cluster_intervals(clusters)),
    )


def _cluster_intervals(clusters: Mapping[str, ClusterSums]) -> Iterable[ClusterInterval]:
    for name, sums in sorted(clusters.items(), key=lambda item: (item[1].number, item[0])):
        if sums.up > 0:
            yield ClusterInterval(name, sums.number, sums.running / sums.up, sums.busy / sums.up)


def grain_of(length: timedelta) -> timedelta:
    """Return the grain that intervals of a length are made of. Raises ValueError when there is none."""
    for grain in (COARSE, FINE):
        if length > timedelta(0) and length % grain == timedelta(0):
            return grain
    raise ValueError(f"an interval is a multiple of {FINE.total_seconds():.0f} s")


def length_for(span: timedelta) -> timedelta:
    """Return the interval of a chart of so long a time: 5 minutes to 1 hour. Source: seed article, the load chart."""
    for longest, length in ((timedelta(hours=8), COARSE), (timedelta(days=1), timedelta(minutes=15))):
        if span <= longest:
            return length
    return timedelta(hours=1)
