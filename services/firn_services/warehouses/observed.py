"""What the services know of the account's warehouses and clusters, from their watches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterSpec, ClusterStatus
from firn_model.conditions import Condition, ConditionStatus
from firn_model.warehouses import WarehousePhase, WarehouseSpec, WarehouseStatus, sql_name

from firn_services.decide.admission import Facts


@dataclass(frozen=True, slots=True)
class ObservedWarehouse:
    """One VirtualWarehouse."""

    resource: str
    uid: str
    name: str
    spec: WarehouseSpec
    status: WarehouseStatus
    created_at: datetime | None
    is_leaving: bool
    resume_requested_at: datetime | None = None
    suspend_requested_at: datetime | None = None
    generation: int = 0

    def facts(self, *, is_serving: bool) -> Facts:
        """Return what decides whether it takes statements."""
        return Facts(
            name=self.name,
            suspended=self.spec.suspended,
            auto_resume=self.spec.auto_resume,
            is_serving=is_serving,
            is_starting=self.status.phase in (WarehousePhase.RESUMING, WarehousePhase.RUNNING),
            suspended_at=self.status.suspended_at,
            resume_requested_at=self.resume_requested_at,
            suspend_requested_at=self.suspend_requested_at,
            limit=self.limit.message if self.limit else None,
        )

    @property
    def limit(self) -> Condition | None:
        """The condition by which its resource monitor has suspended it, if it has."""
        return next(
            (
                c
                for c in self.status.conditions
                if c.type == names.CONDITION_MONITOR_LIMIT and c.status is ConditionStatus.TRUE
            ),
            None,
        )

    @property
    def cancels_running(self) -> bool:
        """Whether its resource monitor wants what runs to end at once."""
        return self.limit is not None and self.limit.reason == names.REASON_MONITOR_SUSPEND_IMMEDIATELY

    def holding_back(self) -> str | None:
        """Return what its conditions say holds it back, in words."""
        said = [c.message for c in self.status.conditions if c.status is ConditionStatus.FALSE and c.message]
        return "; ".join(said) or None

    @classmethod
    def read(cls, item: dict[str, Any]) -> "ObservedWarehouse":
        """Return it as the API server has it."""
        meta = item["metadata"]
        spec = WarehouseSpec.model_validate(item.get("spec") or {})
        return cls(
            resource=meta["name"],
            uid=meta["uid"],
            name=sql_name(meta["name"], spec),
            spec=spec,
            status=WarehouseStatus.model_validate(item.get("status") or {}),
            created_at=datetime.fromisoformat(meta["creationTimestamp"]),
            is_leaving="deletionTimestamp" in meta,
            resume_requested_at=_moment(meta, names.ANNOTATION_RESUME_REQUESTED_AT),
            suspend_requested_at=_moment(meta, names.ANNOTATION_SUSPEND_REQUESTED_AT),
            generation=meta.get("generation", 0),
        )


def _moment(meta: dict[str, Any], annotation: str) -> datetime | None:
    """Return the time in an annotation; None when there is none that can be read."""
    text = (meta.get("annotations") or {}).get(annotation)
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """One WarehouseCluster. Its epoch is its UID."""

    name: str
    epoch: str
    spec: ClusterSpec
    status: ClusterStatus
    is_leaving: bool
    version: str = ""
    finalizers: tuple[str, ...] = ()
    created_at: datetime | None = None
    is_automatic: bool = False

    @classmethod
    def read(cls, item: dict[str, Any]) -> "ObservedCluster":
        """Return it as the API server has it."""
        meta = item["metadata"]
        return cls(
            name=meta["name"],
            epoch=meta["uid"],
            spec=ClusterSpec.model_validate(item["spec"]),
            status=ClusterStatus.model_validate(item.get("status") or {}),
            is_leaving="deletionTimestamp" in meta,
            version=meta.get("resourceVersion", ""),
            finalizers=tuple(meta.get("finalizers") or ()),
            created_at=datetime.fromisoformat(meta["creationTimestamp"]) if "creationTimestamp" in meta else None,
            is_automatic=(meta.get("annotations") or {}).get(names.ANNOTATION_AUTOMATIC) == "true",
        )

    @property
    def takes_statements(self) -> bool:
        """Return whether statements may be dispatched to its head."""
        status = self.status
        running = status.phase is ClusterPhase.RUNNING and status.endpoint is not None and status.head_uid is not None
        return running and not self.spec.drain and not self.is_leaving
