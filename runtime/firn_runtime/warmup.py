"""The first statements of an engine, so that the first real one finds everything loaded.

They take the path of a real dispatch: coordinator, socket, S3 client, Parquet reader, aggregate, join, result. The
object store is this process, for the while, on a loopback port, with one small file.
"""

import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from firn_model.messages import DataFile, Dispatch, Failure, ObjectStoreAccess, TableSnapshot

from firn_runtime.coordinator import Coordinator
from firn_runtime.errors import EngineLostError

_ROWS = 2000
_STATEMENTS = (
    "SELECT 1 AS one",
    "SELECT flag, count(*) AS n, sum(price * (1 - discount)) AS revenue, avg(price) AS price FROM warm "
    "WHERE shipped <= DATE '1998-09-02' AND name LIKE 'n%' GROUP BY flag ORDER BY revenue DESC",
    "SELECT a.name, b.price FROM warm a JOIN warm b ON a.id = b.id WHERE a.id < 50 ORDER BY b.price LIMIT 10",
    "SELECT 1 AS one",
    "SELECT count(*) AS n FROM warm",
)


async def warm(coordinator: Coordinator, folder: Path) -> None:
    """Run the warm-up statements. Raises EngineLostError when one of them has no right answer."""
    snapshot = _write(folder)
    async with _served(folder) as endpoint:
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


def _write(folder: Path) -> TableSnapshot:
    """Write the small file and return it as a table."""
    path = folder / "warm" / "files" / "warm.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = list(range(_ROWS))
    table = pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "flag": pa.array([f"f{i % 3}" for i in ids]),
            "name": pa.array([f"n{i}" for i in ids]),
            "price": pa.array([Decimal(i) for i in ids], pa.decimal128(15, 2)),
            "discount": pa.array([Decimal(0)] * _ROWS, pa.decimal128(15, 2)),
            "shipped": pa.array([8000 + i for i in ids], pa.int32()).cast(pa.date32()),
        }
    )
    pq.write_table(table, path)
    return TableSnapshot(
        name="warm",
        schema_ipc_base64=base64.b64encode(table.schema.serialize().to_pybytes()).decode(),
        files=(DataFile(uri="s3://warm/files/warm.parquet", size_bytes=path.stat().st_size, rows=_ROWS),),
    )


@contextlib.asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[str]:
    """Serve the folder as an object store; yield its endpoint."""

    async def read(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(folder / "warm" / "files" / request.match_info["name"])

    app = web.Application()
    app.router.add_get("/warm/files/{name}", read)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
