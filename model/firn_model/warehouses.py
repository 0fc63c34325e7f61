"""Kind VirtualWarehouse: what users create."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from firn_model.base import Credits, Resource, keyed_by, rules
from firn_model.clusters import MeterLedger
from firn_model.conditions import Conditions
from firn_model.sizes import MAX_CLUSTERS, WarehouseSize, WarehouseType


class ScalingPolicy(StrEnum):
    """How eagerly an auto-scaled warehouse starts and stops clusters."""

    STANDARD = "Standard"
    ECONOMY = "Economy"


class WarehousePhase(StrEnum):
    """Where a warehouse is in its life."""

    SUSPENDED = "Suspended"
    RESUMING = "Resuming"
    RUNNING = "Running"
    SUSPENDING = "Suspending"


def _cluster_maximum_rules() -> tuple[tuple[str, str], ...]:
    """Return one CEL rule for each bound of maxClusterCount that some sizes share."""
    by_bound: dict[int, list[str]] = {}
    for size, bound in MAX_CLUSTERS.items():
        by_bound.setdefault(bound, []).append(size.value)
    return tuple(
        (
            f"!(self.size in {sizes!r}) || self.maxClusterCount <= {bound}",
            f"spec.maxClusterCount must be at most {bound} for size {', '.join(sizes)}",
        )
        for bound, sizes in by_bound.items()
        if bound < max(MAX_CLUSTERS.values())
    )


class QueryAcceleration(Resource):
    """Burst nodes for large scans (query acceleration)."""

    enabled: bool = Field(default=False, description="Lease burst nodes from the pool to speed up large scans.")
    max_scale_factor: int = Field(
        default=8, ge=0, le=100, description="Most burst compute, in multiples of the warehouse's size; 0 is no bound."
    )
    min_scan_bytes: int | None = Field(
        default=None,
        ge=0,
        description="A remaining scan of fewer bytes asks for no burst nodes; unset: the installation's, 4 GiB.",
    )
    min_scan_seconds: int | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="A remaining scan of fewer estimated seconds asks for none; unset: the installation's, 10.",
    )
    lease_seconds: int = Field(
        default=60,
        ge=5,
        le=3600,
        description="How long a burst node is leased at a time; kept so long at most for the next scan.",
    )


class ScalingSettings(Resource):
    """How an auto-scaled warehouse starts and stops its clusters. Defaults are the seed article's."""

    pacing_seconds: int = Field(default=20, ge=0, le=3600, description="Least time between two automatic starts.")
    check_seconds: int = Field(default=60, ge=1, le=3600, description="Time between two checks for scale-down.")
    scale_down_checks: int | None = Field(
        default=None, ge=1, le=100, description="Checks in a row before a cluster stops; Standard 2, Economy 5."
    )
    economy_load_seconds: int = Field(
        default=360, ge=0, le=86_400, description="Estimated load that starts another cluster under Economy."
    )


class WarehouseSpec(Resource):
    """What a person wants of a virtual warehouse."""

    model_config = rules(
        (
            "self.minClusterCount <= self.maxClusterCount",
            "spec.minClusterCount must be at most spec.maxClusterCount",
        ),
        *_cluster_maximum_rules(),
        (
            "self.type != 'SnowparkOptimized' || !(self.size in ['XS', 'S'])",
            "spec.size must be M or larger when spec.type is SnowparkOptimized",
        ),
        (
            "self.type != 'SnowparkOptimized' || !self.queryAcceleration.enabled",
            "spec.queryAcceleration.enabled must be false when spec.type is SnowparkOptimized",
        ),
    )

    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="SQL name; by default metadata.name in capitals with _ for -.",
    )
    type: WarehouseType = Field(default=WarehouseType.STANDARD, description="Kind of node.")
    size: WarehouseSize = Field(
        default=WarehouseSize.XS, description="Nodes of each cluster: XS is 1, each step doubles."
    )
    min_cluster_count: int = Field(default=1, ge=1, le=300, description="Clusters that run whenever it is started.")
    max_cluster_count: int = Field(default=1, ge=1, le=300, description="Most clusters that it may scale out to.")
    scaling_policy: ScalingPolicy = Field(default=ScalingPolicy.STANDARD, description="How eagerly it scales out.")
    scaling: ScalingSettings = Field(default_factory=ScalingSettings, description="Intervals of the scaling policy.")
    auto_suspend_seconds: int = Field(
        default=600, ge=0, le=31_536_000, description="Seconds of idleness after which it suspends; 0 is never."
    )
    auto_resume: bool = Field(default=True, description="Whether a statement resumes it.")
    suspended: bool = Field(default=False, description="Hold it suspended: no statement and no request resumes it.")
    max_concurrency_level: int = Field(
        default=8, ge=1, le=1000, description="Statements that one cluster runs at once."
    )
    statement_timeout_seconds: int = Field(
        default=172_800, ge=0, le=604_800, description="Longest run of a statement; 0 is the maximum, 7 days."
    )
    statement_queued_timeout_seconds: int = Field(
        default=0, ge=0, le=604_800, description="Longest wait of a statement in the queue; 0 is no bound."
    )
    query_acceleration: QueryAcceleration = Field(
        default_factory=QueryAcceleration, description="Burst nodes for large scans."
    )
    resource_monitor: str | None = Field(default=None, max_length=253, description="Name of a ResourceMonitor.")
    pool: str = Field(default="default", min_length=1, max_length=40, description="WarehousePool that gives its nodes.")
    comment: str = Field(default="", max_length=4096, description="Free text for people.")


