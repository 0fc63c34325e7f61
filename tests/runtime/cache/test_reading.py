"""Statements that read through the cache: each byte fetched once, only those that are needed, never a stale one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datafusion import SessionContext
from datafusion.plan import ExecutionPlan
from firn_model.messages import DataFile, Statistics
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.task_scans import localise
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.operators import readings
from firn_runtime.engine.scans import file_scans
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tables import Stores, register

from tests.runtime.cache.conftest import GROUP_ROWS, ROWS, Objects, table_of

pytestmark = pytest.mark.component
SUMS = "SELECT count(*) AS n, min(version) AS low, max(version) AS high, sum(id) AS s, min(text) AS t FROM t"
MEBIBYTE = 1 << 20
READERS = 4
TAIL = 64 << 10
"""What is read to find a footer, and so read twice when it is more than the footer."""


class Reader:
    """An engine with its cache."""

    def __init__(self, folder: Path, disk_bytes: int = 64 * MEBIBYTE, memory_bytes: int = 0) -> None:
        self.cache = FileCache(folder / "cache", disk_bytes, memory_bytes=memory_bytes)
        self.engine = Engine(2, 1 << 30, folder / "spill", self.cache)

    async def run(self, objects: Objects, sql: str, *files: DataFile) -> tuple[list[dict[str, Any]], Statistics]:
        stage = Stage(statement_id="s", sql=sql, tables=(table_of(*files),), object_store=objects.access)
        query = await asyncio.to_thread(self.engine.start, stage)
        try:
            rows = [row async for batch in self.engine.batches(query) for row in batch.to_pylist()]
            return rows, query.statistics(tuple(readings(query.plan)), 0)
        finally:
            query.lease.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.cache.close()


def sums(version: int = 1000, files: int = 1) -> list[dict[str, Any]]:
    total = files * sum(range(ROWS))
    return [{"n": files * ROWS, "low": version, "high": version, "s": total, "t": "text 000000000"}]


async def test_the_second_statement_reads_nothing_from_the_store(objects: Objects, reader: Reader) -> None:
    file = objects.write("a")
    rows, cold = await reader.run(objects, SUMS, file)
    assert rows == sums()
    assert (cold.bytes_from_object_store, cold.bytes_from_cache) == (objects.bytes_read(), 0)
    objects.asked.clear()
    rows, warm = await reader.run(objects, SUMS, file)
    assert rows == sums()
    assert [method for method, _, _ in objects.asked] == ["HEAD"]
    assert warm.bytes_from_object_store == 0
    assert 0 < warm.bytes_from_disk == warm.bytes_from_cache
    assert 0 <= cold.bytes_from_object_store - warm.bytes_from_disk <= TAIL


async def test_readers_at_once_fetch_each_byte_once(objects: Objects, reader: Reader) -> None:
    files = [objects.write(f"{number}") for number in range(3)]
    objects.gate.clear()
    statements = [asyncio.ensure_future(reader.run(objects, SUMS, *files)) for _ in range(READERS)]
    while sum(method == "HEAD" for method, _, _ in objects.asked) < READERS * 3:
        await asyncio.sleep(0.01)
    objects.gate.set()
    answers = await asyncio.gather(*statements)
    assert all(rows == sums(files=3) for rows, _ in answers)
    assert len(set(objects.gets())) == len(objects.gets())
    assert objects.bytes_read() <= sum(file.size_bytes + TAIL for file in files)
    assert sum(used.bytes_from_object_store for _, used in answers) == objects.bytes_read()


@pytest.mark.parametrize(
    ("sql", "columns", "groups"),
    [
        pytest.param("SELECT sum(id) AS x FROM t", 1, 4, id="a column"),
        pytest.param(f"SELECT sum(version) AS x FROM t WHERE id < {GROUP_ROWS}", 2, 1, id="a row group"),
        pytest.param(f"SELECT sum(version) AS x FROM t WHERE {GROUP_ROWS} >= id", 2, 2, id="an edge"),
        pytest.param("SELECT count(*) AS x FROM t", 0, 0, id="nothing"),
        pytest.param("SELECT count(text) AS x FROM t WHERE id = -1", 0, 0, id="no row group"),
    ],
)
async def test_only_what_is_needed_is_fetched(
    objects: Objects, reader: Reader, sql: str, columns: int, groups: int
) -> None:
    file = objects.write("a")
    await reader.run(objects, sql, file)
    least = columns * groups * GROUP_ROWS * 8  # and the headers of its pages
    assert least <= objects.bytes_read() <= least * 1.01 + TAIL


async def test_a_limit_that_takes_another_file_each_time_reads_what_is_there(objects: Objects, reader: Reader) -> None:
    """It takes the file whose footer comes first, and the first one once all footers are known."""
    for number in range(5):
        files = [objects.write(f"{number}-{part}") for part in range(4)]
        await reader.run(objects, SUMS, *files[1:])
        for _ in range(3):
            rows, _ = await reader.run(objects, "SELECT id, text FROM t LIMIT 10", *files)
            assert [row["text"] for row in rows] == [f"text {row['id'] * 7919 % ROWS:09}" for row in rows]
            assert len(rows) == 10


@pytest.mark.parametrize("memory_bytes", [0, 1_200_000])
async def test_never_a_stale_or_partial_byte_under_rewrites(
    objects: Objects, tmp_path: Path, memory_bytes: int
) -> None:
    reader = Reader(tmp_path, memory_bytes=memory_bytes)
    file = objects.write("a", 1000)
    written = [1000]
    done = asyncio.Event()

    async def read() -> int:
        count = 0
        while not done.is_set():
            before = written[-1]
            ((row,), _) = await reader.run(objects, SUMS, file)
            assert row["low"] == row["high"]
            assert before <= row["low"] <= written[-1] + 1
            assert (row["n"], row["s"]) == (ROWS, sum(range(ROWS)))
            count += 1
        return count

    readers = [asyncio.ensure_future(read()) for _ in range(4)]
    for version in range(1001, 1009):
        await reader.run(objects, SUMS, file)
        assert (await asyncio.to_thread(objects.write, "a", version)).size_bytes == file.size_bytes
        written.append(version)
    done.set()
    assert all(count > 0 for count in await asyncio.gather(*readers))
    assert (await reader.run(objects, SUMS, file))[0] == sums(1008)
    assert reader.cache.memory_bytes <= memory_bytes
    reader.cache.close()


@pytest.mark.parametrize("disk_bytes", [0, 100_000, 1_000_000])
async def test_what_finds_no_room_is_read_from_the_store(objects: Objects, tmp_path: Path, disk_bytes: int) -> None:
    reader = Reader(tmp_path, disk_bytes)
    files = [objects.write(f"{number}") for number in range(2)]
    for _ in range(2):
        rows, used = await reader.run(objects, SUMS, *files)
        assert rows == sums(files=2)
        assert used.bytes_from_object_store > 0
        assert reader.cache.disk_bytes <= disk_bytes
    reader.cache.close()


async def test_a_scan_of_what_is_read_once_displaces_nothing(objects: Objects, tmp_path: Path) -> None:
    reader = Reader(tmp_path, 2 * MEBIBYTE)
    hot, *cold = [objects.write(f"{number}") for number in range(5)]
    await reader.run(objects, SUMS, hot)
    for file in cold:
        await reader.run(objects, SUMS, file)
        _, used = await reader.run(objects, SUMS, hot)
        assert used.bytes_from_object_store == 0
    for _ in range(2):  # until it has been used later than the other
        await reader.run(objects, SUMS, cold[0])
    _, used = await reader.run(objects, SUMS, cold[0])
    assert used.bytes_from_object_store == 0
    reader.cache.close()


async def test_a_limit_does_not_fill_the_cache(objects: Objects, reader: Reader) -> None:
    file = objects.write("a")
    rows, _ = await reader.run(objects, "SELECT id, text FROM t LIMIT 5", file)
    assert len(rows) == 5
    assert reader.cache.disk_bytes < 100_000


async def test_what_was_written_is_there_before_it_is_read(objects: Objects, reader: Reader) -> None:
    file = objects.write("a")
    path = objects.folder / "a"
    stat = path.stat()
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    assert await asyncio.to_thread(reader.cache.put, objects.access, file.uri, etag, path.read_bytes())
    rows, used = await reader.run(objects, SUMS, file)
    assert rows == sums()
    assert objects.gets() == []
    assert used.bytes_from_object_store == 0


async def test_a_task_reads_through_the_cache(objects: Objects, reader: Reader) -> None:
    """Its plan was made elsewhere, over objects, and names the parts of files that this node is to read."""
    file = objects.write("a")
    context = SessionContext()
    stores = Stores(context)
    await asyncio.to_thread(register, context, stores, table_of(file), objects.access, {})
    frame = await asyncio.to_thread(context.sql, "SELECT version FROM t WHERE id >= 0")
    plan = await asyncio.to_thread(frame.execution_plan)
    (scan,) = file_scans(plan)
    leaf = scan.to_bytes(context)
    lease, (local,), _ = await asyncio.to_thread(localise, reader.cache, objects.access, [leaf], stores.uri)
    brought = lease.usage.object_store_bytes
    assert brought >= 2 * ROWS * 8
    objects.asked.clear()
    rebuilt = ExecutionPlan.from_bytes(context, local)
    rows = [
        batch.to_pyarrow().num_rows
        for number in range(rebuilt.partition_count)
        for batch in context.execute(rebuilt, number)
    ]
    assert sum(rows) == ROWS
    assert objects.asked == []
    lease.close()


async def test_statistics_of_a_table_in_part_in_the_cache(objects: Objects, reader: Reader) -> None:
    first, second = objects.write("a"), objects.write("b")
    await reader.run(objects, SUMS, first)
    _, used = await reader.run(objects, SUMS, first, second)
    assert 0 <= used.bytes_from_object_store - used.bytes_from_disk <= TAIL
    assert used.bytes_from_disk > 0
