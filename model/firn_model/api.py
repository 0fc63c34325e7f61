"""The services' HTTP/JSON API under /api/v1, as clients and services share it.

| call | body | answer |
|---|---|---|
| `POST /login` | LoginRequest | LoginReply |
| `POST /statements` | SubmitRequest | StatementReply, when final or after `wait_seconds` |
| `GET /statements?warehouse=&state=&limit=` | | StatementList, newest first |
| `GET /statements/{id}?wait_seconds=` | | StatementReply, when final or after the wait |
| `GET /statements/{id}/result?format=json` and `&offset=&limit=` | | ResultPage |
| `GET /statements/{id}/result?format=arrow` | | an Arrow IPC stream |
| `GET /statements/{id}/profile` | | ProfileReply, once it has ended |
| `POST /statements/{id}/cancel` | | StatementReply |
| `GET /warehouses`, `GET /warehouses/{name}` | | WarehouseList, WarehouseReply |
| `POST /warehouses` | CreateWarehouse | WarehouseReply |
| `PATCH /warehouses/{name}` | AlterWarehouse | WarehouseReply |
| `POST /warehouses/{name}/suspend`, `…/resume` | | WarehouseReply |
| `GET /warehouses/{name}/load?start=&end=&interval_seconds=` | | LoadReply; by default of the last hour |
| `GET /warehouses/{name}/advice?start=&end=` | | AdviceReply; by default of the last 14 days |
| `GET /warehouses/{name}/events?start=&end=&limit=` | | EventList, newest first; by default of the last 14 days |
| `GET /usage?warehouse=&start=&end=` | | UsageReply: credits by hour and warehouse |
| `GET /tables` | | TableList |
| `POST /tables` | RegisterTable | TableReply: existing Parquet files become an Iceberg table |

All but login need `Authorization: Bearer <token>`. Every error is an ErrorReply.
Outside /api/v1: `/healthz`, `/readyz`, `/metrics`.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from firn_model.base import Credits, Message
from firn_model.messages import Statistics
from firn_model.profile import Profile
from firn_model.sizes import WarehouseType
from firn_model.statements import StatementError, StatementState
from firn_model.warehouses import ScalingPolicy

PREFIX = "/api/v1"
INLINE_ROWS = 1000
"""Rows of a result that a StatementReply carries itself."""


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character cannot be stored")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Text that every database can store."""


class LoginRequest(Message):
    """Who is asking."""

    user: str = Field(min_length=1, max_length=255)
    password: str = Field(min_length=1, max_length=1024, repr=False)


class LoginReply(Message):
    """A bearer token."""

    token: str = Field(repr=False)
    expires_at: datetime


class ErrorDetail(Message):
    """What went wrong and what to do."""

    error: str = Field(description="A StatementError, or unauthenticated, not_found, conflict, malformed, unavailable.")
    message: str
    sqlstate: str | None = None
    line: int | None = Field(default=None, description="Line of the SQL text, from 1.")
    column: int | None = Field(default=None, description="Column of the SQL text, from 1.")


class ErrorReply(Message):
    """The body of every 4xx and 5xx answer."""

    error: ErrorDetail


class SubmitRequest(Message):
    """Run one statement."""

    sql: Text = Field(min_length=1, max_length=1_000_000)
    warehouse: Text | None = Field(default=None, description="SQL name; needed by statements that run on one.")
    database: Text | None = None
    schema_name: Text | None = None
    wait_seconds: float = Field(default=0, ge=0, le=60)
    statement_timeout_seconds: int = Field(default=0, ge=0, le=604_800)
    statement_queued_timeout_seconds: int = Field(default=0, ge=0, le=604_800)
    request_id: Text | None = Field(default=None, max_length=64, description="Repeat it to repeat a submit safely.")
    last_statement_id: Text | None = Field(
        default=None, max_length=36, description="The session's statement before this one: what LAST_QUERY_ID() is."
    )


class Column(Message):
    """One column of a result."""

    name: str
    type: str = Field(description="Arrow type in words.")
    nullable: bool = True


