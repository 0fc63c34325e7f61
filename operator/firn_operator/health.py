"""/healthz for the kubelet (are the watches fresh?) and /metrics for Prometheus."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def serve(host: str, port: int, staleness: Callable[[], str | None]) -> web.AppRunner:
    """Serve until the returned runner is cleaned up; `staleness` says what is wrong, or None."""

    async def healthz(_: web.Request) -> web.Response:
        wrong = staleness()
        return web.Response(status=503 if wrong else 200, text=wrong or "ok")

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/metrics", show_metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
