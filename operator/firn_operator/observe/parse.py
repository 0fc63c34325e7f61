"""Raw JSON objects of the API server to the slim tuples of `decide.observed`; UnreadableError for what is not such."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Any, TypeVar

from firn_model import names
from firn_model.base import Resource
from firn_model.clusters import ClusterSpec, ClusterStatus
from firn_model.monitors import MonitorSpec, MonitorStatus
from firn_model.pools import PoolSpec, PoolStatus
from firn_model.sizes import node_count
from firn_model.warehouses import WarehouseSpec, WarehouseStatus
from pydantic import ValidationError

from firn_operator.decide.observed import (
    Cluster,
    Monitor,
    Node,
    Pool,
    ServicesLease,
    Trouble,
    TroubleKind,
    Warehouse,
)
from firn_operator.errors import UnreadableError

Raw = Mapping[str, Any]
R = TypeVar("R", bound=Resource)

IMAGE_TROUBLES = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ErrImageInspect",
    }
)
FAILING_WAITS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
)


def moment(text: object) -> datetime | None:
    """Return the time of an RFC 3339 text, or None for anything else (annotations are written by people too)."""
    if not isinstance(text, str) or not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def version_of(raw: Raw) -> int:
    """Return the resourceVersion as a number; API servers promise that those of one resource are comparable."""
    return int(raw["metadata"].get("resourceVersion") or 0)


def _read(model: type[R], raw: Raw, part: str) -> R:
    try:
        return model.model_validate(raw.get(part) or {})
    except ValidationError as error:
        raise UnreadableError(f"{raw['kind']} {raw['metadata']['name']}: {part} cannot be read: {error}") from error


def _created(meta: Raw) -> datetime:
    return moment(meta.get("creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def _int(text: object, default: int) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else default


def warehouse(raw: Raw) -> Warehouse:
    """Return the warehouse in a VirtualWarehouse object."""
    meta = raw["metadata"]
    notes = meta.get("annotations") or {}
    return Warehouse(
        name=meta["name"],
        uid=meta["uid"],
        version=version_of(raw),
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        created_at=_created(meta),
        spec=_read(WarehouseSpec, raw, "spec"),
        status=_read(WarehouseStatus, raw, "status"),
        suspend_requested_at=moment(notes.get(names.ANNOTATION_SUSPEND_REQUESTED_AT)),
        resume_requested_at=moment(notes.get(names.ANNOTATION_RESUME_REQUESTED_AT)),
    )


def cluster(raw: Raw) -> Cluster:
    """Return the cluster in a WarehouseCluster object."""
    meta = raw["metadata"]
    owner: Raw = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), {})
    notes = meta.get("annotations") or {}
    created = _created(meta)
    spec = _read(ClusterSpec, raw, "spec")
    try:
        node_count(spec.size, spec.type)
    except ValueError as error:
        raise UnreadableError(f"WarehouseCluster {meta['name']}: {error}") from error
    return Cluster(
        name=meta["name"],
        uid=meta["uid"],
        version=version_of(raw),
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        has_finalizer=names.FINALIZER_CLUSTER in (meta.get("finalizers") or ()),
        warehouse_uid=owner.get("uid"),
        created_at=created,
        requested_at=moment(notes.get(names.ANNOTATION_REQUESTED_AT)) or created,
        spec=spec,
        status=_read(ClusterStatus, raw, "status"),
        resumed_at=moment(notes.get(names.ANNOTATION_RESUMED_AT)),
        automatic=notes.get(names.ANNOTATION_AUTOMATIC) == "true",
        resized_at=moment(notes.get(names.ANNOTATION_RESIZED_AT)),
        monitor=notes.get(names.ANNOTATION_MONITOR),
        awaits_services=names.FINALIZER_METERING in (meta.get("finalizers") or ()),
    )


def monitor(raw: Raw) -> Monitor:
    """Return the monitor in a ResourceMonitor object."""
    meta = raw["metadata"]
    return Monitor(
        name=meta["name"],
        uid=meta["uid"],
        version=version_of(raw),
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        created_at=_created(meta),
        spec=_read(MonitorSpec, raw, "spec"),
        status=_read(MonitorStatus, raw, "status"),
    )


def pool(raw: Raw, template: str) -> Pool:
    """Return the pool in a WarehousePool object; `template` is the hash of the pods it makes now."""
    meta = raw["metadata"]
    return Pool(
        name=meta["name"],
        uid=meta["uid"],
        version=version_of(raw),
        generation=meta.get("generation", 0),
        deleting="deletionTimestamp" in meta,
        spec=pool_spec(raw),
        status=_read(PoolStatus, raw, "status"),
        template=template,
    )


def pool_spec(raw: Raw) -> PoolSpec:
    """Return the spec of a WarehousePool object."""
    return _read(PoolSpec, raw, "spec")


def lease(raw: Raw) -> ServicesLease:
    """Return what the services' Lease says."""
    spec = raw.get("spec") or {}
    return ServicesLease(
        version=version_of(raw),
        holder=spec.get("holderIdentity") or "",
        renewed_at=moment(spec.get("renewTime")) or datetime.min.replace(tzinfo=UTC),
        duration=timedelta(seconds=spec.get("leaseDurationSeconds") or 0),
    )


