"""The first statements of an engine, so that the first real one finds everything loaded.

They take the path of a real dispatch: coordinator, socket, S3 client, Parquet reader, aggregate, join, result. The
object store is this process, for the while, on a loopback port, with one small file.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from firn_model.messages import Dispatch, Failure, ObjectStoreAccess, TableSnapshot

from firn_runtime.errors import EngineLostError
from firn_runtime.statements.coordinator import Coordinator

_STATEMENTS = (
    "SELECT 1 AS one",
    "SELECT flag, count(*) AS n, sum(price * (1 - discount)) AS revenue, avg(price) AS price FROM warm "
    "WHERE shipped <= DATE '1998-09-02' AND name LIKE 'n%' GROUP BY flag ORDER BY revenue DESC",
    "SELECT a.name, b.price FROM warm a JOIN warm b ON a.id = b.id WHERE a.id < 50 ORDER BY b.price LIMIT 10",
    "SELECT 1 AS one",
    "SELECT count(*) AS n FROM warm",
)


async def warm(coordinator: Coordinator, file: Path, snapshot: TableSnapshot) -> None:
    """Run the warm-up statements over a file. Raises EngineLostError when one of them has no right answer."""
    async with _served(file) as endpoint:
        access = ObjectStoreAccess(endpoint=endpoint, access_key_id="warm", secret_access_key="warm")  # noqa: S106
        for number, sql in enumerate(_STATEMENTS):
            dispatch = Dispatch(
                pod_uid="warm",
                epoch="warm",
                expires_at=datetime.now(UTC),
                statement_id=f"warm-{number}",
                attempt=1,
                sql=sql,
                tables=(snapshot,),
                object_store=access,
                timeout_seconds=30,
            )
            outcome = (await coordinator.run(dispatch, _discard)).outcome
            if isinstance(outcome, Failure):
                raise EngineLostError(f"the engine does not answer its warm-up: {outcome.message}")


async def _discard(_: bytes) -> None:
    """Take a frame and forget it."""


@contextlib.asynccontextmanager
async def _served(file: Path) -> AsyncIterator[str]:
    """Serve the file as an object store; yield its endpoint."""

    async def read(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(file)

    app = web.Application()
    app.router.add_get(f"/warm/files/{file.name}", read)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
