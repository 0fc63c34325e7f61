"""History and results of earlier statements beside tables, on a real node: joined, kept, and left to nobody else."""

import pytest

from tests.writes.conftest import Sql

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="session")]
SCAN = "TABLE(RESULT_SCAN(LAST_QUERY_ID()))"


async def test_results_and_history_are_joined_with_tables(sql: Sql) -> None:
    await sql("CREATE TABLE names (k INT, word VARCHAR)")
    await sql("INSERT INTO names VALUES (1, 'one'), (2, 'two'), (3, NULL)")
    ran = await sql.account.submit("SELECT k * 2 AS d, word FROM names ORDER BY k", schema_name=sql.schema)
    last = {"last_statement_id": ran["id"]}
    joined = f"SELECT n.word, r.D FROM names n JOIN {SCAN} r ON n.k = r.d ORDER BY 1"
    assert await sql(joined, **last) == [("two", 2)]
    assert await sql(f"SELECT MAX(k) FROM {SCAN} r, names n WHERE r.word IS NULL AND n.word IS NULL", **last) == [(3,)]
    history = "TABLE(INFORMATION_SCHEMA.QUERY_HISTORY())"
    told = f"SELECT n.k FROM names n, {history} h WHERE h.query_id = '{ran['id']}' AND h.rows_produced = n.k"
    assert await sql(told) == [(3,)]
    with_both = f"WITH h AS (SELECT * FROM {history}) SELECT COUNT(*) FROM h, {SCAN}, names WHERE k = d AND"
    assert await sql(f"{with_both} query_id = '{ran['id']}'", **last) == [(1,)]
    files = sql.account.services.exchange
    assert files.sweep() >= 4
    assert files.sweep() == 0


async def test_results_are_kept_as_tables(sql: Sql) -> None:
    shown = await sql.account.submit("SHOW WAREHOUSES")
    last = {"last_statement_id": shown["id"]}
    await sql(f'CREATE TABLE shown AS SELECT "name" AS name, "created_on" AS made FROM {SCAN}', **last)
    assert await sql("SELECT name, made > '2020-01-01'::timestamp FROM shown") == [("W", True)]
    assert await sql(f'INSERT INTO shown (name) SELECT "size" FROM {SCAN}', **last) == [(1,)]
    assert await sql("SELECT COUNT(*), COUNT(made) FROM shown") == [(2, 1)]
    wanted = f'DELETE FROM shown WHERE name IN (SELECT "name" FROM {SCAN})'
    assert "CREATE TABLE … AS" in await sql(wanted, error="unsupported", **last)
    assert await sql(f"SELECT * FROM {SCAN}, shown", error="unsupported")
