"""Spans sent to an OTLP receiver by OpenTelemetry, the optional extra `traces`. Imported when there is one to send."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from firn_runtime.statements.spans import Span

SEND_AFTER_MILLISECONDS = 500
GIVE_UP_SECONDS = 5
_NANOSECONDS = 1e9


class Receiver:
    """An OTLP receiver that is told of spans from a thread of the SDK's. What it does not take in time is dropped."""

    def __init__(self, endpoint: str, node: str) -> None:
        resource = Resource.create({SERVICE_NAME: "firn-node", SERVICE_INSTANCE_ID: node})
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=GIVE_UP_SECONDS)
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SEND_AFTER_MILLISECONDS))
        self._provider = provider
        self._tracer = provider.get_tracer("firn_runtime")

    def tell(self, span: Span, traceparent: str, began_nanoseconds: int) -> None:
        """Hand over a span and those below it; `began_nanoseconds` is what its times count from."""
        context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        self._tell(span, context, began_nanoseconds, SpanKind.SERVER)

    def _tell(self, span: Span, context: Context, began: int, kind: SpanKind) -> None:
        made = self._tracer.start_span(
            span.name,
            context,
            kind,
            attributes=dict(span.attributes),
            start_time=began + round(span.started * _NANOSECONDS),
        )
        inner = trace.set_span_in_context(made, context)
        for each in span.below:
            self._tell(each, inner, began, SpanKind.INTERNAL)
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(began + round(span.ended * _NANOSECONDS))

    def close(self) -> None:
        """Send what is left. Blocks, as long as it takes to give up at most."""
        self._provider.shutdown()
