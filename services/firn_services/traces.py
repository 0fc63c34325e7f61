"""Traces of statements by OpenTelemetry, the optional extra `traces`. Imported only where traces are on.

A trace is one statement that runs on a warehouse: below its span are one for each time it waits and one for each
attempt at it; an attempt's context goes to the head in its dispatch, whose spans of coordinator, stages and tasks go on
from it. The SQL text is not told, since receivers are shared with other systems.
"""

from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from firn_model.messages import TraceContext
from firn_model.statements import StatementState
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from firn_services.statements.record import StatementRecord

SEND_AFTER_MILLISECONDS = 500
GIVE_UP_SECONDS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Traces:
    """Makes traces and sends them from a thread of the SDK's. What the receiver does not take in time is dropped."""

    def __init__(self, endpoint: str, namespace: str, identity: str) -> None:
        named = {SERVICE_NAME: "firn-services", SERVICE_NAMESPACE: namespace, SERVICE_INSTANCE_ID: identity}
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=GIVE_UP_SECONDS)
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_AFTER_MILLISECONDS))
        self._tracer = self._provider.get_tracer("firn_services")
        self._endpoint = endpoint

    def statement(self, record: StatementRecord) -> "StatementTrace":
        """Begin the trace of a statement that was put into its queue."""
        return StatementTrace(self._tracer, self._endpoint, record)

    def close(self) -> None:
        """Send what is left. Blocks, as long as it takes to give up at most."""
        self._provider.shutdown()


class StatementTrace:
    """The trace of one statement."""

    def __init__(self, tracer: Tracer, endpoint: str, record: StatementRecord) -> None:
        self._tracer = tracer
        self._endpoint = endpoint
        self._waits_since = record.submitted_at
        attributes = {
            "firn.statement.id": record.id,
            "firn.warehouse": record.warehouse or "",
            "enduser.id": record.user,
        }
        started = _nanoseconds(record.submitted_at)
        self._span = tracer.start_span("statement", None, SpanKind.SERVER, attributes, start_time=started)
        self._inside = trace.set_span_in_context(self._span)

    def attempt(self, number: int, cluster: str | None, node: str) -> "AttemptTrace":
        """Begin an attempt, which ends the wait before it."""
        now = datetime.now(UTC)
        self._waited(now)
        attributes: dict[str, str | int] = {"firn.attempt": number, "firn.cluster": cluster or "", "firn.node": node}
        return AttemptTrace(self, self._tracer, self._endpoint, attributes)

    def waits(self, since: datetime) -> None:
        """Note that it waits again."""
        self._waits_since = since

    def _waited(self, until: datetime) -> None:
        span = self._tracer.start_span("wait", self._inside, start_time=_nanoseconds(self._waits_since))
        span.end(_nanoseconds(max(until, self._waits_since)))

    def end(self, record: StatementRecord) -> None:
        """End it as the record did."""
        ended = record.ended_at or datetime.now(UTC)
        if record.started_at is None:
            self._waited(ended)
        self._span.set_attribute("firn.state", record.state.value)
        self._span.set_attribute("firn.attempts", record.attempts)
        for step in record.steps:
            self._span.add_event(step.step, timestamp=_nanoseconds(step.at))
        if record.state is not StatementState.SUCCEEDED:
            detail = record.detail
            self._span.set_status(Status(StatusCode.ERROR, detail.message if detail is not None else None))
            self._span.set_attribute("error.type", detail.error if detail is not None else record.state.value)
        self._span.end(_nanoseconds(ended))

    @property
    def inside(self) -> Context:
        """The context of what happens in it."""
        return self._inside


class AttemptTrace:
    """The span of one attempt, for as long as a `with` block."""

    def __init__(
        self, statement: StatementTrace, tracer: Tracer, endpoint: str, attributes: dict[str, str | int]
    ) -> None:
        self._statement = statement
        self._span = tracer.start_span("attempt", statement.inside, SpanKind.CLIENT, attributes)
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(self._span))
        self.context = TraceContext(traceparent=carrier["traceparent"], endpoint=endpoint)

    def __enter__(self) -> Self:
        """Begin it."""
        return self

    def failed(self, reason: str) -> None:
        """Note why it came to nothing."""
        self._span.set_status(Status(StatusCode.ERROR, reason))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """End it."""
        if kind is not None:
            self.failed(f"stopped: {error or kind.__name__}")
        self._span.end()
        self._statement.waits(datetime.now(UTC))


def _nanoseconds(at: datetime) -> int:
    """Return a time as nanoseconds since 1970, exact to the microsecond."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
