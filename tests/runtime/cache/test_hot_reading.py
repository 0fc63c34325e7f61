"""Statements that are served decoded columns: the same rows, never a stale one, in the bytes that there are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from firn_model.messages import DataFile, Statistics
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.hot_columns import HotColumns
from firn_runtime.engine import leaf
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.operators import operators_of, readings
from firn_runtime.engine.stage import Stage

from tests.runtime.cache.conftest import GROUP_ROWS, ROWS, Objects, table_of
from tests.runtime.cache.test_reading import SUMS, sums

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(leaf.missing_because() is not None, reason="no leaf: python -m firn_local leaf"),
]
MEBIBYTE = 1 << 20
PASSES_TO_HOT = 2


class HotReader:
    """An engine with its caches."""

    def __init__(self, folder: Path, hot_bytes: int) -> None:
        module = leaf.load()
        assert module is not None
        self.hot = HotColumns(module, hot_bytes)
        self.cache = FileCache(folder / "cache", 64 * MEBIBYTE)
        self.engine = Engine(2, 1 << 30, folder / "spill", self.cache, self.hot)
        self.scans: list[str] = []

    async def run(self, objects: Objects, sql: str, *files: DataFile) -> tuple[list[dict[str, Any]], Statistics]:
        stage = Stage(statement_id="s", sql=sql, tables=(table_of(*files),), object_store=objects.access)
        query = await asyncio.to_thread(self.engine.start, stage)
        try:
            rows = [row async for batch in self.engine.batches(query) for row in batch.to_pylist()]
            read = tuple(readings(query.plan))
            told = operators_of(read, stage.tables, query.lease.paths)
            self.scans = [f"{each.name}: {each.detail}" for each in told if each.name.startswith("Scan")]
            return rows, query.statistics(read, 0)
        finally:
            query.lease.close()

    async def hot_run(self, objects: Objects, sql: str, *files: DataFile) -> tuple[list[dict[str, Any]], Statistics]:
        """Run a statement until its columns are decoded, and once more."""
        for _ in range(PASSES_TO_HOT):
            await self.run(objects, sql, *files)
        return await self.run(objects, sql, *files)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[HotReader]:
    made = HotReader(tmp_path, 64 * MEBIBYTE)
    yield made
    made.hot.close()
    made.cache.close()


async def test_the_third_statement_is_served_decoded_columns(objects: Objects, reader: HotReader) -> None:
    file = objects.write("a")
    rows, first = await reader.run(objects, SUMS, file)
    assert rows == sums()
    assert (reader.hot.used_bytes, first.bytes_from_memory) == (0, 0)
    rows, _ = await reader.run(objects, SUMS, file)
    assert rows == sums()
    decoded = reader.hot.used_bytes
    assert 2 * 8 * ROWS < decoded < 3 * MEBIBYTE
    rows, served = await reader.run(objects, SUMS, file)
    assert rows == sums()
    assert reader.scans == ["Scan t: decoded columns in memory"]
    assert 2 * 8 * ROWS < served.bytes_from_memory <= decoded
    assert (served.bytes_from_object_store, served.rows_scanned, served.files_scanned) == (0, ROWS, 1)
    assert served.bytes_scanned >= served.bytes_from_memory


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT id, text FROM t WHERE id BETWEEN 9990 AND 10010 ORDER BY id", id="a range"),
        pytest.param("SELECT text, count(*) AS n FROM t WHERE text LIKE '%7' GROUP BY text ORDER BY text", id="text"),
        pytest.param("SELECT count(*) AS n FROM t WHERE version > 1000", id="no row"),
        pytest.param("SELECT count(*) AS n FROM t", id="no column"),
        pytest.param("SELECT a.id + b.id AS x FROM t a JOIN t b ON a.id = b.id ORDER BY x DESC LIMIT 7", id="a join"),
        pytest.param("SELECT id FROM t WHERE id > 39000 ORDER BY id DESC LIMIT 5", id="the first ones"),
        pytest.param(
            "SELECT id % 7 AS k, sum(id) OVER (PARTITION BY id % 7 ORDER BY id) AS s FROM t WHERE id < 9 ORDER BY 1, 2",
            id="a window",
        ),
        pytest.param("SELECT max(id) AS x FROM t WHERE id < (SELECT avg(id) FROM t)", id="a subquery"),
    ],
)
async def test_rows_are_the_same(objects: Objects, reader: HotReader, sql: str) -> None:
    file = objects.write("a")
    rows, _ = await reader.run(objects, sql, file)
    hot, _ = await reader.hot_run(objects, sql, file)
    again, _ = await reader.run(objects, sql, file)  # by the plan that was kept
    assert hot == again == rows


async def test_a_scan_that_may_stop_early_is_left_alone(objects: Objects, reader: HotReader) -> None:
    file = objects.write("a")
    await reader.hot_run(objects, SUMS, file)
    rows, _ = await reader.run(objects, "SELECT id FROM t LIMIT 3", file)
    assert len(rows) == 3
    assert not any("decoded" in scan for scan in reader.scans)


async def test_only_row_groups_that_may_match_are_decoded(objects: Objects, reader: HotReader) -> None:
    file = objects.write("a")
    _, served = await reader.hot_run(objects, "SELECT sum(id) AS s FROM t WHERE id < 100", file)
    assert served.rows_scanned == GROUP_ROWS
    assert reader.hot.used_bytes < 2 * 8 * GROUP_ROWS


async def test_a_small_tier_keeps_what_it_can(objects: Objects, tmp_path: Path) -> None:
    reader = HotReader(tmp_path, 8 * ROWS + 16 * 1024)  # one column of numbers
    file = objects.write("a")
    for column in ("id", "version", "id", "text", "version"):
        for _ in range(PASSES_TO_HOT + 1):
            rows, _ = await reader.run(objects, f"SELECT max({column}) AS x FROM t WHERE id >= 0", file)
            assert rows[0]["x"] in (ROWS - 1, 1000, f"text {ROWS - 1:09}")
            assert reader.hot.leaf.held_bytes() <= reader.hot.used_bytes <= 8 * ROWS + 16 * 1024
    assert reader.hot.counts.filled > 0
    reader.hot.close()
    assert reader.hot.leaf.held_bytes() == 0


async def test_no_row_is_stale_while_the_file_is_rewritten(objects: Objects, reader: HotReader) -> None:
    """A statement sees one version of a file, one that was there while it ran."""
    files = [objects.write("a")]
    await reader.hot_run(objects, SUMS, files[0])
    for version in range(1001, 1006):
        files.append(objects.write("a", version))
        answers = await asyncio.gather(*(reader.run(objects, SUMS, files[-1]) for _ in range(3)))
        assert all(rows == sums(version) for rows, _ in answers)
    rows, served = await reader.hot_run(objects, SUMS, files[-1])
    assert rows == sums(1005)
    assert served.bytes_from_memory > 0


async def test_statements_at_once_share_what_is_decoded(objects: Objects, reader: HotReader) -> None:
    files = [objects.write(f"{number}") for number in range(3)]
    await reader.run(objects, SUMS, *files)
    answers = await asyncio.gather(*(reader.run(objects, SUMS, *files) for _ in range(4)))
    assert all(rows == sums(files=3) for rows, _ in answers)
    assert reader.hot.counts.filled == 3 * 3 * (ROWS // GROUP_ROWS)
    assert reader.hot.counts.displaced == 0
