"""TPC-H on clusters of several engines equals DuckDB's answers; nodes may die, and nothing is left behind."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from firn_local.answers import difference
from firn_local.cache import Cache
from firn_local.layout import Layout
from firn_local.tpch import PARTS, QUERIES, Tpch, as_answer
from firn_model.frames import Frame, FrameReader, FrameType
from firn_model.messages import Failure, Finish, Progress, TableSnapshot
from firn_model.statements import StatementError

from tests.runtime.conftest import Answer, Lake, serving_lake
from tests.runtime.local_cluster import LocalCluster, local_cluster

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="module")]

ENDLESS = "SELECT sum(sin(a.l_orderkey + b.l_orderkey * c.l_orderkey)) AS x FROM lineitem a, lineitem b, lineitem c"


@pytest.fixture(scope="module")
def tpch() -> Tpch:
    return Tpch(Cache(Layout.from_environment().cache), "0.05")


@pytest.fixture(scope="module")
def small_lake(tpch: Tpch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """An S3 server over TPC-H at scale factor 0.05."""
    with serving_lake(tmp_path_factory.mktemp("s3-small"), tpch.data) as serving:
        yield serving


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[1, 2, 3])
async def cluster(request: pytest.FixtureRequest, small_lake: Lake) -> AsyncIterator[LocalCluster]:
    async with local_cluster(small_lake.endpoint, request.param) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(small_lake: Lake) -> AsyncIterator[LocalCluster]:
    async with local_cluster(small_lake.endpoint, 2) as running:
        yield running


def engine_text(text: str) -> str:
    """Return a query in the engine's dialect, as the services would."""
    return re.sub(r"year\((.*?)\)", r"extract(year FROM \1)", text)


def tables_of(text: str, lake: Lake) -> tuple[TableSnapshot, ...]:
    return lake.tables(*(name for name in PARTS if re.search(rf"\b{name}\b", text)))


async def ask(cluster: LocalCluster, lake: Lake, tpch: Tpch, number: int, **changes: object) -> Answer:
    text = engine_text(tpch.queries[number])
    answer = await cluster.run(text, tables_of(text, lake), **changes)
    assert isinstance(answer.last, Finish), answer.last
    assert answer.table is not None
    assert difference(tpch.answer(number), as_answer(answer.table), tpch.order_by(number)) is None, f"q{number}"
    return answer


def nothing_kept(cluster: LocalCluster) -> bool:
    return [kept for engine in cluster.engines if engine.process.is_running for kept in engine.kept] == []


async def until_nothing_is_kept(cluster: LocalCluster) -> None:
    async with asyncio.timeout(10):
        while not nothing_kept(cluster):
            await asyncio.sleep(0.02)


async def test_all_answers_are_right(cluster: LocalCluster, small_lake: Lake, tpch: Tpch) -> None:
    for number in QUERIES:
        answer = await ask(cluster, small_lake, tpch, number)
        nodes = len(cluster.engines)
        assert (answer.statistics.stages > 1) == (nodes > 1), f"q{number}"
    await until_nothing_is_kept(cluster)


async def test_a_profile_tells_how_it_ran(pair: LocalCluster, small_lake: Lake, tpch: Tpch) -> None:
    answer = await ask(pair, small_lake, tpch, 3)
    assert isinstance(answer.last, Finish)
    profile = answer.last.profile
    assert profile is not None
    assert profile.nodes == ("node-0", "node-1")
    assert profile.whole_because is None
    assert sum(stage.tasks for stage in profile.stages) == answer.statistics.tasks
    assert sum(stage.rows_scanned for stage in profile.stages) == answer.statistics.rows_scanned > 100_000
    assert sum(stage.bytes.fetched_from_peers for stage in profile.stages) == answer.statistics.bytes_from_peers > 0
    assert sum(stage.bytes.kept_in_memory for stage in profile.stages) > 0
    assert profile.stages[-1].rows_out == answer.statistics.rows_produced == 10
    operators = [operator for stage in profile.stages for operator in stage.plan]
    scans = [operator for operator in operators if operator.name.startswith("Scan ")]
    assert {scan.name for scan in scans} == {"Scan customer", "Scan orders", "Scan lineitem"}
    assert sum(scan.rows for scan in scans) == answer.statistics.rows_scanned
    assert sum(scan.bytes_scanned for scan in scans) == answer.statistics.bytes_scanned
    assert sum(operator.seconds for operator in operators) == pytest.approx(answer.statistics.cpu_seconds, abs=1e-6)
    read = {operator.name for operator in operators if operator.name.startswith("read stage")}
    assert read == {f"read stage {number}" for number in range(len(profile.stages) - 1)}
    assert not [operator for operator in operators if operator.name in ("Scan", "Exchange")]


