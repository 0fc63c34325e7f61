"""What the operator knows of the account, as slim frozen tuples; decisions read nothing else."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterSpec, ClusterStatus
from firn_model.monitors import MonitorSpec, MonitorStatus
from firn_model.pools import MemoryClass, PoolSpec, PoolStatus
from firn_model.sizes import WarehouseType, node_count
from firn_model.warehouses import WarehouseLoad, WarehouseSpec, WarehouseStatus


class TroubleKind(StrEnum):
    """What keeps a pod from becoming ready."""

    IMAGE = "image"
    UNSCHEDULABLE = "unschedulable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from becoming ready, in Kubernetes' words."""

    kind: TroubleKind
    message: str


@dataclass(frozen=True, slots=True)
class Node:
    """One pod of a pool, warm or claimed."""

    name: str
    uid: str
    version: int
    pool: str
    slot: int
    state: str
    template: str
    phase: str
    ready: bool
    deleting: bool
    created_at: datetime
    address: str | None = None
    warehouse: str | None = None
    cluster: str | None = None
    epoch: str | None = None
    role: str | None = None
    head_uid: str | None = None
    """Of a worker or burst node: the head whose Ray it joins."""
    warehouse_uid: str | None = None
    claimed_at: datetime | None = None
    parked_at: datetime | None = None
    leased_until: datetime | None = None
    """Of a burst node: when its lease ends unless it is renewed."""
    trouble: Trouble | None = None
    failed_at: datetime | None = None
    boot_failures: int = 0
    scheduled_at: datetime | None = None
    """When a machine was found for it; None while it waits for one, or when nobody says."""

    @property
    def is_warm(self) -> bool:
        """Whether it was never claimed."""
        return self.state == names.STATE_WARM

    @property
    def is_parked(self) -> bool:
        """Whether it waits, with its caches, for the next cluster of its warehouse."""
        return self.state == names.STATE_PARKED

    @property
    def boots_since(self) -> datetime:
        """Since when it can boot: what it waited for a machine with room is not its fault."""
        return self.scheduled_at or self.created_at

    @property
    def is_dead(self) -> bool:
        """Whether its process has ended for good: node pods never restart."""
        return self.phase in ("Failed", "Succeeded")

    @property
    def is_alive(self) -> bool:
        """Whether it may still serve: neither ended nor being deleted."""
        return not self.deleting and not self.is_dead


@dataclass(frozen=True, slots=True)
class Pool:
    """One WarehousePool; `template` is the hash of the pods that it would make now."""

    name: str
    uid: str
    version: int
    generation: int
    deleting: bool
    spec: PoolSpec
    status: PoolStatus
    template: str


@dataclass(frozen=True, slots=True)
class Cluster:
    """One WarehouseCluster. Its UID is the epoch."""

    name: str
    uid: str
    version: int
    generation: int
    deleting: bool
    has_finalizer: bool
    warehouse_uid: str | None
    created_at: datetime
    requested_at: datetime
    spec: ClusterSpec
    status: ClusterStatus
    resumed_at: datetime | None = None
    """Since when its warehouse is started; None: since this cluster was requested."""
    automatic: bool = False
    """Whether the scaling policy started it."""
    resized_at: datetime | None = None
    monitor: str | None = None
    """The ResourceMonitor of its warehouse when it was started."""
    awaits_services: bool = False
    """Whether the services have not stored its metering yet."""

    @property
    def desired_nodes(self) -> int:
        """How many nodes its size and type want, its head included."""
        return node_count(self.spec.size, self.spec.type)

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no new work and will be gone."""
        return self.deleting or self.spec.drain

    @property
    def is_released(self) -> bool:
        """Whether nothing is left of it but what the services have yet to store."""
        return self.deleting and not self.has_finalizer

    @property
    def is_metered(self) -> bool:
        """Whether all that it used is in its status, and will not grow."""
        metering = self.status.metering
        return self.status.started_at is None or (bool(metering) and all(i.ended_at for i in metering))

    @property
    def run_since(self) -> datetime:
        """Since when its warehouse is started: the same for all clusters that are wanted at a time."""
        return self.resumed_at or self.requested_at

    @property
    def waits_for_head(self) -> bool:
        """Whether it has no head that serves and wants one."""
        return not self.is_leaving and self.status.phase is ClusterPhase.PENDING

    @property
    def is_running(self) -> bool:
        """Whether statements are dispatched to it."""
        return not self.is_leaving and self.status.phase is ClusterPhase.RUNNING and self.status.endpoint is not None


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One VirtualWarehouse with its one-shot requests."""

    name: str
    uid: str
    version: int
    generation: int
    deleting: bool
    created_at: datetime
    spec: WarehouseSpec
    status: WarehouseStatus
    suspend_requested_at: datetime | None = None
    resume_requested_at: datetime | None = None

    @property
    def load(self) -> WarehouseLoad | None:
        """What the services last reported, fresh or not."""
        return self.status.load


@dataclass(frozen=True, slots=True)
class Monitor:
    """One ResourceMonitor."""

    name: str
    uid: str
    version: int
    generation: int
    deleting: bool
    created_at: datetime
    spec: MonitorSpec
    status: MonitorStatus


@dataclass(frozen=True, slots=True)
class ServicesLease:
    """The services' Lease: their reports are fresh while it is renewed (design.md, "Who writes what")."""

    version: int
    holder: str
    renewed_at: datetime
    duration: timedelta

    def vouches_for(self, load: WarehouseLoad | None, now: datetime) -> bool:
        """Whether `load` was written by the holder and the holder is alive."""
        return load is not None and bool(self.holder) and load.reporter == self.holder and now <= self.expires_at

    @property
    def expires_at(self) -> datetime:
        """Until when the holder is taken for alive."""
        return self.renewed_at + self.duration


def has_no_room(node: Node) -> bool:
    """Whether no machine has room for this pod."""
    return node.trouble is not None and node.trouble.kind is TroubleKind.UNSCHEDULABLE


def fits(cluster: Cluster, pool: Pool) -> bool:
    """Whether the pool's nodes are of the memory class that the cluster's type needs."""
    return pool.spec.node.memory_class is memory_class(cluster.spec.type)


def memory_class(type_: WarehouseType) -> MemoryClass:
    """Return the memory class of the nodes that a type of warehouse runs on."""
    return MemoryClass.HIGH if type_ is WarehouseType.SNOWPARK_OPTIMIZED else MemoryClass.STANDARD


def is_claimable(node: Node) -> bool:
    """Whether this node may be claimed, unless it is promised to a claim."""
    return node.is_warm and node.ready and node.is_alive and bool(node.address)
