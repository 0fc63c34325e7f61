"""What a workload file says: an account, what its machines can do, and the statements that arrive.

Specs of warehouses and pools are those of the resources, field by field, so that a manifest's spec can be pasted.
"""

from collections import Counter
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from firn_model.base import Resource
from firn_model.pools import PoolSpec
from firn_model.sizes import MAX_CLUSTERS, WarehouseType, node_count
from firn_model.warehouses import WarehouseSpec
from firn_operator.decide.observed import memory_class
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SUFFIXES = {
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}


def _seconds(value: Any) -> Any:
    """Read 90, 90s, 1.5m, 1h or 2d as seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :]
    try:
        return float(number) * _UNITS[unit] if unit else float(number)
    except (KeyError, ValueError):
        raise ValueError(f"{value!r} is not a duration: seconds, or a number with {', '.join(_UNITS)}") from None


def quantity(text: str) -> Decimal:
    """Return a Kubernetes quantity (500m, 2, 16Gi) as a number."""
    for suffix, factor in _SUFFIXES.items():
        if text.endswith(suffix):
            return Decimal(text.removesuffix(suffix)) * factor
    return Decimal(text[:-1]) / 1000 if text.endswith("m") else Decimal(text)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return int(quantity(value.strip()))
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError(f"{value!r} is no amount of bytes: a number, or one with {', '.join(_SUFFIXES)}") from None


Seconds = Annotated[float, BeforeValidator(_seconds)]
Bytes = Annotated[int, BeforeValidator(_bytes)]


class Part(BaseModel):
    """A part of a workload file: camelCase in the file, and nothing that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Physics(Part):
    """How long things take that no decision makes. Defaults: measured resumes (docs/benchmarks.md) and nodes' boots."""

    boot: Seconds = Field(default=4.0, gt=0, description="A node from its creation to ready.")
    watch: Seconds = Field(default=0.012, ge=0, description="A change in one place until another has seen it.")
    create: Seconds = Field(default=0.007, ge=0, description="Creating a WarehouseCluster.")
    claim: Seconds = Field(default=0.014, ge=0, description="Claiming a warm node.")
    bind: Seconds = Field(default=0.007, ge=0, description="Binding a head, its status written.")
    join: Seconds = Field(default=1.7, ge=0, description="Binding a worker: its Ray joins the head's.")
    rejoin: Seconds = Field(default=0.1, ge=0, description="Binding a parked worker: its Ray has joined already.")
    release: Seconds = Field(default=1.0, ge=0, description="Deleting a node's pod.")
    detect: Seconds = Field(default=1.0, ge=0, description="A node that has failed until the operator sees it.")
    failures: float = Field(default=0.0, ge=0, description="How often a claimed node fails, a node and hour.")
    scan_share: float = Field(default=0.8, ge=0, le=1, description="Part of a scanning statement's work that scans.")
    cold_read: Bytes = Field(
        default=0, ge=0, description="Bytes a second that a node reads of what is not cached; 0: all is."
    )
    reconcile: Seconds = Field(default=0.01, ge=0, description="Changes of a pool that fall together are one.")
    overhead: Seconds = Field(default=0.012, ge=0, description="Least time of a statement: plan, dispatch, first rows.")
    work_factor: float = Field(default=1.0, gt=0, description="Multiplies every statement's work.")


