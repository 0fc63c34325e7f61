"""A server of objects that says what it was asked for, and files to read from it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from firn_model.messages import DataFile, ObjectStoreAccess, TableSnapshot

SCHEMA = pa.schema([("id", pa.int64()), ("version", pa.int64()), ("text", pa.string())])
ROWS, GROUP_ROWS = 40_000, 10_000


@dataclass
class Objects:
    """The bucket `b` with its folder `f`, served with ETags, ranges and conditions."""

    folder: Path
    access: ObjectStoreAccess
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, name and range of each request."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, ranges beside a file's end wait."""

    def write(self, name: str, version: int = 1000) -> DataFile:
        """Put a file with 4 row groups in place at once; all versions have the same size."""
        rows = pa.table(
            {
                "id": range(ROWS),
                "version": [version] * ROWS,
                "text": [f"text {number * 7919 % ROWS:09}" for number in range(ROWS)],
            },
            schema=SCHEMA,
        )
        fresh = self.folder / f".{name}.new"
        pq.write_table(rows, fresh, row_group_size=GROUP_ROWS, compression="none", use_dictionary=False)
        path = self.folder / name
        size = fresh.stat().st_size
        fresh.replace(path)
        return DataFile(uri=f"s3://b/f/{name}", size_bytes=size, rows=ROWS)

    def gets(self) -> list[tuple[str, str]]:
        """Return name and range of each read."""
        return [(name, part) for method, name, part in self.asked if method == "GET"]

    def bytes_read(self) -> int:
        """Return how many bytes were asked for."""
        total = 0
        for _, part in self.gets():
            first, _, last = part.removeprefix("bytes=").partition("-")
            total += int(last) - int(first) + 1
        return total

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name, part = request.match_info["name"], request.headers.get("Range", "")
        self.asked.append((request.method, name, part))
        path = self.folder / name
        if request.method == "GET" and not part.endswith(f"-{path.stat().st_size - 1}"):
            await self.gate.wait()
        return web.FileResponse(path)


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[Objects]:
    folder = tmp_path / "objects"
    folder.mkdir()
    app = web.Application()
    runner = web.AppRunner(app)
    served = Objects(folder, ObjectStoreAccess(endpoint="", access_key_id="a", secret_access_key="b"))
    served.gate.set()
    app.router.add_get("/b/f/{name}", served.answer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    served.access = served.access.model_copy(update={"endpoint": endpoint})
    try:
        yield served
    finally:
        served.gate.set()
        await runner.cleanup()


def table_of(*files: DataFile) -> TableSnapshot:
    """Return the table `t` over files."""
    encoded = base64.b64encode(SCHEMA.serialize().to_pybytes()).decode()
    return TableSnapshot(name="t", schema_ipc_base64=encoded, files=files)
