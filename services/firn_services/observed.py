"""What the services know of the account's warehouses and clusters, from their watches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from firn_model.clusters import ClusterPhase, ClusterSpec, ClusterStatus
from firn_model.warehouses import WarehouseSpec, WarehouseStatus, sql_name


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
        )


@dataclass(frozen=True, slots=True)
class ObservedCluster:
    """One WarehouseCluster. Its epoch is its UID."""

    name: str
    epoch: str
    spec: ClusterSpec
    status: ClusterStatus
    is_leaving: bool

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
        )

    @property
    def takes_statements(self) -> bool:
        """Return whether statements may be dispatched to its head."""
        status = self.status
        running = status.phase is ClusterPhase.RUNNING and status.endpoint is not None and status.head_uid is not None
        return running and not self.spec.drain and not self.is_leaving
