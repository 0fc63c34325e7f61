"""Kind WarehousePool: pre-warmed nodes waiting to be claimed."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from firn_model.base import Resource, rules
from firn_model.conditions import Condition

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"


class MemoryClass(StrEnum):
    """Which warehouse type the pool's nodes serve."""

    STANDARD = "Standard"
    HIGH = "High"


class NodeShape(Resource):
    """The resources of each node."""

    model_config = rules(("self.memoryClass == oldSelf.memoryClass", "spec.node.memoryClass is immutable"))

    cpu: str = Field(default="1", pattern=QUANTITY, description="CPU limit of a node.")
    cpu_request: str = Field(
        default="100m", pattern=QUANTITY, description="CPU that the scheduler sets aside for a node."
    )
    memory: str = Field(default="2Gi", pattern=QUANTITY, description="Memory limit of a node.")
    memory_request: str = Field(default="512Mi", pattern=QUANTITY, description="Memory that the scheduler sets aside.")
    shared_memory: str = Field(default="256Mi", pattern=QUANTITY, description="Size of /dev/shm, part of the memory.")
    local_storage: str = Field(default="4Gi", pattern=QUANTITY, description="Local disk for spills and caches.")
    memory_class: MemoryClass = MemoryClass.STANDARD


class WarmTarget(Resource):
    """How many warm nodes are kept."""

    model_config = rules(("self.min <= self.max", "spec.warm.min must be at most spec.warm.max"))

    min: int = Field(default=2, ge=0, le=10_000)
    max: int = Field(default=10, ge=0, le=10_000)
    forecast: bool = False


class Refill(Resource):
    """How fast the pool makes new nodes."""

    delay_seconds: float = Field(default=2.0, ge=0, le=300, description="Pause after a claim, which leaves it the CPU.")
    max_booting: int = Field(default=2, ge=1, le=1000, description="Most nodes that boot at the same time.")
    boot_timeout_seconds: int = Field(default=120, ge=5, le=3600, description="A node not ready by then is replaced.")


class PodOverrides(Resource):
    """What the pool adds to the pods of its nodes."""

    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    image_pull_secrets: tuple[str, ...] = ()


class PoolSpec(Resource):
    """What a person wants of a pool."""

    node: NodeShape = Field(default_factory=NodeShape)
    image: str = Field(min_length=1, max_length=512, description="Image of the nodes.")
    image_pull_policy: str = Field(default="IfNotPresent", pattern="^(Always|IfNotPresent|Never)$")
    warm: WarmTarget = Field(default_factory=WarmTarget)
    refill: Refill = Field(default_factory=Refill)
    burst_share: int = Field(default=50, ge=0, le=100, description="Percent of the pool that burst nodes may take.")
    pod_template: PodOverrides = Field(default_factory=PodOverrides)


class PoolStatus(Resource):
    """What is true of a pool."""

    ready: int = Field(default=0, ge=0)
    warming: int = Field(default=0, ge=0)
    claimed: int = Field(default=0, ge=0)
    target: int = Field(default=0, ge=0)
    hits: int = Field(default=0, ge=0, description="Claims that found a warm node waiting.")
    misses: int = Field(default=0, ge=0, description="Claims that had to wait for one.")
    hit_rate: str | None = Field(default=None, description="hits ÷ claims, in percent.")
    observed_generation: int = Field(default=0, ge=0)
    conditions: tuple[Condition, ...] = ()
