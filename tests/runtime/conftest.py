"""A real agent in a process of its own, a real S3 server, and TPC-H files at scale factor 0.01."""

import asyncio
import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model import signing
from firn_model.base import Message
from firn_model.frames import Frame, FrameReader, FrameType
from firn_model.messages import Bind, DataFile, Dispatch, Failure, Finish, ObjectStoreAccess, Statistics, TableSnapshot

from tests.s3 import ACCESS_KEY, SECRET_KEY, client, free_port, serving_s3

EPOCH = "epoch-1"
BOOT_SECONDS = 240


@dataclass(frozen=True)
class Answer:
    """A whole answer to a dispatch."""

    table: pa.Table | None
    last: Finish | Failure

    @property
    def statistics(self) -> Statistics:
        return self.last.statistics

    @property
    def failure(self) -> Failure:
        assert isinstance(self.last, Failure), self.last
        return self.last

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert isinstance(self.last, Finish), self.last
        assert self.table is not None
        return list(self.table.to_pylist())


def answer_of(frames: list[Frame]) -> Answer:
    """Return the answer that the frames make; the last one must be F or E."""
    stream = b"".join(frame.payload for frame in frames if frame.type is FrameType.ARROW)
    last = frames[-1]
    models: dict[FrameType, type[Finish | Failure]] = {FrameType.FINISH: Finish, FrameType.FAILURE: Failure}
    model = models[last.type]
    complete = model is Finish and stream  # a write answers without rows
    return Answer(pa.ipc.open_stream(stream).read_all() if complete else None, model.model_validate_json(last.payload))


@dataclass
class Node:
    """A running agent and what it takes to talk to it."""

    process: subprocess.Popen[bytes]
    url: str
    key: Ed25519PrivateKey
    session: aiohttp.ClientSession
    store: ObjectStoreAccess
    log: Path
    pod_uid: str
    _count: int = field(default=0)

    def common(self, epoch: str = EPOCH) -> dict[str, Any]:
        return {"pod_uid": self.pod_uid, "epoch": epoch, "expires_at": datetime.now(UTC) + timedelta(minutes=5)}

    def request(self, path: str, message: Message) -> Any:
        body = message.model_dump_json().encode()
        headers = {signing.HEADER: signing.sign(self.key, path, body)}
        return self.session.post(self.url + path, data=body, headers=headers)

    async def post(self, path: str, message: Message) -> tuple[int, bytes]:
        async with self.request(path, message) as response:
            return response.status, await response.read()

    def dispatch(self, sql: str, tables: tuple[TableSnapshot, ...] = (), **changes: Any) -> Dispatch:
        self._count += 1
        fields = {
            "statement_id": f"s{self._count}",
            "attempt": 1,
            "object_store": self.store,
            **self.common(),
            **changes,
        }
        return Dispatch(sql=sql, tables=tables, **fields)

    async def run(self, sql: str, tables: tuple[TableSnapshot, ...] = (), **changes: Any) -> Answer:
        status, body = await self.post("/statements", self.dispatch(sql, tables, **changes))
        assert status == 200, body
        return answer_of(FrameReader().feed(body))

    async def ready(self) -> None:
        """Wait until the node says that it is ready; it says so within the boot's bound."""
        async with asyncio.timeout(BOOT_SECONDS):
            while True:
                assert self.process.poll() is None, self.log.read_text()[-4000:]
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    async with self.session.get(self.url + "/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def bind(self, epoch: str = EPOCH) -> None:
        status, body = await self.post("/bind", Bind(**self.common(epoch), warehouse="w", cluster="w-1", role="head"))
        assert status == 200, body


@contextlib.asynccontextmanager
async def running_node(
    endpoint: str, signing_key: Ed25519PrivateKey | None = None, **environment: str
) -> AsyncIterator[Node]:
    """Run an agent that is ready but not bound, in a folder with a short name: sockets stand in it."""
    folder = Path(tempfile.mkdtemp(prefix="firn-node-"))
    key, port = signing_key or Ed25519PrivateKey.generate(), free_port()
    local = folder / "local"
    env = {
        **os.environ,
        "HOME": str(folder),
        "FIRN_POD_NAME": "node-under-test",
        "FIRN_POD_UID": f"pod-{port}",
        "FIRN_POD_IP": "127.0.0.1",
        "FIRN_PUBLIC_KEY": signing.public_text(key),
        "FIRN_AGENT_PORT": str(port),
        "FIRN_CPU": "2",
        "FIRN_MEMORY_BYTES": str(2 << 30),
        "FIRN_SHARED_MEMORY_BYTES": str(128 << 20),
        "FIRN_LOCAL_DIR": str(local),
        **environment,
    }
    log = folder / "node.log"
    store = ObjectStoreAccess(endpoint=endpoint, access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY)
    with log.open("wb") as out:
        program = Path(sys.executable).parent / "firn-node"
        process = await asyncio.to_thread(subprocess.Popen, [program], env=env, stdout=out, stderr=out)
    async with aiohttp.ClientSession() as session:
        node = Node(process, f"http://127.0.0.1:{port}", key, session, store, log, f"pod-{port}")
        try:
            await node.ready()
            yield node
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)
            shutil.rmtree(folder)