def node(raw: Raw) -> Node:
    """Return the node in a Pod object."""
    meta, status = raw["metadata"], raw.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    phase = intern(status.get("phase", "Pending"))
    return Node(
        name=meta["name"],
        uid=meta["uid"],
        version=version_of(raw),
        pool=intern(labels.get(names.LABEL_POOL, "")),
        slot=_int(labels.get(names.LABEL_SLOT), 0),
        state=intern(labels.get(names.LABEL_STATE, "")),
        template=intern(labels.get(names.LABEL_TEMPLATE, "")),
        phase=phase,
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting="deletionTimestamp" in meta,
        created_at=_created(meta),
        address=status.get("podIP") or None,
        warehouse=labels.get(names.LABEL_WAREHOUSE),
        cluster=labels.get(names.LABEL_CLUSTER),
        epoch=labels.get(names.LABEL_EPOCH),
        role=labels.get(names.LABEL_ROLE),
        head_uid=notes.get(names.ANNOTATION_HEAD_UID),
        warehouse_uid=notes.get(names.ANNOTATION_WAREHOUSE_UID),
        claimed_at=moment(notes.get(names.ANNOTATION_CLAIMED_AT)),
        parked_at=moment(notes.get(names.ANNOTATION_PARKED_AT)),
        leased_until=moment(notes.get(names.ANNOTATION_LEASED_UNTIL)),
        trouble=_trouble(phase, status, conditions),
        failed_at=_failed_at(status) if phase in ("Failed", "Succeeded") else None,
        boot_failures=_int(notes.get(names.ANNOTATION_BOOT_FAILURES), 0),
        scheduled_at=_scheduled_at(conditions),
    )


def _trouble(phase: str, status: Raw, conditions: Mapping[str, Any]) -> Trouble | None:
    """Return what keeps the pod from becoming ready, from its phase, its scheduling and its container."""
    if phase in ("Failed", "Succeeded"):
        return Trouble(TroubleKind.FAILED, _end_message(status))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Trouble(TroubleKind.UNSCHEDULABLE, scheduled.get("message") or "no node has room")
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message") or waiting.get("reason", "")
        if reason in IMAGE_TROUBLES:
            return Trouble(TroubleKind.IMAGE, message)
        if reason in FAILING_WAITS:
            return Trouble(TroubleKind.FAILED, message)
    return None


def _scheduled_at(conditions: Mapping[str, Any]) -> datetime | None:
    scheduled = conditions.get("PodScheduled", {})
    return moment(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None


def _terminated(status: Raw) -> Raw:
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended:
            return dict(ended)
    return {}


def _end_message(status: Raw) -> str:
    ended = _terminated(status)
    said = status.get("message") or ended.get("message") or ""
    why = status.get("reason") or ended.get("reason") or "ended"
    code = f" with exit code {ended['exitCode']}" if "exitCode" in ended else ""
    return f"{why}{code}{': ' if said else ''}{said.strip()[:500]}"


def _failed_at(status: Raw) -> datetime | None:
    return moment(_terminated(status).get("finishedAt"))
