"""A receiver of OTLP over HTTP in the test's own process."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Told:
    """One span as it was received; times in nanoseconds since 1970."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    started: int
    ended: int
    attributes: dict[str, Any]
    events: tuple[str, ...]
    error: str | None


class OtlpReceiver:
    """Takes spans."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        self.arrived = asyncio.Condition()
        app = web.Application()
        app.add_routes([web.post("/v1/traces", self._take)])
        self._server = TestServer(app)

    async def __aenter__(self) -> "OtlpReceiver":
        await self._server.start_server(shutdown_timeout=0.1)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def until(self, *names: str) -> dict[str, Told]:
        """Return the spans by name once these are there."""
        async with asyncio.timeout(WAIT_SECONDS), self.arrived:
            await self.arrived.wait_for(lambda: set(names) <= {span.name for span in self.spans})
        return {span.name: span for span in self.spans}

    async def _take(self, request: web.Request) -> web.Response:
        asked = ExportTraceServiceRequest.FromString(await request.read())
        for of_resource in asked.resource_spans:
            service = _values(of_resource.resource.attributes)["service.name"]
            self.spans += [_told(service, span) for scope in of_resource.scope_spans for span in scope.spans]
        async with self.arrived:
            self.arrived.notify_all()
        return web.Response()


def _told(service: str, span: Any) -> Told:
    return Told(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _values(span.attributes),
        tuple(event.name for event in span.events),
        span.status.message if span.status.code == 2 else None,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
