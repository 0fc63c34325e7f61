"""What a statement asks the object store for: each file's size once, and only what it reads."""

import asyncio
import base64
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from firn_model.messages import DataFile, ObjectStoreAccess, TableSnapshot
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.stage import Stage

pytestmark = pytest.mark.component
FILES = 3


def snapshot(folder: Path) -> TableSnapshot:
    """Write files with 1000 rows each; return the table over them."""
    rows = pa.table({"id": list(range(1000))})
    files = []
    for number in range(FILES):
        path = folder / f"{number}.parquet"
        pq.write_table(rows, path)
        files.append(DataFile(uri=f"s3://b/f/{path.name}", size_bytes=path.stat().st_size, rows=1000))
    schema = base64.b64encode(rows.schema.serialize().to_pybytes()).decode()
    return TableSnapshot(name="t", schema_ipc_base64=schema, files=tuple(files))


async def test_a_file_is_looked_up_once_a_statement(tmp_path: Path) -> None:
    asked: list[str] = []

    async def read(request: web.Request) -> web.StreamResponse:
        asked.append(request.method)
        return web.FileResponse(tmp_path / request.match_info["name"])

    app = web.Application()
    app.router.add_get("/b/f/{name}", read)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        access = ObjectStoreAccess(endpoint=endpoint, access_key_id="a", secret_access_key="b")
        table = snapshot(tmp_path)
        engine = Engine(2, 1 << 30, tmp_path / "spill", FileCache(tmp_path / "cache", 1 << 30))
        stage = Stage(statement_id="s", sql="SELECT sum(id) AS s FROM t", tables=(table,), object_store=access)
        for reads in (FILES, 0):  # small files are read whole, and once
            asked.clear()
            query = await asyncio.to_thread(engine.start, stage)
            batches = [batch async for batch in engine.batches(query)]
            assert pa.Table.from_batches(batches).to_pylist() == [{"s": FILES * sum(range(1000))}]
            assert (asked.count("HEAD"), asked.count("GET")) == (FILES, reads)
    finally:
        await runner.cleanup()
