"""A statement that finds no room in memory is planned again until it fits, or fails with one clear error."""

from collections.abc import AsyncIterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from firn_model.messages import Finish, TableSnapshot
from firn_model.profile import Profile
from firn_model.statements import StatementError
from firn_runtime.statements.distributed import PLANS

from tests.runtime.conftest import Answer, Lake
from tests.runtime.local_cluster import LocalCluster, local_cluster

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20
ROWS = 80_000
WIDE = 100
"""Bytes of each row's text: the wide table has 8 MB, the pools of most tests a part of that."""


@pytest.fixture(scope="module")
def tables(lake: Lake) -> tuple[TableSnapshot, ...]:
    """Two tables that are joined: one wide, the other larger in rows, so that the wide one is collected and hashed."""
    wide = {
        "k": list(range(ROWS)),
        "same": [number % 8 // 7 for number in range(ROWS)],
        "x": ["x" * WIDE] * ROWS,
    }
    other = {
        "k": [number % ROWS for number in range(5 * ROWS)],
        "few": [1 + number % 50_000 for number in range(5 * ROWS)],
    }
    for name, columns in (("wide", wide), ("other", other)):
        table = pa.table(columns)
        for part in range(2):
            half = table.slice(part * table.num_rows // 2, table.num_rows // 2)
            sink = pa.BufferOutputStream()
            pq.write_table(half, sink, row_group_size=20_000)
            lake.put(f"tpch/{name}/{part}.parquet", sink.getvalue().to_pybytes())
    return lake.tables("wide", "other")


@pytest_asyncio.fixture(loop_scope="module")
async def small(lake: Lake) -> AsyncIterator[LocalCluster]:
    async with local_cluster(lake.endpoint, 1, pool_bytes=6 * MIB) as running:
        yield running


def profile_of(answer: Answer) -> Profile:
    assert isinstance(answer.last, Finish), answer.last
    assert answer.last.profile is not None
    return answer.last.profile


def joins_of(profile: Profile) -> set[str]:
    return {each.name for stage in profile.stages for each in stage.plan if "Join" in each.name}


JOINED = "SELECT count(*) AS n, sum(length(wide.x)) AS bytes FROM other JOIN wide ON "


async def test_more_partitions_until_a_join_fits(small: LocalCluster, tables: tuple[TableSnapshot, ...]) -> None:
    answer = await small.run(JOINED + "other.k = wide.k", tables)
    assert answer.rows == [{"n": 5 * ROWS, "bytes": 5 * ROWS * WIDE}]
    profile = profile_of(answer)
    assert len(profile.replanned_because) == 1
    assert "HashJoinInput" in profile.replanned_because[0]
    assert joins_of(profile) == {"HashJoin"}


async def test_a_join_that_no_partition_makes_smaller_is_sorted(
    small: LocalCluster, tables: tuple[TableSnapshot, ...]
) -> None:
    """Most of the wide rows have one key: by hash they are in one partition, however many there are."""
    answer = await small.run(JOINED + "other.few = wide.same", tables)
    pairs = 5 * ROWS // 50_000 * ROWS // 8
    assert answer.rows == [{"n": pairs, "bytes": pairs * WIDE}]
    profile = profile_of(answer)
    assert len(profile.replanned_because) >= PLANS.index(next(plan for plan in PLANS if plan.sort_merge))
    assert joins_of(profile) == {"SortMergeJoin"}
    assert answer.statistics.bytes_spilled_local > 0
    assert sum(stage.bytes.spilled_to_disk for stage in profile.stages) > 0


async def test_retries_are_bounded_and_end_in_one_clear_error(lake: Lake, tables: tuple[TableSnapshot, ...]) -> None:
    async with local_cluster(lake.endpoint, 1, pool_bytes=MIB // 2) as cluster:
        answer = await cluster.run(JOINED + "other.few = wide.same", tables)
        assert answer.failure.error is StatementError.OUT_OF_MEMORY
        assert "Use a larger warehouse or read less." in answer.failure.message
        assert answer.failure.profile is not None
        assert len(answer.failure.profile.replanned_because) == len(PLANS) - 1
        again = await cluster.run("SELECT count(*) AS n FROM wide WHERE k >= 0", tables)
        assert again.rows == [{"n": ROWS}]
        assert [engine.kept for engine in cluster.engines] == [[]]
