"""A cluster of engines on this machine: a coordinator in this process, each engine in a process of its own."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firn_model.frames import FrameReader
from firn_model.messages import Dispatch, Member, ObjectStoreAccess, TableSnapshot
from firn_model.names import ROLE_BURST, ROLE_HEAD, ROLE_WORKER
from firn_runtime.exchange.tickets import key_of
from firn_runtime.node.executor import EngineProcess, Executor
from firn_runtime.node.members import MemberNode, Members
from firn_runtime.statements.attempt import Cluster
from firn_runtime.statements.coordinator import Coordinator

from tests.runtime.conftest import Answer, answer_of
from tests.runtime.forked import Forked, fork
from tests.s3 import ACCESS_KEY, SECRET_KEY

SETTINGS = {
    "cores": 1,
    "pool_bytes": 512 << 20,
    "memory_bytes": 64 << 20,
    "disk_bytes": 1 << 30,
    "cache_bytes": 1 << 30,
    "hot_bytes": 0,
}


@dataclass
class LocalEngine:
    """One engine's process."""

    name: str
    folder: Path
    process: Forked

    def member(self, role: str, cores: int) -> MemberNode:
        return MemberNode(self.name, self.name, "127.0.0.1", role, cores, self.process.door)

    @property
    def kept(self) -> list[str]:
        """What it keeps on disk and in memory of statements."""
        memory = Path(f"/proc/{self.process.pid}/fd")
        links = []
        for link in memory.iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                links.append(str(link.readlink()))
        return [str(path) for path in (self.folder / "exchange").rglob("*") if path.is_file()] + [
            link for link in links if link.startswith("/memfd:")
        ]


@dataclass
class LocalCluster:
    """A head and its members."""

    store: ObjectStoreAccess
    settings: dict[str, int]
    engines: list[LocalEngine] = field(default_factory=list)
    members: Members = field(default_factory=Members)
    _count: int = 0
    _told: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = Executor(lambda _: None)
        cluster = Cluster(self.executor, self.members, key_of("cluster"))
        self.coordinator = Coordinator(cluster, small_bytes=0)

    async def head(self, _: int) -> EngineProcess:
        head = self.engines[0]
        return EngineProcess(head.folder / "engine.sock", head.process.pid, head.process.door)

    async def add(self, role: str = ROLE_WORKER) -> LocalEngine:
        """Start an engine and make it usable."""
        folder = Path(tempfile.mkdtemp(prefix="firn-engine-"))
        engine = LocalEngine(f"node-{len(self.engines)}", folder, await fork(folder, self.settings))
        self.engines.append(engine)
        member = engine.member(role, self.settings["cores"])
        if role == ROLE_HEAD:
            self.members.set_head(member)
        else:
            self._told.append(Member(pod_uid=engine.name, name=engine.name, address="127.0.0.1", role=role))
            self.members.serve(member)
            self.members.tell(self._told)
        return engine

    async def kill(self, engine: LocalEngine) -> None:
        """End an engine's process as a lost node would."""
        engine.process.kill()
        await engine.process.wait()

    def dispatch(self, sql: str, tables: tuple[TableSnapshot, ...], **changes: Any) -> Dispatch:
        self._count += 1
        fields: dict[str, Any] = {
            "pod_uid": "node-0",
            "epoch": "e",
            "expires_at": datetime.now(UTC),
            "statement_id": f"s{self._count}",
            "attempt": 1,
            "object_store": self.store,
            "nodes": len(self.engines),
            **changes,
        }
        return Dispatch(sql=sql, tables=tables, **fields)

    async def run(self, sql: str, tables: tuple[TableSnapshot, ...], **changes: Any) -> Answer:
        """Run a statement to its end."""
        return await self.answer(self.dispatch(sql, tables, **changes))

    async def answer(self, dispatch: Dispatch) -> Answer:
        sent = bytearray()

        async def send(data: bytes) -> None:
            sent.extend(data)

        ended = await self.coordinator.run(dispatch, send)
        return answer_of(FrameReader().feed(bytes(sent) + ended.unsent))


@contextlib.asynccontextmanager
async def local_cluster(endpoint: str, nodes: int, bursts: int = 0, **settings: int) -> AsyncIterator[LocalCluster]:
    """Run a cluster of so many engines."""
    store = ObjectStoreAccess(endpoint=endpoint, access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY)
    cluster = LocalCluster(store, {**SETTINGS, **settings})
    keeping = None
    try:
        for number in range(nodes):
            await cluster.add(ROLE_WORKER if number else ROLE_HEAD)
        for _ in range(bursts):
            await cluster.add(ROLE_BURST)
        keeping = asyncio.ensure_future(cluster.executor.keep(cluster.head, 1, _nothing))
        yield cluster
    finally:
        if keeping is not None:
            keeping.cancel()
            with contextlib.suppress(BaseException):
                await keeping
        for engine in cluster.engines:
            await cluster.kill(engine)
            shutil.rmtree(engine.folder, ignore_errors=True)


async def _nothing() -> None:
    """An engine that needs no warm-up."""
