"""What happened to warehouses and their clusters, told from how they look before and after.

Source: snowflake-surface.md, WAREHOUSE_EVENTS_HISTORY. An event's id follows from what it is about, so that services
that start again, or see a state twice, tell it once.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from firn_model.warehouses import WarehousePhase, WarehouseSpec

KEEP = timedelta(days=365)
_IDS = uuid.UUID("6f1d3c52-3b0e-5a0f-9d0a-0e6c6c1f7a11")
LONGEST_REASON = 64
UNSEEN = "seen by no services"
"""The reason of a drop at a time when no services ran."""


class Event(StrEnum):
    """What happened."""

    CREATE_WAREHOUSE = "CREATE_WAREHOUSE"
    DROP_WAREHOUSE = "DROP_WAREHOUSE"
    ALTER_WAREHOUSE = "ALTER_WAREHOUSE"
    RESIZE_WAREHOUSE = "RESIZE_WAREHOUSE"
    RESUME_WAREHOUSE = "RESUME_WAREHOUSE"
    SUSPEND_WAREHOUSE = "SUSPEND_WAREHOUSE"
    LIMIT_REACHED = "LIMIT_REACHED"
    SPINUP_CLUSTER = "SPINUP_CLUSTER"
    SPINDOWN_CLUSTER = "SPINDOWN_CLUSTER"
    RESIZE_CLUSTER = "RESIZE_CLUSTER"


class EventState(StrEnum):
    """How far it has come."""

    STARTED = "STARTED"
    COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a warehouse; `cluster_number` when it is about one cluster."""

    id: str
    at: datetime
    resource: str
    warehouse: str
    event: Event
    state: EventState
    reason: str
    size: str
    cluster_count: int
    cluster_number: int | None = None


@dataclass(frozen=True, slots=True)
class SeenWarehouse:
    """What events are told from. `limit` is the reason that its resource monitor suspended it, and when."""

    uid: str
    resource: str
    name: str
    spec: WarehouseSpec
    generation: int
    created_at: datetime
    phase: WarehousePhase
    reason: str
    clusters: int
    resumed_at: datetime | None = None
    suspended_at: datetime | None = None
    limit: tuple[str, datetime] | None = None

    def happened(
        self, event: Event, state: EventState, at: datetime, reason: str, about: object, number: int | None = None
    ) -> Happened:
        """Return an event; `about` tells it from others of its kind."""
        return Happened(
            id=event_id(self.uid, event, state, about),
            at=at,
            resource=self.resource,
            warehouse=self.name,
            event=event,
            state=state,
            reason=reason[:LONGEST_REASON],
            size=self.spec.size.value,
            cluster_count=self.clusters,
            cluster_number=number,
        )


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """One cluster: `is_automatic` when the scaling policy started it, `is_leaving` from its drain on."""

    uid: str
    number: int
    size: str
    created_at: datetime
    is_automatic: bool
    is_leaving: bool
    started_at: datetime | None
    drained_at: datetime | None


def event_id(*parts: object) -> str:
    """Return the id of the event that these parts name."""
    return str(uuid.uuid5(_IDS, "/".join(str(part) for part in parts)))


def of_warehouse(before: SeenWarehouse | None, after: SeenWarehouse, now: datetime) -> list[Happened]:
    """Return what happened to a warehouse. Without `before`: what its state alone says."""
    done, told = EventState.COMPLETED, list[Happened]()
    told.append(after.happened(Event.CREATE_WAREHOUSE, done, after.created_at, "", ""))
    if before is not None and before.uid == after.uid and before.spec != after.spec:
        told.extend(_changes(before, after, now))
    told.extend(_phase(before, after, now))
    if after.limit is not None:
        reason, since = after.limit
        told.append(after.happened(Event.LIMIT_REACHED, done, since, reason, since))
    return told


def _changes(before: SeenWarehouse, after: SeenWarehouse, now: datetime) -> Iterator[Happened]:
    names = [name for name in type(after.spec).model_fields if getattr(before.spec, name) != getattr(after.spec, name)]
    about = after.generation or now
    if "size" in names:
        words = f"{before.spec.size.value} to {after.spec.size.value}"
        yield after.happened(Event.RESIZE_WAREHOUSE, EventState.COMPLETED, now, words, about)
    if others := [name for name in names if name != "size"]:
        yield after.happened(Event.ALTER_WAREHOUSE, EventState.COMPLETED, now, ", ".join(others), about)


