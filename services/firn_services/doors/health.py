"""/healthz, /readyz and /metrics: for probes and scrapers, without login."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from firn_services.doors.access import ServicesOf

router = APIRouter()


@router.get("/healthz")
async def alive() -> Response:
    """Answer: the event loop turns."""
    return Response("ok\n", media_type="text/plain")


@router.get("/readyz")
async def ready(services: ServicesOf) -> Response:
    """Answer 200 when store, catalog and watches are up, else 503 with what is missing."""
    missing = services.missing()
    if missing:
        return Response(f"not ready: {', '.join(missing)}\n", status_code=503, media_type="text/plain")
    return Response("ok\n", media_type="text/plain")


@router.get("/metrics")
async def metrics(services: ServicesOf) -> Response:
    """Return the metrics."""
    services.account.observe_metrics()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
