"""Statements on a real node over a real S3 server: right answers, distinct errors, bounds kept."""

import asyncio
import contextlib
import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from firn_model.frames import FrameReader
from firn_model.messages import Cancel, Dispatch, Progress
from firn_model.statements import StatementError

from tests.runtime.conftest import Lake, Node, answer_of
from tests.s3 import SECRET_KEY

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="module")]

ENDLESS = "SELECT sum(sin(a.l_orderkey + b.l_orderkey * c.l_orderkey)) AS x FROM lineitem a, lineitem b, lineitem c"

QUERIES = {
    "q1": (
        "SELECT l_returnflag, l_linestatus, sum(l_quantity) AS q, sum(l_discount) AS d, count(*) AS n FROM lineitem "
        "WHERE l_shipdate <= DATE '1998-09-02' GROUP BY 1, 2 ORDER BY 1, 2",
        ("lineitem",),
    ),
    "q3": (
        "SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate "
        "FROM customer, orders, lineitem "
        "WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey "
        "AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15' "
        "GROUP BY l_orderkey, o_orderdate ORDER BY revenue DESC, o_orderdate LIMIT 10",
        ("customer", "orders", "lineitem"),
    ),
    "q6": (
        "SELECT sum(l_extendedprice * l_discount) AS revenue FROM lineitem WHERE l_shipdate >= DATE '1994-01-01' "
        "AND l_shipdate < DATE '1995-01-01' AND l_discount BETWEEN 0.05 AND 0.07 AND l_quantity < 24",
        ("lineitem",),
    ),
    "q13": (
        "SELECT c_count, count(*) AS n FROM (SELECT c_custkey, count(o_orderkey) AS c_count "
        "FROM customer LEFT JOIN orders ON c_custkey = o_custkey AND o_comment NOT LIKE '%special%requests%' "
        "GROUP BY c_custkey) GROUP BY c_count ORDER BY n DESC, c_count DESC",
        ("customer", "orders"),
    ),
    "count": ("SELECT count(*) AS n FROM orders", ("orders",)),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_answers_equal_duckdb(node: Node, lake: Lake, name: str) -> None:
    sql, tables = QUERIES[name]
    with duckdb.connect() as peer:
        for table in tables:
            peer.execute(f"CREATE VIEW {table} AS SELECT * FROM '{lake.root}/lake/tpch/{table}/*.parquet'")
        columns = [column[0] for column in peer.execute(sql).description]
        expected = [dict(zip(columns, row, strict=True)) for row in peer.execute(sql).fetchall()]
    rows = (await node.run(sql, lake.tables(*tables))).rows
    assert len(rows) == len(expected) > 0
    for row, other in zip(rows, expected, strict=True):
        assert {key: _plain(value) for key, value in row.items()} == {
            key: _plain(value) for key, value in other.items()
        }


def _plain(value: object) -> object:
    try:
        return pytest.approx(float(str(value)), rel=1e-6)
    except ValueError:
        return str(value)


async def test_many_ordered_rows_with_texts_come_in_their_order(node: Node, lake: Lake) -> None:
    answer = await node.run("SELECT l_orderkey, l_comment FROM lineitem ORDER BY 1", lake.tables("lineitem"))
    keys = [row["l_orderkey"] for row in answer.rows]
    assert keys == sorted(keys)


async def test_counts_what_it_used(node: Node, lake: Lake) -> None:
    files = sorted((lake.root / "lake/tpch/lineitem").iterdir())
    fresh = tuple(lake.put(f"counted/{file.name}", file.read_bytes()) for file in files)  # nothing of them is cached
    table = lake.table("lineitem", only=fresh)
    used, again = [(await node.run("SELECT sum(l_quantity) AS q FROM lineitem", (table,))).statistics for _ in range(2)]
    assert used.rows_produced == 1
    assert used.files_scanned == 2
    assert used.rows_scanned == pq.ParquetDataset(lake.root / "lake/tpch/lineitem").read(["l_quantity"]).num_rows
    assert 0 < used.bytes_scanned < sum(file.stat().st_size for file in files) / 4, "only the column in use is read"
    assert used.bytes_scanned < used.bytes_from_object_store <= used.bytes_scanned + 2 * (64 << 10), "and ends of files"
    assert again.bytes_from_object_store == 0 < again.bytes_from_cache
    assert used.cpu_seconds > 0
    assert used.execute_seconds > 0
    assert used.bytes_produced > 0


async def test_an_empty_table_has_columns_and_no_rows(node: Node, lake: Lake) -> None:
    answer = await node.run("SELECT n_name, n_nationkey FROM nation", (lake.table("nation", only=()),))
    assert answer.rows == []
    assert answer.table is not None
    assert answer.table.schema.names == ["n_name", "n_nationkey"]


async def test_a_result_without_rows_has_the_schema_of_one_with_rows(node: Node, lake: Lake) -> None:
    sql = "SELECT n_name, n_nationkey, n_nationkey * 1.5 AS x FROM nation WHERE n_nationkey < {}"
    some = await node.run(sql.format(5), lake.tables("nation"))
    none = await node.run(sql.format(-1), lake.tables("nation"))
    assert some.table is not None
    assert none.table is not None
    assert none.rows == []
    assert none.table.schema.types == some.table.schema.types


async def test_a_file_in_the_bucket_itself(node: Node, lake: Lake) -> None:
    content = (lake.root / "lake/tpch/nation/nation.1.parquet").read_bytes()
    top = lake.put("top.parquet", content)
    answer = await node.run("SELECT count(n_name) AS n FROM nation", (lake.table("nation", top),))
    assert answer.rows == [{"n": 50}]


async def test_files_of_one_name_in_different_folders(node: Node, lake: Lake) -> None:
    """Each folder is a store of its own in the engine; none may be read in place of another."""
    content = pq.read_table(lake.root / "lake/tpch/nation/nation.1.parquet")
    uris = []
    for number in range(3):
        sink = pa.BufferOutputStream()
        pq.write_table(content.slice(number * 5, 5), sink)
        uris.append(lake.put(f"folder{number}/part.parquet", sink.getvalue().to_pybytes()))
        uris.append(lake.put(f"folder{number}/deep/part.parquet", sink.getvalue().to_pybytes()))
    sql = "SELECT count(*) AS n, sum(n_nationkey) AS s FROM nation"
    answer = await node.run(sql, (lake.table("nation", only=tuple(uris)),))
    assert answer.rows == [{"n": 30, "s": 2 * sum(range(15))}]


NATION = "SELECT sum(n_nationkey) AS s, max(n_comment) AS c FROM nation"


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        pytest.param("s3://lake/tpch/nation/gone.parquet", StatementError.OBJECT_MISSING, id="a missing file"),
        pytest.param("s3://lake/gone.parquet", StatementError.OBJECT_MISSING, id="a missing file in the bucket itself"),
        pytest.param("s3://no-such-bucket/a/gone.parquet", StatementError.BUCKET_MISSING, id="a missing bucket"),
        pytest.param("s3://no-such-bucket/gone.parquet", StatementError.BUCKET_MISSING, id="no folder, nor bucket"),
        pytest.param("http://elsewhere/file", StatementError.OBJECT_MISSING, id="no S3 address"),
    ],
)
@pytest.mark.parametrize("sql", [NATION, "SELECT count(*) AS n FROM nation"])
async def test_missing_files_are_errors_and_never_fewer_rows(
    node: Node, lake: Lake, uri: str, error: StatementError, sql: str
) -> None:
    failure = (await node.run(sql, (lake.table("nation", uri),))).failure
    assert failure.error is error
    assert error is StatementError.BUCKET_MISSING or uri in failure.message


