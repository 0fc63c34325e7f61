"""Messages between the operator, the services and a node's agent.

Every POST to an agent is a JSON body of a `Signed` subclass with the header `signing.HEADER`. Paths:

| path | body | from | answer |
|---|---|---|---|
| `POST /bind` | Bind | operator | BindReply; 409 Refusal when bound to another epoch |
| `POST /members` | Members | operator | MembersReply: which nodes have joined this head, which are still in use |
| `POST /park` | Park | operator | ParkReply: a drained node keeps its caches and waits for its warehouse's next epoch |
| `POST /drain` | Drain | operator | DrainReply, after `wait_seconds` at most; new work is refused from then on |
| `POST /statements` | Dispatch | services | frames (see frames.py); 409 Refusal: draining, unbound, another epoch |
| `POST /cancel` | Cancel | services | CancelReply |
| `POST /report` | Report | services | ReportReply: what this head holds |
| `GET /readyz` `/livez` `/metrics` | | anyone | 200 when ready (the engine has answered a real query) |

400 Refusal: a malformed body. 403 Refusal: not signed, expired, or for another pod.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from firn_model.base import Message
from firn_model.profile import Profile
from firn_model.statements import StatementError
from firn_model.writes import FileFormat, TextOptions, WriteTarget, WrittenFile


class Signed(Message):
    """What every signed message carries."""

    pod_uid: str = Field(min_length=1)
    epoch: str = Field(min_length=1, description="UID of the WarehouseCluster.")
    expires_at: datetime


class RefusalReason(StrEnum):
    """Why an agent refuses a message."""

    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    WRONG_POD = "wrong_pod"
    WRONG_EPOCH = "wrong_epoch"
    NOT_BOUND = "not_bound"
    NOT_READY = "not_ready"
    DRAINING = "draining"
    BUSY = "busy"
    MALFORMED = "malformed"


class Refusal(Message):
    """The body of every 4xx answer."""

    reason: RefusalReason
    message: str


class HeadAddress(Message):
    """How a worker joins a head's Ray."""

    pod_uid: str = Field(min_length=1)
    ray_address: str = Field(min_length=1, description="host:port of the head's GCS.")
    ray_token: str = Field(min_length=1, repr=False, description="The head's own token; nobody else is let in.")


class Bind(Signed):
    """Turn a warm node, or one that is parked for this warehouse, into a member of a cluster. Idempotent for its epoch.

    A head answers at once. A worker or burst node answers when its Ray has joined the head's and its engine serves.
    """

    warehouse: str
    warehouse_uid: str = Field(default="", description="A parked node is bound again for this warehouse only.")
    cluster: str
    role: str
    head: HeadAddress | None = Field(default=None, description="The head to join; None for a head.")
    cluster_nodes: int = Field(default=1, ge=1, description="Nodes the cluster will have when all have joined.")


class BindReply(Message):
    """The node is bound: a head is ready for statements, another node has joined its head."""

    epoch: str
    ray_address: str
    ray_token: str = Field(default="", repr=False, description="For the workers that will join this head.")
    bound_at: datetime


class Member(Message):
    """One node of a cluster, or one leased to it for a while, beside its head."""

    pod_uid: str = Field(min_length=1)
    name: str
    address: str = Field(description="Pod IP.")
    role: str = Field(description="worker or burst.")


class Members(Signed):
    """Tell a head which nodes it may use. Those it has and that are not named get no new work.

    Declarative and idempotent. A head that knows nothing of a node yet takes it once its Ray has joined.
    """

    members: tuple[Member, ...] = ()
    wait_seconds: float = Field(default=0, ge=0, le=60, description="Answer early only when the answer changes.")
    known: "MembersReply | None" = Field(default=None, description="The answer that the operator has already.")