class ResultPage(Message):
    """Rows of a result as JSON; decimals and dates as strings, bytes as base64."""

    columns: tuple[Column, ...]
    rows: list[list[Any]]
    offset: int = 0
    total_rows: int


class StepTime(Message):
    """When a step of a statement's life happened, for breakdowns."""

    step: str
    at: datetime


class StatementProgress(Message):
    """How far a running statement is, as its head said last."""

    percent: float | None = Field(default=None, ge=0, le=100, description="Done, of all its work; None: not known yet.")
    rows_scanned: int = 0
    bytes_scanned: int = 0
    stage: int | None = Field(default=None, description="The first that is not done, from 1.")
    stages: int = 0
    burst_nodes: int = Field(default=0, description="Burst nodes that work for it.")
    at: datetime = Field(description="When the head said so.")


class StatementReply(Message):
    """A statement as its owner sees it."""

    id: str
    sql: str
    state: StatementState
    user: str
    warehouse: str | None = None
    cluster: str | None = None
    attempts: int = 0
    submitted_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    waiting_for: str | None = Field(default=None, description="Why it is still queued, in words.")
    error: StatementError | None = None
    detail: ErrorDetail | None = None
    statistics: Statistics | None = None
    progress: StatementProgress | None = Field(default=None, description="While it runs, once its head has told.")
    result: ResultPage | None = Field(default=None, description="The first rows, once it has succeeded.")
    steps: tuple[StepTime, ...] = ()


class ProfileReply(Message):
    """How a statement ran, and the statement without its rows."""

    statement: StatementReply
    profile: Profile


class StatementList(Message):
    """Statements, newest first, without results."""

    statements: tuple[StatementReply, ...]


class AccelerationOptions(Message):
    """Burst nodes of a warehouse: the options that are said."""

    enabled: bool | None = None
    max_scale_factor: int | None = Field(default=None, description="0 is no bound.")
    min_scan_bytes: int | None = None
    min_scan_seconds: int | None = None
    lease_seconds: int | None = None


class ScalingOptions(Message):
    """Intervals of the scaling policy: the options that are said."""

    pacing_seconds: int | None = None
    check_seconds: int | None = None
    scale_down_checks: int | None = None
    economy_load_seconds: int | None = None


class WarehouseOptions(Message):
    """The options of a warehouse that are said; what is not is its default, or stays. WarehouseSpec says more."""

    type: WarehouseType | None = None
    size: str | None = Field(default=None, description="XS, S, … 6XL, or X-SMALL, XLARGE, …")
    min_cluster_count: int | None = None
    max_cluster_count: int | None = None
    scaling_policy: ScalingPolicy | None = None
    scaling: ScalingOptions | None = None
    auto_suspend_seconds: int | None = Field(default=None, description="0 is never.")
    auto_resume: bool | None = None
    suspended: bool | None = Field(default=None, description="Hold it suspended.")
    max_concurrency_level: int | None = None
    statement_timeout_seconds: int | None = None
    statement_queued_timeout_seconds: int | None = None
    query_acceleration: AccelerationOptions | None = None
    resource_monitor: str | None = Field(default=None, description="Empty: none.")
    pool: str | None = None
    comment: str | None = None


class CreateWarehouse(WarehouseOptions):
    """A new warehouse."""

    name: str = Field(min_length=1, max_length=255, description="SQL name.")
    if_not_exists: bool = False


class AlterWarehouse(WarehouseOptions):
    """Other options for a warehouse."""

    rename_to: str | None = Field(default=None, min_length=1, max_length=255, description="SQL name.")


class WarehouseReply(Message):
    """A warehouse as users see it."""

    name: str = Field(description="SQL name.")
    resource: str = Field(description="metadata.name of the VirtualWarehouse.")
    state: str
    size: str
    type: str
    min_cluster_count: int
    max_cluster_count: int
    started_clusters: int
    running: int
    queued: int
    auto_suspend_seconds: int
    auto_resume: bool
    suspended: bool
    scaling_policy: ScalingPolicy = ScalingPolicy.STANDARD
    scaling: ScalingOptions = ScalingOptions()
    max_concurrency_level: int = 8
    statement_timeout_seconds: int = 172_800
    statement_queued_timeout_seconds: int = 0
    query_acceleration: AccelerationOptions = AccelerationOptions()
    resource_monitor: str | None = None
    pool: str
    comment: str
    credits_used: Credits | None = None
    created_at: datetime | None = None
    resumed_at: datetime | None = None
    message: str | None = Field(default=None, description="What holds it back, in words.")