@dataclass(frozen=True)
class Lake:
    """The S3 server's folder: a bucket `lake` with the TPC-H tables below `tpch/`."""

    root: Path
    endpoint: str
    client: Any

    def table(self, name: str, *extra: str, only: tuple[str, ...] | None = None) -> TableSnapshot:
        """Return a table over its own files and more, or over other files with its schema."""
        paths = sorted((self.root / "lake" / "tpch" / name).glob("*.parquet"))
        own = tuple(f"s3://{path.relative_to(self.root)}" for path in paths)
        schema = pq.read_schema(paths[0]).serialize().to_pybytes()
        uris = own if only is None else only
        return TableSnapshot(
            name=name,
            schema_ipc_base64=base64.b64encode(schema).decode(),
            files=tuple(DataFile(uri=uri, size_bytes=self.size_bytes(uri), rows=1) for uri in (*uris, *extra)),
        )

    def size_bytes(self, uri: str) -> int:
        """Return the size that a file has now, or 1 when there is none."""
        path = self.root / uri.removeprefix("s3://")
        return path.stat().st_size if path.is_file() else 1

    def tables(self, *names: str) -> tuple[TableSnapshot, ...]:
        return tuple(self.table(name) for name in names)

    def put(self, key: str, content: bytes) -> str:
        """Upload a file, so that it has an ETag and is cached; return its URI."""
        self.client.put_object(Bucket="lake", Key=key, Body=content)
        return f"s3://lake/{key}"

    def put_tables(self, folder: Path) -> None:
        """Upload a folder that has a folder for each table."""
        for path in sorted(folder.glob("*/*.parquet")):
            self.put(f"tpch/{path.relative_to(folder)}", path.read_bytes())


@contextlib.contextmanager
def serving_lake(root: Path, tables: Path) -> Iterator[Lake]:
    """Serve a lake below a folder, with tables that a folder has."""
    with serving_s3(root) as endpoint:
        lake = Lake(root, endpoint, client(endpoint))
        lake.client.create_bucket(Bucket="lake")
        lake.put_tables(tables)
        yield lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    tables = tmp_path_factory.mktemp("tpch")
    generator = Path(sys.executable).parent / "tpcgen-cli"
    subprocess.run(
        [generator, "tpch", "parquet", "-s", "0.01", "--parts=2", f"--output-dir={tables}"],
        check=True,
        capture_output=True,
    )
    with serving_lake(tmp_path_factory.mktemp("s3"), tables) as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(lake: Lake) -> AsyncIterator[Node]:
    """One bound node for the tests of a module."""
    async with running_node(lake.endpoint) as running:
        await running.bind()
        yield running
