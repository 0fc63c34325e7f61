"""A cluster of engines on this machine: the coordinator in this process, each node a process with cores of its own."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from firn_model.frames import FrameReader, FrameType
from firn_model.messages import Dispatch, Failure, Finish, Member, ObjectStoreAccess, Statistics
from firn_model.names import ROLE_HEAD, ROLE_WORKER
from firn_runtime.engine import allocator
from firn_runtime.exchange.tickets import key_of
from firn_runtime.node.executor import EngineProcess, Executor
from firn_runtime.node.members import MemberNode, Members
from firn_runtime.statements.attempt import Cluster
from firn_runtime.statements.coordinator import Coordinator
from firn_services.sql.query import Query


@dataclass(frozen=True, slots=True)
class Hardware:
    """What one node has."""

    cores: tuple[int, ...]
    """The processors that it may use, by their numbers."""
    memory_bytes: int
    storage_bytes: int = 16 << 30
    bounds: tuple[int, int] | None = None
    """Bytes for execution and for the exchange in memory; None: the product's shares of the memory."""
    keeps_hot_columns: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One statement's answer and its time as the coordinator's client sees it, in seconds."""

    seconds: float
    table: pa.Table | None
    statistics: Statistics
    error: str | None = None


@dataclass
class _Node:
    name: str
    folder: Path
    process: asyncio.subprocess.Process
    door: str


@dataclass
class EngineCluster:
    """A head and its members. Statements over files of fewer than `small_bytes` run whole."""

    store: ObjectStoreAccess
    small_bytes: int
    nodes: list[_Node] = field(default_factory=list)
    _members: Members = field(default_factory=Members)
    _count: int = 0

    def __post_init__(self) -> None:
        self.executor = Executor(lambda _: None)
        self._cluster = Cluster(self.executor, self._members, key_of("cluster"))
        self._coordinator = Coordinator(self._cluster, self.small_bytes)

    def split_all(self) -> None:
        """Run statements in stages from now on, however small."""
        self._coordinator = Coordinator(self._cluster, small_bytes=0)

    async def head(self, _: int) -> EngineProcess:
        """Return the head's engine, as the executor asks for it."""
        head = self.nodes[0]
        return EngineProcess(head.folder / "engine.sock", head.process.pid, head.door)

    async def add(self, hardware: Hardware) -> None:
        """Start a node, on its cores only, and make it usable."""
        folder = Path(tempfile.mkdtemp(prefix="firn-bench-"))
        program = Path(__file__).with_name("engine_node.py")
        hot = int(hardware.keeps_hot_columns)
        sizes = (len(hardware.cores), hardware.memory_bytes, hardware.storage_bytes, hot, *(hardware.bounds or ()))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            program,
            folder,
            *(str(size) for size in sizes),
            stdout=subprocess.PIPE,
            env={**allocator.environment(hardware.memory_bytes), **os.environ},
        )
        assert process.stdout is not None
        door = (await process.stdout.readline()).decode().strip()
        assert door, "the engine's process did not start"
        for thread in os.listdir(f"/proc/{process.pid}/task"):  # those to come inherit it
            os.sched_setaffinity(int(thread), hardware.cores)
        node = _Node(f"node-{len(self.nodes)}", folder, process, door)
        role = ROLE_WORKER if self.nodes else ROLE_HEAD
        self.nodes.append(node)
        member = MemberNode(node.name, node.name, "127.0.0.1", role, len(hardware.cores), door)
        if role == ROLE_HEAD:
            self._members.set_head(member)
            return
        self._members.serve(member)
        others = self.nodes[1:]
        self._members.tell([Member(pod_uid=n.name, name=n.name, address="127.0.0.1", role=role) for n in others])

    async def run(self, query: Query) -> Run:
        """Run a compiled statement to its end, with its rows as Arrow."""
        self._count += 1
        dispatch = Dispatch(
            pod_uid="node-0",
            epoch="e",
            expires_at=datetime.now(UTC),
            statement_id=f"s{self._count}",
            attempt=1,
            object_store=self.store,
            nodes=len(self.nodes),
            sql=query.sql,
            tables=query.tables,
        )
        sent = bytearray()

        async def send(data: bytes) -> None:
            sent.extend(data)

        began = time.perf_counter()
        ended = await self._coordinator.run(dispatch, send)
        frames = FrameReader().feed(bytes(sent) + ended.unsent)
        stream = b"".join(frame.payload for frame in frames if frame.type is FrameType.ARROW)
        outcome: Finish | Failure = ended.outcome
        if isinstance(outcome, Failure):
            return Run(time.perf_counter() - began, None, outcome.statistics, outcome.message)
        table = pa.ipc.open_stream(stream).read_all()
        return Run(time.perf_counter() - began, table, outcome.statistics)


@contextlib.asynccontextmanager
async def engine_cluster(
    store: ObjectStoreAccess, hardware: Sequence[Hardware], small_bytes: int
) -> AsyncIterator[EngineCluster]:
    """Run a cluster of so many nodes, with empty caches."""
    cluster = EngineCluster(store, small_bytes)
    keeping = None
    try:
        for node in hardware:
            await cluster.add(node)
        keeping = asyncio.ensure_future(cluster.executor.keep(cluster.head, 1, _nothing))
        yield cluster
    finally:
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait({keeping})
        for started in cluster.nodes:
            with contextlib.suppress(ProcessLookupError):
                started.process.kill()
            await started.process.wait()
            shutil.rmtree(started.folder, ignore_errors=True)


async def _nothing() -> None:
    """Need no warm-up."""
