"""What is remembered of a statement: the record that the store keeps and every part shares."""

from dataclasses import dataclass, replace
from datetime import datetime

from firn_model.api import ErrorDetail, ResultPage, StatementProgress, StatementReply, StepTime
from firn_model.messages import Statistics
from firn_model.sizes import WarehouseSize
from firn_model.statements import TRANSITIONS, StatementError, StatementState

from firn_services.sql.resolve import Asker


class TransitionError(Exception):
    """A statement was asked to take a step that its life does not have."""


@dataclass(frozen=True, slots=True)
class StatementRecord:
    """One statement at one moment of its life. Times are in UTC."""

    id: str
    place: int
    user: str
    sql: str
    state: StatementState
    submitted_at: datetime
    request_id: str | None = None
    warehouse: str | None = None
    warehouse_resource: str | None = None
    database: str | None = None
    schema: str | None = None
    statement_timeout_seconds: int = 0
    queued_timeout_seconds: int = 0
    last_statement_id: str | None = None
    cluster: str | None = None
    warehouse_size: WarehouseSize | None = None
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    detail: ErrorDetail | None = None
    statistics: Statistics | None = None
    steps: tuple[StepTime, ...] = ()

    @property
    def asker(self) -> Asker:
        """Return who runs it, and in which session."""
        return Asker(self.user, self.warehouse, self.last_statement_id)

    def on_warehouse(self, name: str, resource: str) -> "StatementRecord":
        """Return it bound to a warehouse."""
        return replace(self, warehouse=name, warehouse_resource=resource)

    def answered(self, started_at: datetime, now: datetime) -> "StatementRecord":
        """Return it as answered by the services themselves."""
        return self._become(StatementState.SUCCEEDED, started_at=started_at, ended_at=now)

    def running(self, cluster: str, size: WarehouseSize, now: datetime) -> "StatementRecord":
        """Return it as started on a cluster of this size."""
        attempts = self.attempts + 1
        return self._become(
            StatementState.RUNNING, cluster=cluster, warehouse_size=size, started_at=now, attempts=attempts
        )

    def requeued(self) -> "StatementRecord":
        """Return it back in its place in the queue."""
        return self._become(StatementState.QUEUED, cluster=None, warehouse_size=None, started_at=None)

    def succeeded(self, statistics: Statistics | None, now: datetime) -> "StatementRecord":
        """Return it as done."""
        return self._become(StatementState.SUCCEEDED, statistics=statistics, ended_at=now)

    def failed(self, detail: ErrorDetail, now: datetime, statistics: Statistics | None = None) -> "StatementRecord":
        """Return it as failed; a detail of `cancelled` makes it cancelled."""
        cancelled = detail.error == StatementError.CANCELLED
        state = StatementState.CANCELLED if cancelled else StatementState.FAILED
        return self._become(state, detail=detail, statistics=statistics, ended_at=now)

    def step(self, name: str, at: datetime) -> "StatementRecord":
        """Return it with one more step noted."""
        return replace(self, steps=(*self.steps, StepTime.model_construct(step=name, at=at)))

    def _become(self, state: StatementState, **changes: object) -> "StatementRecord":
        if state not in TRANSITIONS[self.state]:
            story = ", ".join(f"{s.step} at {s.at.isoformat()}" for s in self.steps)
            raise TransitionError(f"statement {self.id} cannot go from {self.state} to {state}; its story: {story}")
        return replace(self, state=state, **changes)  # type: ignore[arg-type]

    def reply(
        self,
        rows: ResultPage | None = None,
        waiting_for: str | None = None,
        progress: StatementProgress | None = None,
    ) -> StatementReply:
        """Return what its owner sees. Built without validation: it is all ours."""
        return StatementReply.model_construct(
            id=self.id,
            sql=self.sql,
            state=self.state,
            user=self.user,
            warehouse=self.warehouse,
            cluster=self.cluster,
            attempts=self.attempts,
            submitted_at=self.submitted_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            waiting_for=waiting_for,
            error=_statement_error(self.detail),
            detail=self.detail,
            statistics=self.statistics,
            progress=progress,
            result=rows,
            steps=self.steps,
        )


def _statement_error(detail: ErrorDetail | None) -> StatementError | None:
    if detail is None:
        return None
    known = detail.error in StatementError.__members__.values()
    return StatementError(detail.error) if known else StatementError.INTERNAL


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """Where a result is: inline as bytes of an Arrow IPC stream, or at an object's key. Rows and bytes are totals."""

    statement_id: str
    rows: int
    size_bytes: int
    inline: bytes | None
    key: str | None
    expires_at: datetime