async def test_a_whole_statement_has_a_profile_and_its_reason(pair: LocalCluster, small_lake: Lake) -> None:
    answer = await pair.run("SELECT count(*) FROM nation WHERE n_regionkey > 1", small_lake.tables("nation"), nodes=1)
    assert isinstance(answer.last, Finish)
    profile = answer.last.profile
    assert profile is not None
    assert profile.whole_because == "its cluster has one node"
    (stage,) = profile.stages
    assert stage.nodes == profile.nodes == ("node-0",)
    assert (stage.rows_scanned, stage.rows_out) == (answer.statistics.rows_scanned, 1)
    assert [operator.depth for operator in stage.plan] == sorted(operator.depth for operator in stage.plan)
    assert stage.plan[-1].name == "Scan nation"
    assert "n_regionkey > 1" in "".join(operator.detail for operator in stage.plan)


async def test_a_statement_that_fails_tells_how_it_ran_until_then(small_lake: Lake) -> None:
    """On engines of its own: one whose plan does not stop ends some seconds later."""
    async with local_cluster(small_lake.endpoint, 2) as cluster:
        answer = await cluster.run(ENDLESS, small_lake.tables("lineitem"), timeout_seconds=1.0)
        assert isinstance(answer.last, Failure)
        assert answer.last.profile is not None
        assert answer.last.profile.stages[0].operators


@pytest.mark.parametrize("number", [3, 9, 13, 18, 21])
async def test_a_node_is_lost_in_the_middle(small_lake: Lake, tpch: Tpch, number: int) -> None:
    """The node dies when the first stage's tasks are done, with what it made."""
    async with local_cluster(small_lake.endpoint, 3) as cluster:
        text = engine_text(tpch.queries[number])
        running = asyncio.ensure_future(cluster.run(text, tables_of(text, small_lake)))
        await until_something_is_kept(cluster.engines[1].kept, cluster)
        await cluster.kill(cluster.engines[1])
        answer = await running
        assert isinstance(answer.last, Finish), answer.last
        assert answer.table is not None
        assert difference(tpch.answer(number), as_answer(answer.table), tpch.order_by(number)) is None
        assert answer.last.profile is not None
        assert answer.last.profile.lost_nodes == ("node-1",)
        await until_nothing_is_kept(cluster)


async def until_something_is_kept(_: list[str], cluster: LocalCluster) -> None:
    async with asyncio.timeout(60):
        while not cluster.engines[1].kept:
            await asyncio.sleep(0.001)


async def test_a_head_that_is_lost_lets_the_statement_run_again(small_lake: Lake) -> None:
    async with local_cluster(small_lake.endpoint, 2) as cluster:
        running = asyncio.ensure_future(cluster.run(ENDLESS, small_lake.tables("lineitem")))
        await until_something_is_kept([], cluster)
        await cluster.kill(cluster.engines[0])
        failure = (await running).failure
        assert (failure.error, failure.retryable) == (StatementError.NODE_LOST, True)


async def test_a_cancel_leaves_nothing(pair: LocalCluster, small_lake: Lake) -> None:
    dispatch = pair.dispatch(ENDLESS, small_lake.tables("lineitem"))
    running = asyncio.ensure_future(pair.answer(dispatch))
    await until_something_is_kept([], pair)
    assert pair.coordinator.cancel(dispatch.statement_id)
    answer = await running
    assert answer.failure.error is StatementError.CANCELLED
    assert answer.statistics.rows_scanned > 0
    await until_nothing_is_kept(pair)
    assert pair.members.held() == frozenset()


async def test_what_finds_no_room_spills_to_disk_and_to_the_object_store(small_lake: Lake, tpch: Tpch) -> None:
    async with local_cluster(small_lake.endpoint, 2, memory_bytes=20_000, disk_bytes=200_000) as cluster:
        answer = await ask(cluster, small_lake, tpch, 18, exchange_uri="s3://lake/ephemeral")
        assert answer.statistics.bytes_spilled_local > 0
        assert answer.statistics.bytes_spilled_remote > 0
        await until_nothing_is_kept(cluster)
        async with asyncio.timeout(10):
            while [path for path in (small_lake.root / "lake" / "ephemeral").rglob("*") if path.is_file()]:
                await asyncio.sleep(0.02)


async def test_full_tiers_without_an_object_store_are_one_clear_error(small_lake: Lake, tpch: Tpch) -> None:
    async with local_cluster(small_lake.endpoint, 2, memory_bytes=0, disk_bytes=1000) as cluster:
        text = tpch.queries[18]
        failure = (await cluster.run(text, tables_of(text, small_lake))).failure
        assert failure.error is StatementError.OUT_OF_MEMORY
        assert "No room is left" in failure.message
        await until_nothing_is_kept(cluster)


async def test_burst_nodes_run_scans_only(small_lake: Lake, tpch: Tpch) -> None:
    offer = {"most_nodes": 2, "min_scan_bytes": 0, "min_seconds": 0}
    async with local_cluster(small_lake.endpoint, 1, bursts=2) as cluster:
        answer = await ask(cluster, small_lake, tpch, 1, nodes=1, burst=offer)
        assert answer.statistics.burst_tasks > 0
        assert 1 <= answer.statistics.burst_nodes <= 2
        assert 0 < answer.statistics.scan_seconds <= answer.statistics.execute_seconds
        assert isinstance(answer.last, Finish)
        assert answer.last.profile is not None
        assert set(answer.last.profile.stages[-1].nodes) == {"node-0"}


