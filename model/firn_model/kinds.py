"""The four kinds of resources: their names, their parts and what `kubectl get` shows of them."""

from dataclasses import dataclass

from firn_model.base import Resource
from firn_model.clusters import ClusterSpec, ClusterStatus
from firn_model.monitors import MonitorSpec, MonitorStatus
from firn_model.pools import PoolSpec, PoolStatus
from firn_model.warehouses import WarehouseSpec, WarehouseStatus


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; detail columns are shown by `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource."""

    name: str
    plural: str
    short: str
    summary: str
    spec: type[Resource]
    status: type[Resource]
    columns: tuple[Column, ...]
    rules: tuple[tuple[str, str], ...] = ()
    """CEL rules of the whole object, each an (expression, sentence) pair."""

    @property
    def singular(self) -> str:
        """Return the name that `kubectl get` also takes."""
        return self.name.lower()


def _condition(part: str) -> str:
    """Return the JSON path of a part of the condition Ready."""
    return f'.status.conditions[?(@.type=="Ready")].{part}'


def _name_at_most(length: int, because: str) -> tuple[str, str]:
    """Return the rule that metadata.name leaves room for what is derived from it."""
    return (f"size(self.metadata.name) <= {length}", f"metadata.name must be at most {length} characters: {because}")


AGE = Column("Age", ".metadata.creationTimestamp", "date")

VIRTUAL_WAREHOUSE = Kind(
    name="VirtualWarehouse",
    plural="virtualwarehouses",
    short="vw",
    summary="A named, sized pool of compute that starts when a statement arrives and stops when nobody uses it.",
    spec=WarehouseSpec,
    status=WarehouseStatus,
    columns=(
        Column("State", ".status.phase"),
        Column("Size", ".spec.size"),
        Column("Clusters", ".status.startedClusters", "integer"),
        Column("Burst", ".status.burstNodes", "integer"),
        Column("Running", ".status.load.running", "integer"),
        Column("Queued", ".status.load.queued", "integer"),
        Column("Auto-suspend", ".spec.autoSuspendSeconds", "integer"),
        Column("Reason", _condition("reason")),
        AGE,
        Column("Message", _condition("message")),
        Column("Type", ".spec.type", detail=True),
        Column("Pool", ".spec.pool", detail=True),
        Column("Hold", ".spec.suspended", "boolean", detail=True),
        Column("Resumed", ".status.resumedAt", "date", detail=True),
        Column("Suspended", ".status.suspendedAt", "date", detail=True),
    ),
    rules=(_name_at_most(56, "its clusters' names are made of it"),),
)

WAREHOUSE_CLUSTER = Kind(
    name="WarehouseCluster",
    plural="warehouseclusters",
    short="wc",
    summary="One running Ray cluster of a warehouse; the operator makes and deletes it.",
    spec=ClusterSpec,
    status=ClusterStatus,
    columns=(
        Column("State", ".status.phase"),
        Column("Ready nodes", ".status.readyNodes", "integer"),
        Column("Burst", ".status.burstNodes", "integer"),
        Column("Head", ".status.head"),
        Column("Drain", ".spec.drain", "boolean"),
        AGE,
        Column("Warehouse", ".spec.warehouse", detail=True),
        Column("Size", ".spec.size", detail=True),
        Column("Endpoint", ".status.endpoint", detail=True),
        Column("Message", _condition("message"), detail=True),
    ),
    rules=(_name_at_most(63, "it is a label of its nodes"),),
)

WAREHOUSE_POOL = Kind(
    name="WarehousePool",
    plural="warehousepools",
    short="wp",
    summary="Pre-warmed nodes waiting to be claimed by warehouse clusters.",
    spec=PoolSpec,
    status=PoolStatus,
    columns=(
        Column("Ready", ".status.ready", "integer"),
        Column("Warming", ".status.warming", "integer"),
        Column("Claimed", ".status.claimed", "integer"),
        Column("Burst", ".status.burst", "integer"),
        Column("Target", ".status.target", "integer"),
        Column("Hit-rate", ".status.hitRate"),
        AGE,
        Column("CPU", ".spec.node.cpu", detail=True),
        Column("Memory", ".spec.node.memory", detail=True),
        Column("Image", ".spec.image", detail=True),
        Column("Message", _condition("message"), detail=True),
    ),
    rules=(_name_at_most(40, "its nodes' names are made of it"),),
)

RESOURCE_MONITOR = Kind(
    name="ResourceMonitor",
    plural="resourcemonitors",
    short="rm",
    summary="A quota of credits and what happens on the way to it.",
    spec=MonitorSpec,
    status=MonitorStatus,
    columns=(
        Column("Quota", ".spec.creditQuota", "integer"),
        Column("Used", ".status.creditsUsed"),
        Column("Frequency", ".spec.frequency"),
        AGE,
        Column("Message", _condition("message"), detail=True),
    ),
)

KINDS = (VIRTUAL_WAREHOUSE, WAREHOUSE_CLUSTER, WAREHOUSE_POOL, RESOURCE_MONITOR)
