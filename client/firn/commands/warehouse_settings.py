"""The options of a warehouse on the command line: one for each field of its resource."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from firn_model.api import WarehouseOptions

M = TypeVar("M", bound="WarehouseOptions")


class Kind(StrEnum):
    """firn_model's WarehouseType, which is too heavy to import for a list of commands."""

    STANDARD = "Standard"
    SNOWPARK_OPTIMIZED = "SnowparkOptimized"


class Policy(StrEnum):
    """firn_model's ScalingPolicy."""

    STANDARD = "Standard"
    ECONOMY = "Economy"


def _sizes(incomplete: str) -> list[str]:
    from firn_model.sizes import SIZES

    return [size.value for size in SIZES if size.value.startswith(incomplete.upper())]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says of a warehouse; None is: nothing."""

    size: Annotated[
        str | None, typer.Option(help="XS, S, M, L, XL, 2XL … 6XL; XS by default.", autocompletion=_sizes)
    ] = None
    kind: Annotated[Kind | None, typer.Option("--type", help="Kind of node.", case_sensitive=False)] = None
    min_clusters: Annotated[int | None, typer.Option(help="Clusters that run whenever it is started.", min=1)] = None
    max_clusters: Annotated[int | None, typer.Option(help="Most clusters that it scales out to.", min=1)] = None
    scaling_policy: Annotated[Policy | None, typer.Option(help="How eagerly it scales out.", case_sensitive=False)] = (
        None
    )
    pacing: Annotated[int | None, typer.Option(help="Seconds between two automatic starts.", min=0)] = None
    check_interval: Annotated[int | None, typer.Option(help="Seconds between checks for scale-down.", min=1)] = None
    scale_down_checks: Annotated[int | None, typer.Option(help="Checks in a row before a cluster stops.", min=1)] = None
    economy_load: Annotated[
        int | None, typer.Option(help="Seconds of load that start a cluster under Economy.", min=0)
    ] = None
    auto_suspend: Annotated[
        int | None, typer.Option(help="Seconds of idleness; 0 is never; 600 by default.", min=0)
    ] = None
    auto_resume: Annotated[
        bool | None, typer.Option("--auto-resume/--no-auto-resume", help="Whether a statement resumes it.")
    ] = None
    hold: Annotated[
        bool | None, typer.Option("--hold/--no-hold", help="Keep it suspended, whatever statements come.")
    ] = None
    max_concurrency: Annotated[
        int | None, typer.Option(help="Statements that one cluster runs at once; 8 by default.", min=1)
    ] = None
    statement_timeout: Annotated[
        int | None, typer.Option(help="Seconds that a statement may run; 0 is 7 days.", min=0)
    ] = None
    queued_timeout: Annotated[
        int | None, typer.Option(help="Seconds that a statement may wait; 0 is no bound.", min=0)
    ] = None
    query_acceleration: Annotated[
        bool | None,
        typer.Option("--query-acceleration/--no-query-acceleration", help="Lease burst nodes for large scans."),
    ] = None
    scale_factor: Annotated[
        int | None, typer.Option(help="Most burst nodes, in multiples of its size; 0 is no bound.", min=0)
    ] = None
    min_scan_bytes: Annotated[
        int | None, typer.Option(help="A scan with fewer bytes left asks for no burst nodes.", min=0)
    ] = None
    min_scan_seconds: Annotated[
        int | None, typer.Option(help="A scan that is done sooner asks for no burst nodes.", min=0)
    ] = None
    burst_lease: Annotated[int | None, typer.Option(help="Seconds that a burst node is leased for.", min=5)] = None
    resource_monitor: Annotated[str | None, typer.Option(help="ResourceMonitor that bounds it; '' for none.")] = None
    pool: Annotated[str | None, typer.Option(help="Pool that gives its nodes; default by default.")] = None
    comment: Annotated[str | None, typer.Option(help="A note for people.")] = None

    def as_message(self, form: type[M], **more: Any) -> M:
        """Return what is said as a message of the API."""
        said = {_FIELDS.get(name, (name,)): value for name, value in asdict(self).items() if value is not None}
        body: dict[str, Any] = dict(more)
        for path, value in said.items():
            inside = body
            for part in path[:-1]:
                inside = inside.setdefault(part, {})
            inside[path[-1]] = value
        return form.model_validate(body)


_FIELDS: dict[str, tuple[str, ...]] = {
    "kind": ("type",),
    "min_clusters": ("min_cluster_count",),
    "max_clusters": ("max_cluster_count",),
    "pacing": ("scaling", "pacing_seconds"),
    "check_interval": ("scaling", "check_seconds"),
    "scale_down_checks": ("scaling", "scale_down_checks"),
    "economy_load": ("scaling", "economy_load_seconds"),
    "auto_suspend": ("auto_suspend_seconds",),
    "hold": ("suspended",),
    "max_concurrency": ("max_concurrency_level",),
    "statement_timeout": ("statement_timeout_seconds",),
    "queued_timeout": ("statement_queued_timeout_seconds",),
    "query_acceleration": ("query_acceleration", "enabled"),
    "scale_factor": ("query_acceleration", "max_scale_factor"),
    "min_scan_bytes": ("query_acceleration", "min_scan_bytes"),
    "burst_lease": ("query_acceleration", "lease_seconds"),
    "min_scan_seconds": ("query_acceleration", "min_scan_seconds"),
}
"""Where an option is in the message, unless it is there by its own name."""