class SimulatedPool(Part):
    """One WarehousePool, and how many nodes its machines have room for."""

    name: str = Field(default="default", min_length=1, max_length=40)
    machines: int | None = Field(default=None, ge=1, description="Most nodes at once; no bound by default.")
    spec: PoolSpec = Field(default_factory=lambda: PoolSpec(image="simulated"))

    @field_validator("spec", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        _refuse_unknown(value, PoolSpec)
        return {"image": "simulated", **value} if isinstance(value, dict) else value

    @field_validator("spec")
    @classmethod
    def _possible(cls, spec: PoolSpec) -> PoolSpec:
        if spec.warm.min > spec.warm.max:
            raise ValueError("warm.min must be at most warm.max")
        for name, text in (
            ("cpu", spec.node.cpu),
            ("memory", spec.node.memory),
            ("localStorage", spec.node.local_storage),
        ):
            if quantity(text) <= 0:
                raise ValueError(f"node.{name} must be greater than 0")
        return spec


class SimulatedWarehouse(Part):
    """One VirtualWarehouse, or `count` of them: name-1, name-2 and so on."""

    name: str = Field(min_length=1, max_length=50)
    count: int = Field(default=1, ge=1, le=100_000)
    spec: WarehouseSpec = Field(default_factory=WarehouseSpec)

    @field_validator("spec", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        _refuse_unknown(value, WarehouseSpec)
        return value

    @field_validator("spec")
    @classmethod
    def _possible(cls, spec: WarehouseSpec) -> WarehouseSpec:
        return possible(spec)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its warehouses."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{i}" for i in range(1, self.count + 1))


def possible(spec: WarehouseSpec) -> WarehouseSpec:
    """Return the spec if the API server would take it; raises ValueError otherwise."""
    if spec.min_cluster_count > spec.max_cluster_count:
        raise ValueError("minClusterCount must be at most maxClusterCount")
    most = MAX_CLUSTERS[spec.size]
    if spec.max_cluster_count > most:
        raise ValueError(f"maxClusterCount must be at most {most} for size {spec.size.value}")
    node_count(spec.size, spec.type)
    if spec.type is WarehouseType.SNOWPARK_OPTIMIZED and spec.query_acceleration.enabled:
        raise ValueError("queryAcceleration.enabled must be false when type is SnowparkOptimized")
    if spec.suspended or not spec.auto_resume:
        raise ValueError(
            "a warehouse that statements cannot resume runs none: set suspended to false, autoResume to true"
        )
    if spec.resource_monitor:
        raise ValueError("resource monitors are not simulated: leave resourceMonitor away")
    return spec


class Arrival(Part):
    """One statement of a list."""

    at: Seconds = Field(ge=0, description="When it arrives, in seconds from the start.")
    cpu_seconds: Seconds = Field(ge=0, description="Its work.")
    memory: Bytes = Field(default=0, ge=0, description="What it needs, of all its nodes together.")
    scan: Bytes = Field(default=0, ge=0, description="Bytes that it scans, for burst nodes.")
    dop: int | None = Field(default=None, ge=1, description="Processes that it can use; by default all.")
    warehouse: str | None = Field(default=None, description="By default the stream's first.")
    count: int = Field(default=1, ge=1, le=1_000_000, description="So many at once.")


class Stream(Part):
    """Statements that arrive at some warehouses."""

    warehouses: tuple[str, ...] = Field(default=(), description="Names from `warehouses`; by default all.")


class ListStream(Stream):
    """Statements one by one."""

    kind: Literal["list"]
    statements: tuple[Arrival, ...] = Field(min_length=1)


class PoissonStream(Stream):
    """Statements at random, evenly, with exponential work."""

    kind: Literal["poisson"]
    per_hour: float = Field(gt=0, description="Statements an hour, of each warehouse.")
    cpu_seconds: Seconds = Field(gt=0, description="Mean work.")
    memory: Bytes = Field(default=0, ge=0, description="What each needs.")
    scan: Bytes = Field(default=0, ge=0, description="Bytes that one of mean work scans; others in proportion.")
    dop: int | None = Field(default=None, ge=1, description="Processes that each can use; by default all.")


class CabStream(Stream):
    """The Cloud Analytics Benchmark: databases whose arrivals follow its five patterns.

    Database i goes to the i-th warehouse, beginning anew after the last.
    """

    kind: Literal["cab"]
    databases: int = Field(default=20, ge=1, le=10_000)
    total_gb: float = Field(default=1000, gt=0, description="Of all databases.")
    cpu_hours: float = Field(default=10, gt=0, description="Of all statements.")


class FleetStream(Stream):
    """Statements as fleets see them: Redshift's latencies, by hour of day, some warehouses far busier than others."""

    kind: Literal["fleet"]
    statements: int = Field(gt=0, description="About so many in all, over all warehouses.")
    swing: float = Field(default=1.7, ge=1, description="Busiest hour over the mean.")


AnyStream = Annotated[ListStream | PoissonStream | CabStream | FleetStream, Field(discriminator="kind")]


class Variant(Part):
    """What is different in one of several runs; the fields are those of the specs."""

    name: str = Field(min_length=1)
    warehouse: dict[str, Any] = Field(default_factory=dict, description="Merged into every warehouse's spec.")
    pool: dict[str, Any] = Field(default_factory=dict, description="Merged into every pool's spec.")

    @model_validator(mode="after")
    def _known(self) -> "Variant":
        _refuse_unknown(self.warehouse, WarehouseSpec)
        _refuse_unknown(self.pool, PoolSpec)
        return self


class Workload(Part):
    """A whole workload file."""

    seed: int = Field(default=1, ge=0)
    duration: Seconds = Field(default=3600, gt=0, le=366 * 86400, description="Statements arrive until then.")
    physics: Physics = Field(default_factory=Physics)
    pools: tuple[SimulatedPool, ...] = Field(default_factory=lambda: (SimulatedPool(),), min_length=1)
    warehouses: tuple[SimulatedWarehouse, ...] = Field(min_length=1)
    streams: tuple[AnyStream, ...] = Field(min_length=1)
    variants: tuple[Variant, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> "Workload":
        refuse_what_disagrees(self)
        return self

    @property
    def length(self) -> timedelta:
        """How long statements arrive."""
        return timedelta(seconds=self.duration)

    def names_of(self, stream: Stream) -> list[str]:
        """Return the names of a stream's warehouses."""
        chosen = set(stream.warehouses)
        return [name for w in self.warehouses if not chosen or w.name in chosen for name in w.names]


def refuse_what_disagrees(workload: Workload) -> None:
    """Raise ValueError when the parts of a workload do not fit each other."""
    known = {w.name for w in workload.warehouses}
    for what, names in (
        ("warehouses", [name for w in workload.warehouses for name in {w.name, *w.names}]),
        ("pools", [p.name for p in workload.pools]),
        ("variants", [v.name for v in workload.variants]),
    ):
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise ValueError(f"two {what} have the name {twice}")
    pools = {p.name: p for p in workload.pools}
    for warehouse in workload.warehouses:
        _refuse_misfit(warehouse, pools.get(warehouse.spec.pool))
    for stream in workload.streams:
        named = [*stream.warehouses]
        if isinstance(stream, ListStream):
            named += [a.warehouse for a in stream.statements if a.warehouse]
        for name in named:
            if name not in known:
                raise ValueError(f"a stream names warehouse {name}, which is not there")


def _refuse_misfit(warehouse: SimulatedWarehouse, pool: SimulatedPool | None) -> None:
    """Raise ValueError for a warehouse that would wait for nodes for ever."""
    spec = warehouse.spec
    if pool is None:
        raise ValueError(f"warehouse {warehouse.name} names pool {spec.pool}, which is not there")
    wanted = memory_class(spec.type)
    if pool.spec.node.memory_class is not wanted:
        raise ValueError(
            f"warehouse {warehouse.name}, {spec.type.value}, needs a pool whose node.memoryClass is {wanted.value}"
        )
    needs = node_count(spec.size, spec.type)
    if pool.machines is not None and pool.machines < needs:
        raise ValueError(
            f"warehouse {warehouse.name} needs {needs} nodes, and pool {pool.name} has machines for {pool.machines}"
        )


def _refuse_unknown(value: Any, model: type[Resource]) -> None:
    """Raise ValueError for a field that a resource does not have: it would be ignored, as an older operator must."""
    if not isinstance(value, dict):
        return
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    for key, inner in value.items():
        if key not in fields:
            raise ValueError(f"there is no field {key}; there are {', '.join(sorted(fields))}")
        kind = fields[key]
        if isinstance(kind, type) and issubclass(kind, Resource):
            _refuse_unknown(inner, kind)
