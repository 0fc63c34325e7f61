"""CREATE TABLE AS, INSERT, DELETE, UPDATE, MERGE from the user's text to the rows that are read afterwards."""

import asyncio
from collections import Counter

import pytest

from tests.writes.conftest import Sql

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="session")]


async def test_a_table_as_a_query_and_its_rows(sql: Sql) -> None:
    made = await sql("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b, 2.50 AS c UNION ALL SELECT NULL, NULL, NULL")
    assert made == [("Table T successfully created.",)]
    assert sorted(await sql("SELECT * FROM t"), key=str) == [(1, "x", "2.50"), (None, None, None)]
    described = await sql("DESCRIBE TABLE t")
    assert described == [("A", "int64", "Y"), ("B", "string", "Y"), ("C", "decimal128(3, 2)", "Y")]
    assert "exists already" in await sql("CREATE TABLE t AS SELECT 1 AS a", error="already_exists")
    assert await sql("CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS a") == [("Table T already exists.",)]
    await sql("CREATE OR REPLACE TABLE t (n NUMBER(10, 1) NOT NULL) AS SELECT 7.25")
    assert await sql("SELECT n FROM t") == [("7.3",)]


async def test_insert_casts_and_fills(sql: Sql) -> None:
    await sql("CREATE TABLE t (a INT NOT NULL, b VARCHAR, c NUMBER(10, 2), d DATE, e TIMESTAMP_NTZ)")
    assert await sql("INSERT INTO t (d, a) VALUES ('2020-02-29', '7'), (NULL, 8.5)") == [(2,)]
    assert await sql("INSERT INTO t SELECT a + 10, 'x', a, d, '2021-01-01 10:00:00' FROM t") == [(2,)]
    assert await sql("SELECT a, b, c, d, e FROM t ORDER BY a") == [
        (7, None, None, "2020-02-29", None),
        (9, None, None, None, None),
        (17, "x", "7.00", "2020-02-29", "2021-01-01T10:00:00"),
        (19, "x", "9.00", None, "2021-01-01T10:00:00"),
    ]
    assert await sql("INSERT INTO t SELECT * FROM t WHERE a > 100") == [(0,)]
    assert await sql("INSERT OVERWRITE INTO t (a) VALUES (1)") == [(1,)]
    assert await sql("SELECT a, b FROM t") == [(1, None)]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("INSERT INTO t VALUES (1)", "type", "takes 2 values"),
        ("INSERT INTO t (a, z) VALUES (1, 2)", "unknown_column", "Z"),
        ("INSERT INTO t (b) VALUES ('x')", "constraint", "NOT NULL"),
        ("INSERT INTO t VALUES (NULL, 'x')", "constraint", "NOT NULL"),
        ("INSERT INTO t VALUES (DATE '2020-01-01', 'x')", "type", "cannot take date32"),
        ("INSERT INTO t VALUES ('abc', 'x')", "type", "abc"),
        ("INSERT INTO t SELECT 1 / (a - 1), 'x' FROM t", "arithmetic", "zero"),
        ("INSERT INTO nowhere VALUES (1)", "unknown_table", "NOWHERE"),
        ("UPDATE t SET a = NULL", "constraint", "NOT NULL"),
        ("UPDATE t SET a = 1 / (a - 1)", "arithmetic", "zero"),
        ("DELETE FROM t WHERE 1 / (a - 1) > 0", "arithmetic", "zero"),
        ("UPDATE t SET z = 1", "unknown_column", "Z"),
    ],
)
async def test_what_cannot_be_written_fails_alone_and_leaves_nothing(
    sql: Sql, text: str, error: str, message: str
) -> None:
    await sql("CREATE TABLE t (a INT NOT NULL, b VARCHAR)")
    await sql("INSERT INTO t VALUES (1, 'one')")
    assert message in await sql(text, error=error)
    assert await sql("SELECT * FROM t") == [(1, "one")]


async def _numbers(sql: Sql) -> None:
    """Make a table of three files."""
    await sql("CREATE TABLE t (a INT, b VARCHAR)")
    for start in (0, 10, 20):
        values = ", ".join(f"({n}, 'v{n}')" for n in range(start, start + 10))
        await sql(f"INSERT INTO t VALUES {values}")


async def test_delete(sql: Sql) -> None:
    await _numbers(sql)
    assert await sql("DELETE FROM t WHERE a BETWEEN 5 AND 12") == [(8,)]
    assert await sql("DELETE FROM t WHERE a IN (SELECT MAX(a) FROM t)") == [(1,)]
    assert await sql("DELETE FROM t WHERE b = 'none'") == [(0,)]
    await sql("CREATE TABLE gone AS SELECT 0 AS a UNION ALL SELECT 28 UNION ALL SELECT 28")
    assert await sql("DELETE FROM t x USING gone WHERE x.a = gone.a") == [(2,)]
    assert [a for (a,) in await sql("SELECT a FROM t ORDER BY a")] == [1, 2, 3, 4, *range(13, 28)]
    assert await sql("DELETE FROM t") == [(19,)]
    assert await sql("SELECT COUNT(*) FROM t") == [(0,)]