async def test_a_file_that_vanishes_after_it_was_read(node: Node, lake: Lake) -> None:
    content = (lake.root / "lake/tpch/nation/nation.1.parquet").read_bytes()
    uri = lake.put("vanishing/nation.parquet", content)
    table = lake.table("nation", only=(uri,))
    assert (await node.run("SELECT count(*) AS n FROM nation", (table,))).rows == [{"n": 25}]
    (lake.root / "lake/vanishing/nation.parquet").unlink()
    again = await node.run("SELECT count(*) AS n FROM nation", (table,))
    assert again.failure.error is StatementError.OBJECT_MISSING
    assert uri in again.failure.message


@pytest.mark.parametrize("sql", [NATION, "SELECT count(*) AS n FROM nation", "SELECT * FROM nation LIMIT 30"])
@pytest.mark.parametrize("known", ["known before", "never read"])
@pytest.mark.parametrize("damage", ["empty", "shorter", "longer", "other"])
@pytest.mark.parametrize("folder", ["sizes", "sizes/a b%2F+ü"])
async def test_a_file_of_another_size_than_registered(
    node: Node, lake: Lake, damage: str, known: str, sql: str, folder: str
) -> None:
    whole = lake.root / "lake/tpch/nation/nation.1.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pq.read_table(whole).slice(0, 7), sink)
    bad = {
        "empty": b"",
        "shorter": whole.read_bytes()[:-1],
        "longer": whole.read_bytes() + b"\0",
        "other": sink.getvalue().to_pybytes(),
    }[damage]
    uri = lake.put(f"{folder}/{damage}-{known}-{len(sql)}.parquet", whole.read_bytes())
    table = lake.table("nation", uri)
    if known == "known before":
        assert (await node.run("SELECT count(*) AS n FROM nation", (table,))).rows == [{"n": 50}]
    lake.put(uri.removeprefix("s3://lake/"), bad)
    failure = (await node.run(sql, (table,))).failure
    assert failure.error is StatementError.CORRUPT_FILE
    assert uri in failure.message


