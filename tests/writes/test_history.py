"""Time travel: what a table was."""

import pytest

from tests.writes.conftest import Sql

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="session")]


async def test_a_table_as_it_was(sql: Sql) -> None:
    await sql("CREATE TABLE t AS SELECT 1 AS a")
    changed = await sql.account.submit("INSERT INTO t VALUES (2)", schema_name=sql.schema)
    await sql("DELETE FROM t WHERE a = 1")
    statement, ended = changed["id"], changed["ended_at"]
    assert await sql(f"SELECT SUM(a) FROM t AT (STATEMENT => '{statement}')") == [(3,)]
    assert await sql(f"SELECT SUM(a) FROM t BEFORE (STATEMENT => '{statement}')") == [(1,)]
    assert await sql(f"SELECT SUM(a) FROM t AT (TIMESTAMP => '{ended}'::TIMESTAMP_TZ)") == [(3,)]
    assert await sql("SELECT SUM(a) FROM t AT (OFFSET => 0)") == [(2,)]
    both = f"SELECT COUNT(*) FROM t n JOIN t AT (STATEMENT => '{statement}') o ON n.a = o.a"
    assert await sql(both) == [(1,)]
    assert await sql(f"INSERT INTO t SELECT a FROM t AT (STATEMENT => '{statement}') WHERE a = 1") == [(1,)]
    assert await sql("SELECT SUM(a) FROM t") == [(3,)]


@pytest.mark.parametrize(
    ("when", "error", "message"),
    [
        ("AT (OFFSET => -86400)", "unknown_table", "oldest is of"),
        ("AT (TIMESTAMP => '2001-01-01')", "unknown_table", "oldest is of"),
        ("AT (STATEMENT => 'none')", "unknown_table", "of statement none"),
        ("AT (VERSION => 17)", "unknown_table", "has no snapshot"),
        ("AT (OFFSET => 'x')", "unsupported", "constants"),
    ],
)
async def test_a_moment_without_a_snapshot_is_an_error(sql: Sql, when: str, error: str, message: str) -> None:
    await sql("CREATE TABLE t AS SELECT 1 AS a")
    assert message in await sql(f"SELECT * FROM t {when}", error=error)