async def test_rows_for_which_the_condition_is_unknown_stay(sql: Sql) -> None:
    await sql("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT NULL")
    assert await sql("DELETE FROM t WHERE a = 1") == [(1,)]
    assert await sql("SELECT * FROM t") == [(None,)]


async def test_update(sql: Sql) -> None:
    await _numbers(sql)
    assert await sql("UPDATE t SET b = 'new', a = a + 0.6 WHERE a < 2") == [(2,)]
    assert await sql("SELECT a FROM t WHERE b = 'new' ORDER BY a") == [(1,), (2,)]
    await sql("CREATE TABLE s AS SELECT 25 AS k, 'joined' AS v UNION ALL SELECT 25, 'joined' UNION ALL SELECT 99, 'no'")
    assert await sql("UPDATE t SET b = s.v FROM s WHERE t.a = s.k") == [(1,)]
    assert await sql("SELECT a, b FROM t WHERE a > 24 AND a < 27 ORDER BY a") == [(25, "joined"), (26, "v26")]
    assert await sql("SELECT COUNT(*), COUNT(DISTINCT b) FROM t") == [(30, 29)]


async def test_merge(sql: Sql) -> None:
    await _numbers(sql)
    await sql("CREATE TABLE s (k INT, v VARCHAR, gone BOOLEAN)")
    await sql("INSERT INTO s VALUES (3, 'three', FALSE), (4, 'x', TRUE), (77, 'new', FALSE), (78, 'skip', TRUE)")
    merged = await sql(
        "MERGE INTO t USING s ON t.a = s.k WHEN MATCHED AND s.gone THEN DELETE WHEN MATCHED THEN UPDATE SET b = s.v "
        "WHEN NOT MATCHED AND NOT s.gone THEN INSERT (a, b) VALUES (s.k, s.v)"
    )
    assert merged == [(1, 1, 1)]
    assert await sql("SELECT a, b FROM t WHERE a < 6 AND a > 1 OR a > 28 ORDER BY a") == [
        (2, "v2"), (3, "three"), (5, "v5"), (29, "v29"), (77, "new")
    ]  # fmt: skip
    assert await sql("MERGE INTO t USING s ON t.a = s.k WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.v)") == [(2, 0, 0)]
    await sql("INSERT INTO s VALUES (3, 'again', FALSE)")
    text = "MERGE INTO t USING s ON t.a = s.k WHEN MATCHED THEN UPDATE SET b = s.v"
    assert "several rows of the source" in await sql(text, error="constraint")


async def test_files_without_a_matching_row_stay_as_they_are(sql: Sql) -> None:
    await _numbers(sql)
    catalog = sql.account.services.catalog
    (name,) = (t for t in catalog.tables(schema=sql.schema) if t.name == "T")
    before = {file.uri for file in catalog.load(name).files}
    await sql("UPDATE t SET b = 'changed' WHERE a = 15")
    after = {file.uri for file in catalog.load(name).files}
    assert (len(before & after), len(after)) == (2, 3)


async def test_statements_that_change_one_file_at_once_all_count(sql: Sql) -> None:
    await sql("CREATE TABLE t AS SELECT 0 AS n")
    await asyncio.gather(*(sql(f"UPDATE t SET n = n + 1 WHERE {i} = {i}") for i in range(4)))
    assert await sql("SELECT n FROM t") == [(4,)]


async def test_readers_during_rewrites_see_whole_snapshots(sql: Sql) -> None:
    await _numbers(sql)
    sums: Counter[int] = Counter()

    async def read() -> None:
        while sums.total() < 20:
            ((total,),) = await sql("SELECT SUM(a) FROM t")
            sums[total] += 1

    async def write() -> None:
        for _ in range(5):
            await sql("UPDATE t SET a = 29 - a")

    await asyncio.gather(read(), read(), write())
    assert set(sums) == {435}


async def test_truncate(sql: Sql) -> None:
    await _numbers(sql)
    assert await sql("TRUNCATE TABLE t") == [("Statement executed successfully.",)]
    assert await sql("SELECT COUNT(*) FROM t") == [(0,)]
    assert "does not exist" in await sql("TRUNCATE TABLE nowhere", error="unknown_table")
    await sql("TRUNCATE TABLE IF EXISTS nowhere")


async def test_a_clustered_table_is_written_sorted(sql: Sql) -> None:
    await sql("CREATE TABLE t CLUSTER BY (a) AS SELECT column1 AS a FROM (VALUES (3), (1), (2))")
    assert await sql("SELECT * FROM t") == [(1,), (2,), (3,)]