class ClusterLoad(Resource):
    """What the services report of one cluster."""

    name: str = Field(description="metadata.name of the WarehouseCluster.")
    running: int = Field(default=0, ge=0, description="Statements that run on it.")
    concurrency: float = Field(default=0, ge=0, description="The same, with small statements as fractions.")


class BurstRequest(Resource):
    """Burst nodes that running statements of one cluster ask for. The operator grants what it may."""

    cluster: str = Field(description="metadata.name of the WarehouseCluster.")
    nodes: int = Field(ge=1, description="Nodes that would help.")
    expires_at: datetime = Field(description="The wish ends then unless it is repeated.")
    statements: tuple[str, ...] = Field(
        default=(), description="Ids of the statements that ask, the longest scan first, at most 8."
    )
    remaining_bytes: int = Field(default=0, ge=0, description="What they have still to scan, when this was written.")
    remaining_seconds: float = Field(
        default=0, ge=0, description="Estimated time that the longest of their scans still takes."
    )


class WarehouseLoad(Resource):
    """What the services report of one warehouse. Owned by the services, by server-side apply."""

    running: int = Field(default=0, ge=0, description="Statements that run.")
    queued: int = Field(default=0, ge=0, description="Statements that wait.")
    queued_since: datetime | None = Field(default=None, description="When the oldest queued statement arrived.")
    idle_since: datetime | None = Field(default=None, description="Since when nothing runs and nothing is queued.")
    queued_seconds: float = Field(
        default=0, ge=0, description="Estimated time that one cluster needs for all that waits."
    )
    clusters: tuple[ClusterLoad, ...] = Field(
        default=(), description="Its clusters, one by one.", json_schema_extra=keyed_by("name")
    )
    burst: tuple[BurstRequest, ...] = Field(
        default=(), description="Burst nodes that are asked for.", json_schema_extra=keyed_by("cluster")
    )
    observed_at: datetime = Field(description="When the services saw this.")
    reporter: str = Field(description="Holder of the services' Lease that wrote this.")


class ClusterSummary(Resource):
    """One cluster of a warehouse, at a glance."""

    name: str = Field(description="metadata.name of the WarehouseCluster.")
    index: int = Field(ge=1, description="Its number in the warehouse.")
    phase: str = Field(description="Its status.phase.")
    ready_nodes: int = Field(default=0, ge=0, description="Its nodes that can run work.")


class ScalingStatus(Resource):
    """What the scaling policy remembers: moments, so that a restart of the operator changes nothing."""

    last_start_at: datetime | None = Field(default=None, description="When it last started a cluster.")
    spares_since: datetime | None = Field(
        default=None, description="Since when the load fits on one cluster fewer; unset while it does not."
    )
    spares_of: int = Field(default=0, ge=0, description="How many clusters that was said of.")


class WarehouseStatus(Resource):
    """What is true of a virtual warehouse. The operator owns all but `load`."""

    phase: WarehousePhase = WarehousePhase.SUSPENDED
    clusters: tuple[ClusterSummary, ...] = Field(
        default=(), description="Its clusters at a glance.", json_schema_extra=keyed_by("name")
    )
    started_clusters: int = Field(default=0, ge=0, description="Clusters with a ready head.")
    burst_nodes: int = Field(default=0, ge=0, description="Burst nodes that speed up its scans.")
    scaling: ScalingStatus | None = Field(default=None, description="What the scaling policy remembers.")
    load: WarehouseLoad | None = Field(default=None, description="What the services report; they alone write it.")
    credits_used: Credits | None = Field(default=None, description="Credits used since it was created.")
    metering: MeterLedger | None = Field(default=None, description="What its former clusters used.")
    resumed_at: datetime | None = Field(default=None, description="When its last resume was complete.")
    suspended_at: datetime | None = Field(default=None, description="When its last suspend was complete.")
    endpoint: str | None = Field(default=None, description="Where statements for it are submitted.")
    observed_generation: int = Field(default=0, ge=0, description="metadata.generation that this was written for.")
    conditions: Conditions = ()


def sql_name(resource_name: str, spec: WarehouseSpec) -> str:
    """Return the warehouse's SQL name: spec.name, or metadata.name in capitals with _ for -."""
    return spec.name or resource_name.upper().replace("-", "_").replace(".", "_")