class MembersReply(Message):
    """What a head makes of its nodes, by pod UID."""

    joined: tuple[str, ...] = Field(default=(), description="Usable now.")
    busy: tuple[str, ...] = Field(default=(), description="Held by a running statement; only others may be released.")
    idle_bursts: dict[str, datetime] = Field(
        default_factory=dict, description="Burst nodes without work, and since when."
    )


class Park(Signed):
    """Keep a drained node's caches. From then on it takes a Bind of a new epoch, of the same warehouse only."""

    warehouse_uid: str = Field(min_length=1)


class ParkReply(Message):
    """The node is parked."""

    parked_at: datetime


class Drain(Signed):
    """Refuse new work; answer when nothing is held, or after `wait_seconds`."""

    wait_seconds: float = Field(default=0, ge=0, le=60)


class DrainReply(Message):
    """Drained means: no statement, no undelivered result, no uncommitted write, and none will be accepted."""

    drained: bool
    statements: int = Field(ge=0)


class ObjectStoreAccess(Message):
    """How a node reads the account's object store."""

    endpoint: str = Field(description="URL, http or https.")
    region: str = "us-east-1"
    access_key_id: str = Field(repr=False)
    secret_access_key: str = Field(repr=False)
    session_token: str | None = Field(default=None, repr=False)


class DataFile(Message):
    """One immutable Parquet file of a table."""

    uri: str = Field(description="s3://bucket/key")
    size_bytes: int = Field(ge=0)
    rows: int = Field(ge=0)


class TableSnapshot(Message):
    """One table that a statement reads, at the snapshot it was planned on."""

    name: str = Field(description="Name in the statement's SQL, one identifier without dots.")
    schema_ipc_base64: str = Field(description="Arrow schema as base64 of its IPC message.")
    files: tuple[DataFile, ...] = ()
    format: FileFormat = FileFormat.PARQUET
    text: TextOptions = Field(default=TextOptions(), description="Of files that are not Parquet.")
    file_column: str | None = Field(default=None, description="One more column: which of `files`, from 0.")
    row_column: str | None = Field(default=None, description="One more column: which row of its file, from 1.")


