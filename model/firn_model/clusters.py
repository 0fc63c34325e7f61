"""Kind WarehouseCluster: one running Ray cluster of a warehouse. Made and deleted by the operator."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from firn_model.base import Credits, Resource, keyed_by, rules
from firn_model.conditions import Conditions
from firn_model.sizes import WarehouseSize, WarehouseType


class ClusterPhase(StrEnum):
    """Where a cluster is in its life. Its epoch is the resource's UID."""

    PENDING = "Pending"
    RUNNING = "Running"
    DRAINING = "Draining"
    DRAINED = "Drained"
    FAILED = "Failed"


class NodeState(StrEnum):
    """What a cluster knows of one of its nodes."""

    CLAIMED = "Claimed"
    READY = "Ready"
    LEAVING = "Leaving"
    LOST = "Lost"


class ClusterSpec(Resource):
    """What the warehouse's controller wants of a cluster."""

    model_config = rules(
        ("self.warehouse == oldSelf.warehouse", "spec.warehouse is immutable"),
        ("self.index == oldSelf.index", "spec.index is immutable"),
        ("self.type == oldSelf.type", "spec.type is immutable"),
        ("self.pool == oldSelf.pool", "spec.pool is immutable"),
        (
            "self.type != 'SnowparkOptimized' || !(self.size in ['XS', 'S'])",
            "spec.size must be M or larger when spec.type is SnowparkOptimized",
        ),
        ("self.drain || !oldSelf.drain", "spec.drain cannot be taken back: a drained cluster is released"),
    )

    warehouse: str = Field(min_length=1, max_length=253, description="metadata.name of its VirtualWarehouse.")
    index: int = Field(ge=1, le=100_000, description="Its number in the warehouse, from 1; the lowest that is free.")
    size: WarehouseSize = Field(default=WarehouseSize.XS, description="Its nodes: XS is 1, each step doubles.")
    type: WarehouseType = Field(default=WarehouseType.STANDARD, description="Kind of node.")
    pool: str = Field(default="default", min_length=1, max_length=40, description="WarehousePool that gives its nodes.")
    drain: bool = Field(default=False, description="Refuse new statements, finish those that run, then release.")


class NodeStatus(Resource):
    """One node of a cluster."""

    name: str = Field(description="Pod name.")
    uid: str = Field(description="Pod UID; messages to the node carry it.")
    address: str = Field(description="Pod IP.")
    role: str = Field(description="head, worker or burst.")
    state: NodeState


class MeterInterval(Resource):
    """Nodes of one kind that ran for a time: what credits are made of. Sealed intervals never change."""

    id: str = Field(max_length=63, description="Unique in the cluster, so that it is stored once.")
    size: WarehouseSize = Field(description="Size that was provisioned.")
    type: WarehouseType = Field(default=WarehouseType.STANDARD, description="Kind of node.")
    burst_nodes: int = Field(default=0, ge=0, description="0: the cluster itself; else leased nodes, billed by node.")
    started_at: datetime = Field(description="From when it is billed.")
    ended_at: datetime | None = Field(default=None, description="None while it goes on.")


class MeterLedger(Resource):
    """What the clusters used that have gone, or are about to: each is counted once."""

    credit_seconds: Credits = Field(default=Decimal(0), description="Their credits an hour times seconds, exactly.")
    counted: tuple[str, ...] = Field(default=(), description="UIDs of those among them that are still there.")


class ClusterStep(Resource):
    """When a step of the start of a cluster happened: warehouse_event, cluster_created, node_claimed, node_bound."""

    step: str = Field(description="Which step.")
    at: datetime = Field(description="When it was done.")


class ClusterStatus(Resource):
    """What is true of a cluster."""

    phase: ClusterPhase = ClusterPhase.PENDING
    endpoint: str | None = Field(default=None, description="URL of the head's agent; set when the head is ready.")
    head: str | None = Field(default=None, description="Pod name of the head.")
    head_uid: str | None = Field(default=None, description="Pod UID of the head.")
    nodes: tuple[NodeStatus, ...] = Field(default=(), description="Its nodes.", json_schema_extra=keyed_by("name"))
    ready_nodes: int = Field(default=0, ge=0, description="Nodes that can run work.")
    desired_nodes: int = Field(default=1, ge=0, description="Nodes that its size wants.")
    burst_nodes: int = Field(default=0, ge=0, description="Nodes leased for a while to speed up scans.")
    drained: bool = Field(default=False, description="The head holds no work and takes none, or is proven dead.")
    started_at: datetime | None = Field(default=None, description="When its first head was ready.")
    drained_at: datetime | None = Field(default=None, description="When it was drained: its metering ends then.")
    metering: tuple[MeterInterval, ...] = Field(
        default=(), description="What it used; the services store it.", json_schema_extra=keyed_by("id")
    )
    steps: tuple[ClusterStep, ...] = Field(default=(), description="The steps of its last start, in their order.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation that this was written for.")
    conditions: Conditions = ()