class WarehouseList(Message):
    """Warehouses by name."""

    warehouses: tuple[WarehouseReply, ...]


class ClusterLoadInterval(Message):
    """One cluster's averages in an interval, while it served."""

    cluster: str = Field(description="metadata.name of the WarehouseCluster.")
    number: int = Field(description="Its number in the warehouse.")
    avg_running: float = Field(description="Statements.")
    utilization: float = Field(description="Share of its processes that were given out, 0 to 1.")


class LoadInterval(Message):
    """A warehouse's averages in an interval: seconds that statements were in a state, divided by the interval."""

    started_at: datetime
    avg_running: float
    avg_queued_load: float = Field(description="Waiting for room on the clusters that serve.")
    avg_queued_provisioning: float = Field(description="Waiting for the first cluster that serves.")
    avg_blocked: float = Field(description="Waiting for locks: 0, there are none.")
    utilization: float | None = Field(description="Of all clusters that served; none did: null.")
    clusters: tuple[ClusterLoadInterval, ...] = ()


class LoadReply(Message):
    """A warehouse's load, the oldest interval first; the last one may go on."""

    warehouse: str = Field(description="SQL name.")
    start: datetime
    end: datetime
    interval_seconds: int
    intervals: tuple[LoadInterval, ...]


class WarehouseEvent(Message):
    """Something that happened to a warehouse, or to one of its clusters."""

    at: datetime
    warehouse: str = Field(description="Its SQL name then.")
    cluster_number: int | None = Field(default=None, description="Which cluster; null: the warehouse itself.")
    event: str = Field(description="CREATE_WAREHOUSE, RESUME_WAREHOUSE, SPINUP_CLUSTER, …")
    state: str = Field(description="STARTED or COMPLETED.")
    reason: str
    size: str
    cluster_count: int = Field(description="Clusters that were started.")


class EventList(Message):
    """A warehouse's events, the newest first."""

    warehouse: str = Field(description="SQL name.")
    events: tuple[WarehouseEvent, ...]


class Advice(Message):
    """Something to consider, and why."""

    rule: str = Field(description="Which rule of decide/advice.py, as one word.")
    words: str
    figures: dict[str, float] = Field(description="What it rests on.")
    change: str | None = Field(default=None, description="SQL that follows it.")


class AdviceReply(Message):
    """Advice on a warehouse, the costliest mistakes first."""

    warehouse: str = Field(description="SQL name.")
    start: datetime
    end: datetime
    statements: int = Field(description="So many were looked at.")
    use: str | None = Field(description="loading, BI or ad hoc; null: too few statements to tell.")
    advice: tuple[Advice, ...]


class UsageHour(Message):
    """What a warehouse used in one hour, in credits; its burst nodes apart."""

    warehouse: str = Field(description="SQL name.")
    hour: datetime = Field(description="Start of the hour, UTC.")
    credits_compute: Credits
    credits_burst: Credits
    credits_used: Credits = Field(description="Both.")


class UsageReply(Message):
    """Credits by hour and warehouse, the oldest hour first."""

    start: datetime
    end: datetime
    hours: tuple[UsageHour, ...]
    credits_used: Credits = Field(description="Of all that is listed.")


class RegisterTable(Message):
    """Make existing Parquet files an Iceberg table, without copying them."""

    database: str
    schema_name: str
    name: str
    files: tuple[str, ...] = Field(min_length=1, description="s3://bucket/key of each file.")
    replace: bool = False


class TableReply(Message):
    """A table."""

    database: str
    schema_name: str
    name: str
    files: int
    rows: int
    size_bytes: int


class TableList(Message):
    """Tables by name."""

    tables: tuple[TableReply, ...]