async def test_an_empty_file_in_the_bucket_itself(node: Node, lake: Lake) -> None:
    uri = lake.put("empty.parquet", b"")
    failure = (await node.run(NATION, (lake.table("nation", uri),))).failure
    assert failure.error is StatementError.CORRUPT_FILE
    assert uri in failure.message


@pytest.mark.parametrize("damage", ["truncated", "text", "page"])
async def test_a_damaged_file(node: Node, lake: Lake, damage: str) -> None:
    content = (lake.root / "lake/tpch/nation/nation.1.parquet").read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    bad = {
        "truncated": content[: len(content) // 2],
        "text": b"this is not Parquet " * 100,
        "page": b"PAR1" + b"\xff" * (len(content) - footer - 4) + content[-footer:],
    }[damage]
    uri = lake.put(f"bad/{damage}.parquet", bad)
    failure = (await node.run(NATION, (lake.table("nation", only=(uri,)),))).failure
    assert failure.error is StatementError.CORRUPT_FILE
    assert not failure.retryable


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"secret_access_key": "wrong-secret-key"}, StatementError.ACCESS_DENIED, id="wrong secret"),
        pytest.param({"access_key_id": "wrong-access"}, StatementError.ACCESS_DENIED, id="wrong key id"),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, StatementError.OBJECT_STORE_UNREACHABLE, id="nobody there"),
        pytest.param({"endpoint": "http://a.invalid"}, StatementError.OBJECT_STORE_UNREACHABLE, id="no such host"),
        pytest.param({"endpoint": "nonsense"}, StatementError.OBJECT_STORE_UNREACHABLE, id="no URL"),
    ],
)
async def test_wrong_access(node: Node, lake: Lake, changes: dict[str, str], error: StatementError) -> None:
    access = node.store.model_copy(update=changes)
    failure = (await node.run(NATION, lake.tables("nation"), object_store=access)).failure
    assert failure.error is error
    for secret in (SECRET_KEY, "wrong-secret-key"):
        assert secret not in failure.message
    assert (await node.run("SELECT count(n_name) AS n FROM nation", lake.tables("nation"))).rows == [{"n": 25}]


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT 1 / 0", StatementError.ARITHMETIC),
        ("SELECT n_nationkey / (n_nationkey - n_nationkey) FROM nation", StatementError.ARITHMETIC),
        ("SELECT CAST(n_name AS INT) FROM nation", StatementError.TYPE),
        ("SELECT n_name + 1 FROM nation", StatementError.TYPE),
        ("SELECT nope FROM nation", StatementError.UNKNOWN_COLUMN),
        ("SELECT * FROM nope", StatementError.UNKNOWN_TABLE),
        ("SELECT no_such_function(1)", StatementError.UNSUPPORTED),
        ("DROP TABLE nation", StatementError.UNSUPPORTED),
        ("SET datafusion.execution.batch_size = 1", StatementError.UNSUPPORTED),
        ("COPY nation TO '/tmp/stolen.parquet'", StatementError.UNSUPPORTED),
        ("SELEC 1", StatementError.SYNTAX),
    ],
)
async def test_statements_that_cannot_succeed(node: Node, lake: Lake, sql: str, error: StatementError) -> None:
    assert (await node.run(sql, lake.tables("nation"))).failure.error is error


async def test_out_of_memory_is_an_error_and_the_node_goes_on(node: Node, lake: Lake) -> None:
    side = "(SELECT repeat(l_comment, 1000) AS x, l_{}key AS k FROM lineitem)"
    sql = f"SELECT count(*) AS n FROM {side.format('order')} a JOIN {side.format('part')} b ON a.x = b.x AND a.k < b.k"
    failure = (await node.run(sql, lake.tables("lineitem"), timeout_seconds=120)).failure
    assert failure.error is StatementError.OUT_OF_MEMORY
    assert (await node.run("SELECT 1 AS a")).rows == [{"a": 1}]


async def test_eight_statements_at_once(node: Node, lake: Lake) -> None:
    sql, tables = QUERIES["q1"]
    answers = await asyncio.gather(*(node.run(sql, lake.tables(*tables)) for _ in range(8)))
    assert all(answer.rows == answers[0].rows for answer in answers)


async def test_same_names_for_different_tables_do_not_meet(node: Node, lake: Lake) -> None:
    half = lake.table("orders")
    half = half.model_copy(update={"files": half.files[:1]})
    whole, part = await asyncio.gather(
        *(node.run("SELECT count(o_comment) AS n FROM orders", (table,)) for table in (lake.table("orders"), half))
    )
    assert 0 < part.rows[0]["n"] < whole.rows[0]["n"] == 15000


