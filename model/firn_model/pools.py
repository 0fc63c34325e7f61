"""Kind WarehousePool: pre-warmed nodes waiting to be claimed."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from firn_model.base import Resource, rules
from firn_model.conditions import Conditions

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=20)]
"""A Kubernetes quantity, such as 500m or 2Gi."""


def _at_most(small: str, large: str) -> tuple[str, str]:
    """Return the rule that one quantity of a node is not above another; a malformed one has its own message."""
    valid = f"isQuantity(self.{small}) && isQuantity(self.{large})"
    return (
        f"!({valid}) || !quantity(self.{small}).isGreaterThan(quantity(self.{large}))",
        f"spec.node.{small} must be at most spec.node.{large}",
    )


def _above_zero(name: str) -> tuple[str, str]:
    """Return the rule that a quantity of a node is above zero."""
    return (
        f"!isQuantity(self.{name}) || quantity(self.{name}).isGreaterThan(quantity('0'))",
        f"spec.node.{name} must be greater than 0",
    )


class MemoryClass(StrEnum):
    """Which warehouse type the pool's nodes serve."""

    STANDARD = "Standard"
    HIGH = "High"


class PullPolicy(StrEnum):
    """When a machine pulls the nodes' image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class NodeShape(Resource):
    """The resources of each node."""

    model_config = rules(
        ("self.memoryClass == oldSelf.memoryClass", "spec.node.memoryClass is immutable"),
        _above_zero("cpu"),
        _above_zero("memory"),
        _at_most("cpuRequest", "cpu"),
        _at_most("memoryRequest", "memory"),
        _at_most("sharedMemory", "memory"),
    )

    cpu: Quantity = Field(default="1", description="CPU limit of a node.")
    cpu_request: Quantity = Field(default="100m", description="CPU that the scheduler sets aside for a node.")
    memory: Quantity = Field(default="2Gi", description="Memory limit of a node.")
    memory_request: Quantity = Field(default="512Mi", description="Memory that the scheduler sets aside.")
    shared_memory: Quantity = Field(default="256Mi", description="Size of /dev/shm, part of the memory.")
    local_storage: Quantity = Field(default="4Gi", description="Local disk for spills and caches.")
    memory_class: MemoryClass = Field(
        default=MemoryClass.STANDARD, description="Standard, or High for SnowparkOptimized warehouses."
    )


class WarmTarget(Resource):
    """How many warm nodes are kept."""

    model_config = rules(("self.min <= self.max", "spec.warm.min must be at most spec.warm.max"))

    min: int = Field(default=2, ge=0, le=10_000, description="Warm nodes that are always kept.")
    max: int = Field(default=10, ge=0, le=10_000, description="Most warm nodes, whatever the forecast says.")
    forecast: bool = Field(
        default=False,
        description="Keep what claims of late, and those usual at this hour of the week, need for the hit rate.",
    )
    hit_rate: float = Field(
        default=99, ge=50, le=99.99, description="Percent of the claims that should find a warm node, with forecast."
    )


class Refill(Resource):
    """How fast the pool makes new nodes."""

    delay_seconds: float = Field(default=2.0, ge=0, le=300, description="Pause after a claim, which leaves it the CPU.")
    max_booting: int = Field(default=2, ge=1, le=1000, description="Most nodes that boot at the same time.")
    boot_timeout_seconds: int = Field(default=120, ge=5, le=3600, description="A node not ready by then is replaced.")


class Parked(Resource):
    """Nodes of suspended warehouses that wait, with their caches, for the next resume. They are not billed."""

    max_nodes: int = Field(default=4, ge=0, le=10_000, description="Most parked nodes; the oldest are given up first.")
    keep_seconds: int = Field(default=600, ge=0, le=604_800, description="How long a node stays parked at most.")


class PodOverrides(Resource):
    """What the pool adds to the pods of its nodes."""

    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels of the machines to run on.")
    tolerations: tuple[dict[str, Any], ...] = Field(default=(), description="Tolerations, as in a pod.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations of the pods.")
    priority_class_name: str | None = Field(default=None, description="PriorityClass of the pods.")
    runtime_class_name: str | None = Field(default=None, description="RuntimeClass of the pods.")
    image_pull_secrets: tuple[str, ...] = Field(default=(), description="Names of Secrets that pull the image.")


class PoolSpec(Resource):
    """What a person wants of a pool."""

    node: NodeShape = Field(default_factory=NodeShape, description="The resources of each node.")
    image: str = Field(min_length=1, max_length=512, description="Image of the nodes.")
    image_pull_policy: PullPolicy = Field(default=PullPolicy.IF_NOT_PRESENT, description="When the image is pulled.")
    warm: WarmTarget = Field(default_factory=WarmTarget, description="How many warm nodes are kept.")
    refill: Refill = Field(default_factory=Refill, description="How fast the pool makes new nodes.")
    parked: Parked = Field(default_factory=Parked, description="Nodes kept for suspended warehouses.")
    burst_share: int = Field(default=50, ge=0, le=100, description="Percent of the pool that burst nodes may take.")
    pod_template: PodOverrides = Field(
        default_factory=PodOverrides, description="What the pool adds to the pods of its nodes."
    )


class PoolDemand(Resource):
    """What the operator has learnt of a pool's claims; rates are in nodes a second, as of `at`."""

    at: datetime = Field(description="When the rates were true.")
    fast: float = Field(default=0, ge=0, description="Claims of the last minute.")
    slow: float = Field(default=0, ge=0, description="Claims of the last ten minutes.")
    batch: float = Field(default=1, ge=1, description="Nodes that are claimed together.")
    boot_seconds: float | None = Field(default=None, ge=0, description="What a node takes to boot.")
    week: str = Field(
        default="", max_length=2000, description="The usual claims of each hour of the week, from Monday 00:00 UTC."
    )
    hour: datetime | None = Field(default=None, description="Since when the present hour's claims are counted.")
    claims_before: int | None = Field(default=None, ge=0, description="All claims before that hour.")


class PoolStatus(Resource):
    """What is true of a pool."""

    ready: int = Field(default=0, ge=0, description="Warm nodes that can be claimed.")
    warming: int = Field(default=0, ge=0, description="Nodes that still boot.")
    claimed: int = Field(default=0, ge=0, description="Nodes of this pool in warehouse clusters.")
    burst: int = Field(default=0, ge=0, description="Nodes of this pool that are leased as burst nodes.")
    parked: int = Field(default=0, ge=0, description="Nodes kept for suspended warehouses.")
    target: int = Field(default=0, ge=0, description="Warm nodes wanted now.")
    hits: int = Field(default=0, ge=0, description="Claims that found a warm node waiting.")
    misses: int = Field(default=0, ge=0, description="Claims that had to wait for one.")
    hit_rate: str | None = Field(default=None, description="hits ÷ claims, in percent.")
    misses_by_reason: dict[str, int] = Field(default_factory=dict, description="Why there was none, and how often.")
    demand: PoolDemand | None = Field(default=None, description="What was learnt of its claims, for the forecast.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation that this was written for.")
    conditions: Conditions = ()
