"""Messages between the operator, the services and a node's agent.

Every POST to an agent is a JSON body of a `Signed` subclass with the header `signing.HEADER`. Paths:

| path | body | from | answer |
|---|---|---|---|
| `POST /bind` | Bind | operator | BindReply; 409 Refusal when bound to another epoch |
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
from firn_model.statements import StatementError


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


class Bind(Signed):
    """Turn a warm node into a member of a cluster. Idempotent for its epoch."""

    warehouse: str
    cluster: str
    role: str
    cluster_nodes: int = Field(default=1, ge=1, description="Nodes the cluster will have when all have joined.")


class BindReply(Message):
    """The node is bound and, as a head, ready for statements."""

    epoch: str
    ray_address: str
    bound_at: datetime


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


class Dispatch(Signed):
    """Run a bound statement; the answer streams frames."""

    statement_id: str = Field(min_length=1)
    attempt: int = Field(ge=1)
    sql: str = Field(description="In the engine's dialect, tables named as in `tables`.")
    tables: tuple[TableSnapshot, ...] = ()
    object_store: ObjectStoreAccess | None = None
    memory_bytes: int | None = Field(default=None, ge=1)
    parallelism: int | None = Field(default=None, ge=1, description="Partitions on this node (DOP ÷ nodes).")
    timeout_seconds: float | None = Field(default=None, gt=0)


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
    bytes_from_cache: int = Field(default=0, ge=0)
    bytes_spilled_local: int = Field(default=0, ge=0)
    bytes_spilled_remote: int = Field(default=0, ge=0)
    files_scanned: int = Field(default=0, ge=0)
    cpu_seconds: float = Field(default=0, ge=0)
    plan_seconds: float = Field(default=0, ge=0)
    execute_seconds: float = Field(default=0, ge=0)


class Finish(Message):
    """Last frame of a statement that succeeded."""

    statistics: Statistics


class Failure(Message):
    """Last frame of a statement that did not succeed."""

    error: StatementError
    message: str
    retryable: bool = Field(default=False, description="Through no fault of the statement: run it again in its place.")
    statistics: Statistics = Statistics()