async def test_parallelism_changes_no_answer(node: Node, lake: Lake) -> None:
    sql, tables = QUERIES["q1"]
    one, two = [(await node.run(sql, lake.tables(*tables), parallelism=count)).rows for count in (1, 2)]
    assert one == two


async def test_timeout_stops_the_work(node: Node, lake: Lake) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await node.run(ENDLESS, lake.tables("lineitem"), timeout_seconds=1)
    assert answer.failure.error is StatementError.STATEMENT_TIMEOUT
    assert answer.statistics.rows_scanned > 0
    assert loop.time() - began < 4
    await idle_engine(node)


async def test_it_says_how_far_it_is_and_cancel_stops_the_work(node: Node, lake: Lake) -> None:
    dispatch = node.dispatch(ENDLESS, lake.tables("lineitem"))
    reader = FrameReader()
    async with node.request("/statements", dispatch) as response:
        cancel = Cancel(**node.common(), statement_id=dispatch.statement_id)
        assert Progress.model_validate_json(reader.feed(await response.content.readany())[0].payload).rows_scanned
        assert json.loads((await node.post("/cancel", cancel))[1]) == {"held": True}
        answer = answer_of(reader.feed(await response.read()))
    assert answer.failure.error is StatementError.CANCELLED
    assert json.loads((await node.post("/cancel", cancel))[1]) == {"held": False}
    await idle_engine(node)


async def test_a_client_that_goes_away_cancels_its_statement(node: Node, lake: Lake) -> None:
    dispatch = node.dispatch(ENDLESS, lake.tables("lineitem"))
    response = await node.request("/statements", dispatch)
    await busy_engine(node)
    response.close()
    await idle_engine(node)
    await until_nothing_is_held(node, dispatch)


async def test_a_slow_client_costs_bounded_memory(node: Node, lake: Lake) -> None:
    sql = "SELECT repeat(a.l_comment, 20) AS x FROM lineitem a, nation b"
    before = resident_bytes(engine_pid(node))
    async with node.request("/statements", node.dispatch(sql, lake.tables("lineitem", "nation"))) as response:
        reader, size = FrameReader(), 0
        async for chunk in response.content.iter_chunked(1 << 20):
            size += len(chunk)
            if size > 64 << 20:
                break
        await idle_engine(node)  # the whole result is near 1 GB: the engine waits for its reader
        assert resident_bytes(engine_pid(node)) - before < 400 << 20
        assert resident_bytes(node.process.pid) < 400 << 20
        assert reader.feed(b"") == []


async def test_a_large_result_arrives_whole(node: Node, lake: Lake) -> None:
    answer = await node.run("SELECT a.* FROM lineitem a, region b", lake.tables("lineitem", "region"))
    assert isinstance(answer.table, pa.Table)
    assert answer.table.num_rows == answer.statistics.rows_produced == 60175 * 5


async def test_a_small_answer_comes_in_one_piece(node: Node) -> None:
    pieces = []
    for _ in range(20):
        async with node.request("/statements", node.dispatch("SELECT 1 AS a")) as response:
            pieces.append(len([piece async for piece in response.content.iter_any()]))
    assert min(pieces) == 1


async def test_metrics_tell_of_statements(node: Node) -> None:
    await node.run("SELECT 1 AS a")
    async with node.session.get(node.url + "/metrics") as response:
        text = await response.text()
    assert 'firn_node_statements_total{outcome="succeeded"}' in text
    assert "firn_node_ready 1.0" in text
    assert "firn_node_scanned_bytes_total" in text


async def test_logs_keep_secrets(node: Node) -> None:
    assert SECRET_KEY not in node.log.read_text()


def engine_pid(node: Node) -> int:
    """Return the process of the node's engine, as the node logs it."""
    lines = [json.loads(line) for line in node.log.read_text().splitlines() if line.startswith("{")]
    return int([line for line in lines if line["event"] == "ready"][-1]["engine_pid"])


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def busy_engine(node: Node) -> None:
    """Return when the engine is at work."""
    pid = engine_pid(node)
    start = cpu_ticks(pid)
    async with asyncio.timeout(30):
        while cpu_ticks(pid) - start < 10:
            await asyncio.sleep(0.02)


async def idle_engine(node: Node) -> None:
    """Return when the engine rests, less than a tenth of a core over half a second, or its process has ended."""
    pid = engine_pid(node)
    async with asyncio.timeout(10):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while True:
                start = cpu_ticks(pid)
                await asyncio.sleep(0.5)
                if cpu_ticks(pid) - start < 5:
                    return
    await node.ready()


async def until_nothing_is_held(node: Node, dispatch: Dispatch) -> None:
    async with asyncio.timeout(10):
        cancel = Cancel(**node.common(), statement_id=dispatch.statement_id)
        while json.loads((await node.post("/cancel", cancel))[1])["held"]:
            await asyncio.sleep(0.02)
