"""What a cluster uses, as intervals of one size each, and what a warehouse has used in all.

Source: design.md section 6, "metering": from the first ready head to release, an upsize from when its nodes are ready,
burst by node, nothing while suspended. A downsize counts from its decision, whatever the nodes still finish.

Everything follows from the cluster's status, so that a restart of anything changes no figure. Moments that somebody
else has written down (the first ready head, the resize, the end of the drain) are taken from there, however late they
are seen; only the readiness of further nodes and of burst nodes counts from when it is seen.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from firn_model.clusters import MeterInterval
from firn_model.credits import BEGINNING, cost_of, hourly_rate
from firn_model.sizes import SIZES, WarehouseSize, WarehouseType, node_count

from firn_operator.decide.observed import Cluster, ServicesLease

SERVICES_PATIENCE = timedelta(minutes=10)
"""How long a released cluster waits for services that are gone: it must not block the end of its namespace."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What the metering of one cluster follows from."""

    uid: str
    size: WarehouseSize
    type: WarehouseType = WarehouseType.STANDARD
    started_at: datetime | None = None
    ready_nodes: int = 1
    burst_nodes: int = 0
    resized_at: datetime | None = None
    drained: bool = False
    drained_at: datetime | None = None


def metered(cluster: Cluster) -> Metered:
    """Return what the metering of a cluster follows from."""
    status = cluster.status
    return Metered(
        uid=cluster.uid,
        size=cluster.spec.size,
        type=cluster.spec.type,
        started_at=status.started_at,
        ready_nodes=status.ready_nodes,
        burst_nodes=status.burst_nodes,
        resized_at=cluster.resized_at,
        drained=status.drained,
        drained_at=status.drained_at,
    )


def meter(cluster: Metered, known: Sequence[MeterInterval], now: datetime) -> tuple[MeterInterval, ...]:
    """Return the cluster's intervals as they are now. Sealed ones are never touched; new ones are put behind."""
    if cluster.started_at is None:
        return tuple(known)
    intervals = list(known) or [opened(cluster, cluster.started_at)]
    if cluster.drained:
        end = cluster.drained_at or now
        return tuple(i if i.ended_at else _sealed(i, end) for i in intervals)
    _follow_size(cluster, intervals, now)
    _follow_burst(cluster, intervals, now)
    return tuple(intervals)


def opened(cluster: Metered, at: datetime, number: int = 0, burst_nodes: int = 0) -> MeterInterval:
    """Return the interval that begins now; the first one is written together with the first ready head."""
    return MeterInterval(
        id=f"{cluster.uid}-{number}", size=cluster.size, type=cluster.type, burst_nodes=burst_nodes, started_at=at
    )


def _follow_size(cluster: Metered, intervals: list[MeterInterval], now: datetime) -> None:
    place = _open_place(intervals, burst=False)
    if place is None or intervals[place].size is cluster.size:
        return
    if SIZES.index(cluster.size) > SIZES.index(intervals[place].size):
        if cluster.ready_nodes < node_count(cluster.size, cluster.type):
            return
        at = now
    else:
        at = min(cluster.resized_at or now, now)
    intervals[place] = _sealed(intervals[place], at)
    intervals.append(opened(cluster, intervals[place].ended_at or at, len(intervals)))


def _follow_burst(cluster: Metered, intervals: list[MeterInterval], now: datetime) -> None:
    place = _open_place(intervals, burst=True)
    if cluster.burst_nodes == (0 if place is None else intervals[place].burst_nodes):
        return
    if place is not None:
        intervals[place] = _sealed(intervals[place], now)
    if cluster.burst_nodes:
        intervals.append(opened(cluster, now, len(intervals), cluster.burst_nodes))


def _open_place(intervals: Sequence[MeterInterval], burst: bool) -> int | None:
    """Return where the open interval of the cluster itself, or of its burst nodes, is."""
    found = (n for n, i in enumerate(intervals) if i.ended_at is None and (i.burst_nodes > 0) is burst)
    return next(found, None)


def _sealed(interval: MeterInterval, at: datetime) -> MeterInterval:
    return interval.model_copy(update={"ended_at": max(at, interval.started_at)})


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was counted for good, in credit-seconds, and the clusters among it that are still there."""

    credit_seconds: Decimal = Decimal(0)
    counted: tuple[str, ...] = ()


def count(
    ledger: Ledger,
    uid: str,
    intervals: Iterable[MeterInterval],
    present: Collection[str],
    since: datetime = BEGINNING,
) -> Ledger:
    """Return the ledger with a cluster's sealed intervals, each cluster once; `since`: not what was before.

    A cluster goes only after this was written, and never comes back, so those that are not `present` are forgotten.
    """
    if uid in ledger.counted:
        return ledger
    sealed = [i for i in intervals if i.ended_at]
    end = max((i.ended_at for i in sealed if i.ended_at), default=since)
    counted = (*(u for u in ledger.counted if u in present), uid)
    return Ledger(ledger.credit_seconds + cost_of(sealed, end, since), counted)


def used(ledger: Ledger, clusters: Iterable[Cluster], now: datetime, since: datetime = BEGINNING) -> Decimal:
    """Return the credit-seconds of a ledger and of the clusters that it has not counted yet."""
    live = Decimal(0)
    for cluster in clusters:
        if cluster.uid not in ledger.counted:
            intervals = meter(metered(cluster), cluster.status.metering, now)
            live += cost_of(intervals, now, since)
    return ledger.credit_seconds + live


def burn_rate(clusters: Iterable[Cluster], now: datetime) -> Decimal:
    """Return the credits an hour that clusters use now."""
    running = (i for c in clusters for i in meter(metered(c), c.status.metering, now) if i.ended_at is None)
    return sum((hourly_rate(i.size, i.type, i.burst_nodes) for i in running), Decimal(0))


def gives_up_services_at(cluster: Cluster, services: ServicesLease | None) -> datetime | None:
    """Return when a released cluster stops waiting for the services to store its metering; None: it does not wait."""
    if not (cluster.is_released and cluster.awaits_services):
        return None
    since = cluster.status.drained_at or cluster.created_at
    return max(since, services.expires_at if services else since) + SERVICES_PATIENCE