class TraceContext(Message):
    """Where a statement's trace goes on, as W3C Trace Context has it, and who is told of its spans."""

    traceparent: str = Field(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
    endpoint: str = Field(min_length=1, description="Base URL of an OTLP receiver over HTTP.")


class Dispatch(Signed):
    """Run a bound statement; the answer streams frames."""

    statement_id: str = Field(min_length=1)
    attempt: int = Field(ge=1)
    sql: str = Field(description="In the engine's dialect, tables named as in `tables`.")
    tables: tuple[TableSnapshot, ...] = ()
    object_store: ObjectStoreAccess | None = None
    write: WriteTarget | None = Field(default=None, description="Write the rows there; none is then answered.")
    memory_bytes: int | None = Field(default=None, ge=1)
    parallelism: int | None = Field(default=None, ge=1, description="Processes on each node (DOP ÷ nodes).")
    nodes: int = Field(default=1, ge=1, description="Most nodes it may use: the cluster's size when it started.")
    burst: "BurstOffer | None" = Field(default=None, description="What may be asked for; None: no query acceleration.")
    timeout_seconds: float | None = Field(default=None, gt=0)
    trace: TraceContext | None = Field(default=None, description="Tell of it there; None: traces are off.")
    exchange_uri: str | None = Field(
        default=None, description="s3://bucket/prefix for what its stages exchange and no node has room for."
    )


class BurstOffer(Message):
    """Under which conditions a running statement may ask for burst nodes."""

    most_nodes: int = Field(ge=1, description="What the warehouse's scale factor allows.")
    min_scan_bytes: int = Field(ge=0, description="A remaining scan of fewer bytes asks for none.")
    min_seconds: float = Field(ge=0, description="A remaining scan of fewer estimated seconds asks for none.")


class BurstWish(Message):
    """A running statement's remaining scan is long enough to gain from burst nodes."""

    nodes: int = Field(ge=1, description="In all, those included that work for it already.")
    remaining_bytes: int = Field(ge=0)
    remaining_seconds: float = Field(ge=0)


class Progress(Message):
    """How far a running statement is: the payload of a progress frame."""

    fraction: float | None = Field(default=None, ge=0, le=1, description="Done, of all its work; None: not known yet.")
    burst: BurstWish | None = Field(default=None, description="Wanted now; repeated while it is wanted.")
    burst_nodes: int = Field(default=0, ge=0, description="Burst nodes that run tasks of it now.")
    rows_scanned: int = Field(default=0, ge=0, description="By the tasks that are done.")
    bytes_scanned: int = Field(default=0, ge=0, description="By the tasks that are done.")
    stage: int | None = Field(default=None, ge=1, description="The first that is not done, from 1; None: not known.")
    stages: int = Field(default=0, ge=0, description="All that it has.")


class Cancel(Signed):
    """Stop a statement. Idempotent; unknown statements are fine."""

    statement_id: str


class CancelReply(Message):
    """Whether the statement was held when the cancel arrived."""

    held: bool


class Report(Signed):
    """Ask a head what it holds."""


class HeldStatement(Message):
    """One statement that a head holds."""

    statement_id: str
    attempt: int


class ReportReply(Message):
    """What a head holds."""

    statements: tuple[HeldStatement, ...] = ()
    draining: bool = False


class Statistics(Message):
    """What a statement used, counted by the node."""

    rows_produced: int = Field(default=0, ge=0)
    bytes_produced: int = Field(default=0, ge=0)
    rows_scanned: int = Field(default=0, ge=0)
    bytes_scanned: int = Field(default=0, ge=0, description="Bytes of persistent files read, from any tier.")
    bytes_from_object_store: int = Field(default=0, ge=0)
    bytes_from_cache: int = Field(default=0, ge=0, description="bytes_from_memory and bytes_from_disk.")
    bytes_from_memory: int = Field(default=0, ge=0)
    bytes_from_disk: int = Field(default=0, ge=0)
    bytes_from_peers: int = Field(default=0, ge=0, description="Exchanged between the nodes of the cluster.")
    bytes_written: int = Field(default=0, ge=0)
    rows_written: int = Field(default=0, ge=0)
    bytes_spilled_local: int = Field(default=0, ge=0)
    bytes_spilled_remote: int = Field(default=0, ge=0)
    files_scanned: int = Field(default=0, ge=0)
    stages: int = Field(default=0, ge=0)
    tasks: int = Field(default=0, ge=0)
    tasks_stolen: int = Field(default=0, ge=0)
    tasks_retried: int = Field(default=0, ge=0)
    burst_tasks: int = Field(default=0, ge=0, description="Tasks that ran on burst nodes.")
    burst_nodes: int = Field(default=0, ge=0, description="Burst nodes that ran them.")
    memory_peak_bytes: int = Field(default=0, ge=0, description="Most that it held, on all nodes; 0: not measured.")
    cpu_seconds: float = Field(default=0, ge=0)
    scan_seconds: float = Field(default=0, ge=0, description="Time in which its scans ran; 0: it ran whole.")
    plan_seconds: float = Field(default=0, ge=0)
    execute_seconds: float = Field(default=0, ge=0)


class Finish(Message):
    """Last frame of a statement that succeeded. What it wrote counts only when the services have committed it."""

    statistics: Statistics
    written: tuple[WrittenFile, ...] = ()
    profile: Profile | None = Field(default=None, description="How it ran.")


class Failure(Message):
    """Last frame of a statement that did not succeed."""

    error: StatementError
    message: str
    retryable: bool = Field(default=False, description="Through no fault of the statement: run it again in its place.")
    statistics: Statistics = Statistics()
    profile: Profile | None = Field(default=None, description="How it ran until then, as far as that is known.")