async def test_a_node_that_joins_later_gets_work(small_lake: Lake, tpch: Tpch) -> None:
    """Planned for the nodes that there will be; the stages after the join use them."""
    async with local_cluster(small_lake.endpoint, 1) as cluster:
        text = engine_text(tpch.queries[9])
        running = asyncio.ensure_future(cluster.run(text, tables_of(text, small_lake), nodes=2))
        await cluster.add()
        answer = await running
        assert answer.table is not None
        assert difference(tpch.answer(9), as_answer(answer.table), tpch.order_by(9)) is None
        again = await ask(cluster, small_lake, tpch, 9)
        assert isinstance(again.last, Finish)
        assert again.last.profile is not None
        assert again.last.profile.nodes == ("node-0", "node-1")


async def test_the_doors_are_shut_to_others(pair: LocalCluster) -> None:
    """A request without the cluster's ticket gets nothing, not even an answer."""
    from firn_runtime.engine.tasks import Fetch
    from firn_runtime.errors import EngineLostError
    from firn_runtime.exchange.tickets import key_of
    from firn_runtime.node.executor import StageRun

    request = Fetch(statement_id="s", names=("x",))
    for token in ("another cluster", ""):
        run = await StageRun.start_at(pair.engines[1].process.door, request, key_of(token))
        with pytest.raises(EngineLostError):
            await run.frames()
        run.close()


async def test_errors_of_the_statement_are_told_as_on_one_node(pair: LocalCluster, small_lake: Lake) -> None:
    sql = "SELECT l_returnflag, sum(1 / (l_linenumber - 1)) AS x FROM lineitem GROUP BY 1"
    failure = (await pair.run(sql, small_lake.tables("lineitem"))).failure
    assert failure.error is StatementError.ARITHMETIC
    missing = small_lake.table("lineitem", "s3://lake/tpch/lineitem/gone.parquet")
    failure = (await pair.run("SELECT count(l_comment) AS n FROM lineitem", (missing,))).failure
    assert failure.error is StatementError.OBJECT_MISSING


@pytest.mark.parametrize("nodes", [1, 2])
async def test_a_statement_that_ran_before_misses_a_file_that_is_gone(
    pair: LocalCluster, small_lake: Lake, nodes: int
) -> None:
    """It is not bound again, but planned again."""
    content = (small_lake.root / "lake/tpch/nation/nation.1.parquet").read_bytes()
    uris = tuple(small_lake.put(f"again{nodes}/{number}.parquet", content) for number in (1, 2))
    table = small_lake.table("nation", only=uris)
    sql = f"SELECT n_regionkey, count(n_comment) AS n FROM nation WHERE n_nationkey > {nodes} GROUP BY 1"
    for _ in range(2):
        assert isinstance((await pair.run(sql, (table,), nodes=nodes)).last, Finish)
    (small_lake.root / "lake" / f"again{nodes}" / "2.parquet").unlink()
    assert (await pair.run(sql, (table,), nodes=nodes)).failure.error is StatementError.OBJECT_MISSING
    small_lake.put(f"again{nodes}/2.parquet", content + b"longer")
    assert (await pair.run(sql, (table,), nodes=nodes)).failure.error is StatementError.CORRUPT_FILE


async def test_results_of_many_rows_and_none(pair: LocalCluster, small_lake: Lake) -> None:
    whole = await pair.run("SELECT * FROM lineitem", small_lake.tables("lineitem"))
    paths = sorted((small_lake.root / "lake/tpch/lineitem").glob("*.parquet"))
    assert whole.table is not None
    assert whole.table.num_rows == sum(pq.read_metadata(path).num_rows for path in paths)
    none = await pair.run("SELECT * FROM lineitem WHERE l_orderkey < 0", small_lake.tables("lineitem"))
    assert none.table is not None
    assert none.table.num_rows == 0
    assert none.table.schema.equals(whole.table.schema, check_metadata=False)


async def test_long_statements_say_how_far_they_are(pair: LocalCluster, small_lake: Lake) -> None:
    dispatch = pair.dispatch(ENDLESS, small_lake.tables("lineitem"))
    seen: list[Frame] = []
    reader = FrameReader()

    async def send(data: bytes) -> None:
        seen.extend(reader.feed(data))
        if seen:
            pair.coordinator.cancel(dispatch.statement_id)

    async with asyncio.timeout(20):
        await pair.coordinator.run(dispatch, send)
    assert [frame.type for frame in seen] == [FrameType.PROGRESS]
    told = Progress.model_validate_json(seen[0].payload)
    assert (told.fraction is not None, told.stages > 0) == (True, True)