def _phase(before: SeenWarehouse | None, after: SeenWarehouse, now: datetime) -> Iterator[Happened]:
    """Tell resumes by the suspend before them, and suspends by their decision; a new warehouse's first is none."""
    resume, suspend = Event.RESUME_WAREHOUSE, Event.SUSPEND_WAREHOUSE
    has_run = after.resumed_at is not None
    match after.phase:
        case WarehousePhase.RESUMING:
            yield after.happened(resume, EventState.STARTED, now, after.reason, after.suspended_at)
        case WarehousePhase.RUNNING:
            at = after.resumed_at or now
            if before is None or before.phase is not WarehousePhase.RUNNING:
                yield after.happened(resume, EventState.COMPLETED, at, after.reason, after.suspended_at)
        case WarehousePhase.SUSPENDING | WarehousePhase.SUSPENDED if has_run:
            at = after.suspended_at or now
            yield after.happened(suspend, EventState.STARTED, at, after.reason, after.suspended_at)
            if after.phase is WarehousePhase.SUSPENDED:
                yield after.happened(suspend, EventState.COMPLETED, now, after.reason, after.suspended_at)


def since(stored: Happened, found: SeenWarehouse, now: datetime) -> list[Happened]:
    """Return what happened to a warehouse between the last event that is stored of it and now, unseen.

    Only its size is in the events; when it happened nobody knows. An older warehouse of its name has gone.
    """
    if stored.at < found.created_at:
        gone = dropped_since(stored, now)
        return [gone] if gone is not None else []
    if stored.size == found.spec.size.value:
        return []
    words = f"{stored.size} to {found.spec.size.value}"
    return [found.happened(Event.RESIZE_WAREHOUSE, EventState.COMPLETED, now, words, found.generation or now)]


def dropped_since(stored: Happened, now: datetime) -> Happened | None:
    """Return that a warehouse is gone of which an event is stored; None when its end is stored too."""
    if stored.event is Event.DROP_WAREHOUSE:
        return None
    event, state, about = Event.DROP_WAREHOUSE, EventState.COMPLETED, event_id(stored.id, Event.DROP_WAREHOUSE)
    return replace(stored, id=about, at=now, event=event, state=state, reason=UNSEEN, cluster_number=None)


def of_drop(last: SeenWarehouse, now: datetime) -> Happened:
    """Return that a warehouse is gone."""
    return last.happened(Event.DROP_WAREHOUSE, EventState.COMPLETED, now, "", "")


def of_cluster(
    before: SeenCluster | None, after: SeenCluster, warehouse: SeenWarehouse, now: datetime
) -> list[Happened]:
    """Return what happened to a cluster."""
    up, number = Event.SPINUP_CLUSTER, after.number
    reason = "MULTICLUSTER_SPINUP" if after.is_automatic else "WAREHOUSE_RESUME"
    told = [warehouse.happened(up, EventState.STARTED, after.created_at, reason, after.uid, number)]
    if after.started_at is not None:
        told.append(warehouse.happened(up, EventState.COMPLETED, after.started_at, reason, after.uid, number))
    if before is not None and before.uid == after.uid and before.size != after.size:
        words, about = f"{before.size} to {after.size}", (after.uid, before.size, after.size, now)
        told.append(warehouse.happened(Event.RESIZE_CLUSTER, EventState.COMPLETED, now, words, about, number))
    if after.is_leaving or after.drained_at is not None:
        why = _why_down(warehouse)
        told.append(warehouse.happened(Event.SPINDOWN_CLUSTER, EventState.STARTED, now, why, after.uid, number))
    if after.drained_at is not None:
        told.append(_down(after, warehouse, after.drained_at))
    return told


def of_gone_cluster(last: SeenCluster, warehouse: SeenWarehouse, now: datetime) -> Happened:
    """Return that a cluster is gone."""
    return _down(last, warehouse, last.drained_at or now)


def _down(cluster: SeenCluster, warehouse: SeenWarehouse, at: datetime) -> Happened:
    event, done = Event.SPINDOWN_CLUSTER, EventState.COMPLETED
    return warehouse.happened(event, done, at, _why_down(warehouse), cluster.uid, cluster.number)


def _why_down(warehouse: SeenWarehouse) -> str:
    started = warehouse.phase in (WarehousePhase.RUNNING, WarehousePhase.RESUMING)
    return "MULTICLUSTER_SPINDOWN" if started else "WAREHOUSE_SUSPEND"
