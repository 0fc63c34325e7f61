"""Bad input in stages on two engines: an error of that statement alone, and nothing of it is kept."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from firn_model.frames import Frame, FrameReader, FrameType
from firn_model.statements import StatementError

from tests.runtime.conftest import Lake, answer_of
from tests.runtime.local_cluster import LocalCluster, local_cluster
from tests.runtime.test_distributed import until_nothing_is_kept

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="module")]

GROUPED = "SELECT l_suppkey, count(l_comment) AS n, max(l_comment) AS x FROM lineitem GROUP BY 1 ORDER BY 1"
MANY = "SELECT l_orderkey, l_comment FROM lineitem ORDER BY l_comment, l_orderkey"
"""A result that does not go out in one piece."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(lake: Lake) -> AsyncIterator[LocalCluster]:
    async with local_cluster(lake.endpoint, 2) as running:
        yield running


async def goes_on(cluster: LocalCluster, lake: Lake) -> None:
    """The cluster keeps nothing of what failed, and answers."""
    await until_nothing_is_kept(cluster)
    assert cluster.members.held() == frozenset()
    answer = await cluster.run("SELECT count(*) AS n FROM lineitem WHERE l_orderkey > 0", lake.tables("lineitem"))
    assert answer.rows == [{"n": 60175}]


@pytest.mark.parametrize("damage", ["truncated", "a page", "footer", "not Parquet"])
async def test_a_damaged_file(pair: LocalCluster, lake: Lake, damage: str) -> None:
    whole = next((lake.root / "lake/tpch/lineitem").glob("*.parquet")).read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "a page": whole[:1000] + b"\xff" * 200_000 + whole[201_000:],
        "footer": whole[:-2000] + b"\x00" * 1992 + whole[-8:],
        "not Parquet": b"l_orderkey,l_comment\n1,text\n" * 1000,
    }[damage]
    uri = lake.put(f"bad/{damage.replace(' ', '-')}.parquet", content)
    failure = (await pair.run(GROUPED, (lake.table("lineitem", uri),))).failure
    assert failure.error is StatementError.CORRUPT_FILE
    assert not failure.retryable
    await goes_on(pair, lake)


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT l_returnflag, sum(CAST(l_comment AS INT)) AS x FROM lineitem GROUP BY 1", StatementError.TYPE),
        ("SELECT l_returnflag, sum(1 / (l_linenumber - 1)) AS x FROM lineitem GROUP BY 1", StatementError.ARITHMETIC),
    ],
)
async def test_a_value_that_does_not_do(pair: LocalCluster, lake: Lake, sql: str, error: StatementError) -> None:
    assert (await pair.run(sql, lake.tables("lineitem"))).failure.error is error
    await goes_on(pair, lake)


async def test_a_file_deleted_under_a_snapshot(pair: LocalCluster, lake: Lake) -> None:
    source = next((lake.root / "lake/tpch/lineitem").glob("*.parquet"))
    uri = lake.put("bad/deleted.parquet", source.read_bytes())
    table = lake.table("lineitem", uri)
    (lake.root / "lake/bad/deleted.parquet").unlink()
    failure = (await pair.run(GROUPED, (table,))).failure
    assert failure.error is StatementError.OBJECT_MISSING
    assert "deleted.parquet" in failure.message
    await goes_on(pair, lake)


async def test_a_slow_client_is_waited_for(pair: LocalCluster, lake: Lake) -> None:
    """It takes nothing more until another statement has been answered, and then gets every row once."""
    taken, sent = asyncio.Event(), bytearray()

    async def send(data: bytes) -> None:
        await taken.wait()
        sent.extend(data)

    running = asyncio.ensure_future(pair.coordinator.run(pair.dispatch(MANY, lake.tables("lineitem")), send))
    answer = await pair.run("SELECT count(*) AS n FROM lineitem WHERE l_orderkey > 0", lake.tables("lineitem"))
    assert answer.rows == [{"n": 60175}]
    assert not running.done()
    taken.set()
    ended = await running
    table = answer_of(FrameReader().feed(bytes(sent) + ended.unsent)).table
    assert table is not None
    assert table.num_rows == 60175
    await goes_on(pair, lake)


async def test_a_client_that_is_gone(pair: LocalCluster, lake: Lake) -> None:
    async def send(data: bytes) -> None:
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError):
        await pair.coordinator.run(pair.dispatch(MANY, lake.tables("lineitem")), send)
    await goes_on(pair, lake)


@pytest.mark.parametrize("point", ["at once", "first piece", "first rows"])
async def test_a_cancel_at_any_point(pair: LocalCluster, lake: Lake, point: str) -> None:
    dispatch = pair.dispatch(MANY, lake.tables("lineitem"))
    rows = asyncio.Event()
    reader = FrameReader()

    async def send(data: bytes) -> None:
        frames: list[Frame] = reader.feed(data)
        if any(frame.type is FrameType.ARROW for frame in frames):
            rows.set()

    running = asyncio.ensure_future(pair.coordinator.run(dispatch, send))
    async with asyncio.timeout(30):
        await asyncio.sleep(0)  # it has begun
        if point == "first rows":
            await rows.wait()
        while point == "first piece" and not any(engine.kept for engine in pair.engines):
            await asyncio.sleep(0.001)
        assert pair.coordinator.cancel(dispatch.statement_id)
        ended = await running
    assert not ended.is_success
    assert getattr(ended.outcome, "error", None) is StatementError.CANCELLED
    await goes_on(pair, lake)
