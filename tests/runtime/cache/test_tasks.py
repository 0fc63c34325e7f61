"""Tasks of statements on several nodes read through each node's cache, and let go of it however they end."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from firn_model.frames import FrameType
from firn_model.messages import DataFile, Finish
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.objects import look_up
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.server import EngineServer
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tasks import PlanAsked, Task, TaskReply
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tickets import key_of
from firn_runtime.node.executor import StageRun

from tests.runtime.cache.conftest import ROWS, Objects, table_of
from tests.runtime.local_cluster import local_cluster

pytestmark = pytest.mark.component
CAPACITY = 16 << 20
GROUPED = "SELECT id % 10 AS k, count(*) AS n, sum(version) AS s FROM t GROUP BY 1 ORDER BY 1"
SUM = "SELECT id % 10 AS k, count(*) AS n FROM t GROUP BY 1"
FAILING = "SELECT version AS k, sum(1 / (id - 1)) AS s FROM t GROUP BY 1"


async def test_statements_on_two_nodes_come_to_read_nothing_from_the_store(objects: Objects) -> None:
    """With more partitions than a scan's description shows, and room for all tasks at home."""
    files = [objects.write(f"part-{number}") for number in range(8)]
    async with local_cluster(objects.access.endpoint, 2, cores=8) as cluster:
        for run in range(2):
            answer = await cluster.run(GROUPED, (table_of(*files),))
            last, used = answer.last, answer.statistics
            assert isinstance(last, Finish), last
            assert answer.table is not None
            assert answer.table.to_pylist() == [
                {"k": key, "n": 8 * ROWS // 10, "s": 8 * ROWS // 10 * 1000} for key in range(10)
            ]
            assert (used.tasks_stolen, used.stages > 1) == (0, True)
            assert used.bytes_scanned > 8 * ROWS * 16
            assert run > 0 or used.bytes_from_object_store > 8 * ROWS * 16
            assert run == 0 or used.bytes_from_object_store == 0
        assert used.bytes_from_cache == used.bytes_from_disk > 8 * ROWS * 16
        assert last.profile is not None
        assert sum(stage.bytes.scanned_from_disk for stage in last.profile.stages) == used.bytes_from_disk


async def test_a_statement_in_stages_looks_each_file_up_once_and_reads_no_older_one(objects: Objects) -> None:
    """What was planned is kept by the files' versions."""
    files = [objects.write(f"part-{number}") for number in range(4)]
    async with local_cluster(objects.access.endpoint, 2) as cluster:
        for version in (1000, 2000, 1000):
            for number in range(4):
                objects.write(f"part-{number}", version)
            for run in range(2):
                objects.asked.clear()
                answer = await cluster.run(GROUPED, (table_of(*files),))
                assert answer.table is not None, answer.last
                assert set(answer.table.column("s").to_pylist()) == {4 * ROWS // 10 * version}
                assert answer.statistics.stages > 1
                if run and not answer.statistics.tasks_stolen:
                    assert sorted(objects.asked) == [("HEAD", f"part-{number}", "") for number in range(4)]


class Served:
    """An engine behind its door."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = FileCache(folder / "cache", CAPACITY, CAPACITY)
        self.engine = Engine(1, 1 << 30, folder / "spill", self.cache)
        self.pieces = PieceStore(folder / "exchange", 1 << 20, 1 << 20)
        self.pieces.begin("s", None)
        self.key = key_of("cluster")
        self.door = ""
        self.file: DataFile | None = None

    async def start(self, objects: Objects, sql: str, *, keep_in_cache: bool = True) -> StageRun:
        """Start the first task of a statement over one file."""
        file = self.file = self.file or objects.write("a")
        stage = Stage(statement_id="s", sql=sql, tables=(table_of(file),), object_store=objects.access)
        asked = PlanAsked(stage=stage, slots=2, nodes=("node-0",))
        versions = await look_up(objects.access, [file.uri])
        reply = await asyncio.to_thread(self.engine.planner.plan, asked, self.engine.sizes, versions)
        planned = reply.stages[0]
        task = Task(
            statement_id="s",
            name="0",
            plan=planned.tasks[0].plan,
            exchange=planned.exchange,
            partitions=planned.tasks[0].partitions,
            outputs=planned.outputs,
            object_store=objects.access,
            uris=(file.uri,),
            versions=planned.tasks[0].versions,
            keep_in_cache=keep_in_cache,
        )
        objects.asked.clear()
        return await StageRun.start_at(self.door, task, self.key)

    async def until_nothing_is_held(self) -> None:
        """Wait until the cache gives up all that it has to what fills the local storage."""
        with (self.folder / "large").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, CAPACITY)
        async with asyncio.timeout(10):
            while True:
                await asyncio.to_thread(self.cache.give_way)
                if self.cache.disk_bytes == 0:
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    folder = tmp_path / "node"
    folder.mkdir()
    made = Served(folder)
    server = EngineServer(made.engine, made.pieces, made.key)
    made.door = f"127.0.0.1:{await server.listen_to_cluster('127.0.0.1')}"
    yield made
    for listening in server._servers:  # which otherwise end with their process
        listening.close()
    made.pieces.release("s")
    made.cache.close()


async def test_a_task_away_from_home_reads_what_the_cache_has_and_adds_nothing(
    objects: Objects, served: Served
) -> None:
    reads, held = [], []
    for sql, keep_in_cache in ((SUM, False), (SUM, True), (SUM, False), (GROUPED, False)):
        run = await served.start(objects, sql, keep_in_cache=keep_in_cache)
        (frame,) = await run.frames()
        run.close()
        used = TaskReply.model_validate_json(frame.payload).statistics
        reads.append((used.bytes_from_object_store > 0, used.bytes_from_cache > 0))
        held.append(served.cache.disk_bytes)
    assert reads == [(True, False), (True, False), (False, True), (True, True)]
    assert 0 == held[0] < held[1] == held[2] == held[3]


@pytest.mark.parametrize(("sql", "last"), [(GROUPED, FrameType.FINISH), (FAILING, FrameType.FAILURE)])
async def test_a_task_that_has_ended_holds_nothing(objects: Objects, served: Served, sql: str, last: FrameType) -> None:
    run = await served.start(objects, sql)
    frames = await run.frames()
    assert frames[-1].type is last, frames
    assert served.cache.disk_bytes > 0
    await served.until_nothing_is_held()
    run.close()


async def test_a_cancelled_task_holds_nothing(objects: Objects, served: Served) -> None:
    """It is cancelled while the store has not answered yet."""
    objects.gate.clear()
    run = await served.start(objects, GROUPED)
    async with asyncio.timeout(10):
        while len(objects.gets()) < 2:
            await asyncio.sleep(0.01)
    run.close()
    await asyncio.sleep(0)
    objects.gate.set()
    await served.until_nothing_is_held()
