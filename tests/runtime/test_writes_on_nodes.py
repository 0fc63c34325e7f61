"""Statements that several nodes write: each row in one file that counts, each file where it will be read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from firn_model.messages import DataFile, Finish, TableSnapshot
from firn_model.statements import StatementError
from firn_runtime.cache.placement import owner
from firn_runtime.engine.tables import Location
from firn_runtime.writing.writes import Home, named_at_home

from tests.runtime.conftest import Answer, Lake
from tests.runtime.local_cluster import LocalCluster, local_cluster
from tests.runtime.test_writes import NUMBERS, path, target

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="module")]

EACH = "SELECT l_orderkey AS n, l_comment AS text FROM lineitem"
WIDE = "SELECT a.l_orderkey AS n, a.l_comment || repeat('x', 600) AS text FROM lineitem a"
"""Enough for files of their own in each partition."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(lake: Lake) -> AsyncIterator[LocalCluster]:
    async with local_cluster(lake.endpoint, 2) as running:
        yield running


def written(answer: Answer) -> list[str]:
    assert isinstance(answer.last, Finish), answer.last
    return [file.uri for file in answer.last.written]


def found(lake: Lake, folder: str) -> list[str]:
    """Return the addresses of the files that are in a folder of the object store."""
    return sorted(f"s3://{each.relative_to(lake.root)}" for each in (lake.root / "lake" / folder).glob("*.parquet"))


def require_rows(lake: Lake, answer: Answer, length: int = 0) -> None:
    """Require that the files of an answer have the order of each line once."""
    assert isinstance(answer.last, Finish)
    table = pa.concat_tables(pq.read_table(path(lake, file)) for file in answer.last.written)
    source = pq.ParquetDataset(lake.root / "lake/tpch/lineitem").read(["l_orderkey"])
    assert sorted(table["n"].to_pylist()) == sorted(source["l_orderkey"].to_pylist())
    assert min(len(text) for text in table["text"].to_pylist()) >= length
    used = answer.statistics
    assert used.rows_written == table.num_rows == sum(file.rows for file in answer.last.written)
    assert used.bytes_written == sum(file.size_bytes for file in answer.last.written)
    assert used.rows_produced == 0


async def test_what_is_little_shares_a_file(pair: LocalCluster, lake: Lake) -> None:
    answer = await pair.run(EACH, lake.tables("lineitem"), write=target(NUMBERS, "shared"))
    require_rows(lake, answer)
    assert written(answer) == found(lake, "shared")
    assert len(written(answer)) == 1
    assert answer.statistics.stages == 2


async def test_what_is_much_is_written_and_then_read_by_each_node(pair: LocalCluster, lake: Lake) -> None:
    answer = await pair.run(WIDE, lake.tables("lineitem"), write=target(NUMBERS, "much"))
    require_rows(lake, answer, 600)
    assert sorted(written(answer)) == found(lake, "much")
    assert isinstance(answer.last, Finish)
    assert answer.last.profile is not None
    assert answer.last.profile.stages[0].nodes == ("node-0", "node-1")
    files = tuple(DataFile(uri=f.uri, size_bytes=f.size_bytes, rows=f.rows) for f in answer.last.written)
    table = TableSnapshot(name="t", schema_ipc_base64=target(NUMBERS).schema_ipc_base64, files=files)
    read = await pair.run("SELECT n % 10 AS k, count(*), max(text) FROM t GROUP BY 1", (table,))
    assert len(read.rows) == 10
    assert read.statistics.tasks_stolen == 0
    assert read.statistics.bytes_from_object_store == 0


@pytest.mark.parametrize(
    ("sql", "changes", "stages"),
    [
        pytest.param(EACH + " ORDER BY n", {}, 2, id="in an order"),
        pytest.param(EACH + " LIMIT 100", {}, 0, id="a part of it"),
        pytest.param("SELECT sum(l_orderkey) AS n, max(l_comment) AS text FROM lineitem", {}, 2, id="one row"),
        pytest.param("SELECT n, text FROM (" + EACH + ") WHERE n < 0", {}, 2, id="no row"),
        pytest.param(EACH, {"sort_by": ("n",)}, 0, id="sorted"),
        pytest.param(EACH, {"single": True}, 0, id="one file"),
    ],
)
async def test_other_shapes(pair: LocalCluster, lake: Lake, sql: str, changes: dict[str, Any], stages: int) -> None:
    expected = await pair.run(sql, lake.tables("lineitem"))
    answer = await pair.run(sql, lake.tables("lineitem"), write=target(NUMBERS, f"shapes-{stages}", **changes))
    assert isinstance(answer.last, Finish), answer.last
    rows = [row for file in answer.last.written for row in pq.read_table(path(lake, file)).to_pylist()]
    if "ORDER" in sql or changes.get("sort_by"):
        assert [row["n"] for row in rows] == sorted(row["n"] for row in rows)
    assert len(rows) == len(expected.rows) == answer.statistics.rows_written
    assert answer.statistics.stages == stages


async def test_a_row_that_fails_late_leaves_no_file(pair: LocalCluster, lake: Lake) -> None:
    sql = WIDE.replace("a.l_orderkey AS n", "1 / (a.l_orderkey - 60000) AS n")
    answer = await pair.run(sql, lake.tables("lineitem"), write=target(NUMBERS, "failing", target_file_bytes=1))
    assert answer.failure.error is StatementError.ARITHMETIC
    assert found(lake, "failing") == []


async def test_a_cancel_leaves_no_file(pair: LocalCluster, lake: Lake) -> None:
    sql = WIDE + ", lineitem b"
    dispatch = pair.dispatch(sql, lake.tables("lineitem"), write=target(NUMBERS, "stopped-on-two", target_file_bytes=1))
    running = asyncio.ensure_future(pair.answer(dispatch))
    while not found(lake, "stopped-on-two"):
        await asyncio.sleep(0.02)
    assert pair.coordinator.cancel(dispatch.statement_id)
    assert (await running).failure.error is StatementError.CANCELLED
    async with asyncio.timeout(20):
        while found(lake, "stopped-on-two"):
            await asyncio.sleep(0.02)


async def test_a_node_that_is_lost_after_it_has_written(lake: Lake) -> None:
    """What it wrote counts no more: its tasks run again, and each row is there once."""
    async with local_cluster(lake.endpoint, 3) as cluster:
        nodes = tuple(engine.name for engine in cluster.engines)
        write = target(NUMBERS, "lost", target_file_bytes=1)
        running = asyncio.ensure_future(cluster.run(WIDE, lake.tables("lineitem"), write=write))
        while not any(owner(Location.of(uri).name, nodes) == "node-1" for uri in found(lake, "lost")):
            await asyncio.sleep(0.02)
        await cluster.kill(cluster.engines[1])
        answer = await running
        require_rows(lake, answer, 600)
        assert set(written(answer)) <= set(found(lake, "lost"))


async def test_a_file_is_named_so_that_it_belongs_where_it_is_written() -> None:
    nodes = tuple(f"node-{number}" for number in range(8))
    names = {named_at_home("lake/t/data/s/0", ".parquet", Home(node, nodes)) for node in nodes}
    assert len(names) == len(nodes)
    assert all(name.startswith("lake/t/data/s/0") and name.endswith(".parquet") for name in names)
    assert named_at_home("lake/t/0", ".csv", None) == "lake/t/0.csv"
