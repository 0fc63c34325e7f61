"""Results of earlier statements read as tables, by those who ran them, over the real doors and store."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.services.account import TestAccount

pytestmark = pytest.mark.component
LAST = "FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))"


async def ran(account: TestAccount, sql: str, last: str | None = None) -> dict[str, Any]:
    """Return a statement of a session that had run another one before; it needs no warehouse."""
    return await account.submit(sql, warehouse=None, last_statement_id=last)


async def rows(account: TestAccount, sql: str, last: str | None = None) -> list[list[Any]]:
    reply = await ran(account, sql, last)
    assert reply["state"] == "succeeded", reply["detail"]
    return list(reply["result"]["rows"])


async def failed(account: TestAccount, sql: str, last: str | None = None) -> str:
    reply = await ran(account, sql, last)
    assert reply["state"] == "failed", reply
    return str(reply["detail"]["message"])


async def test_the_articles_queries_over_show_warehouses(account: TestAccount) -> None:
    await account.warehouse("fast", autoSuspendSeconds=60)
    await account.warehouse("idle", autoSuspendSeconds=0)
    await account.warehouse("late", autoSuspendSeconds=7200, autoResume=False)
    shown = (await ran(account, "SHOW WAREHOUSES"))["id"]
    select = f'SELECT "name" AS WAREHOUSE_NAME\n,"size" AS WAREHOUSE_SIZE\n{LAST}\nWHERE'
    assert await rows(account, f'{select} IFNULL("auto_suspend",0) = 0\n', shown) == [["IDLE", "XS"]]
    assert await rows(account, f"{select} \"auto_resume\" = 'false'\n", shown) == [["LATE", "XS"]]
    long = f'{select} "auto_suspend" >= 3600 // 3600 seconds = 1 hour\n'
    assert await rows(account, long, shown) == [["LATE", "XS"]]


async def test_results_by_id_joined_and_read_again(account: TestAccount) -> None:
    for sql in ("CREATE DATABASE D", "CREATE SCHEMA D.S", "CREATE TABLE D.S.T (a INT)"):
        await rows(account, sql)
    shown = (await ran(account, "SHOW TABLES IN ACCOUNT"))["id"]
    again = await ran(account, f"SELECT name AS n, rows + 1 AS more {LAST}", shown)
    assert again["result"]["rows"] == [["T", 1]]
    history = "TABLE(INFORMATION_SCHEMA.QUERY_HISTORY())"
    joined = f"SELECT r.N, h.QUERY_TEXT FROM TABLE(RESULT_SCAN('{again['id']}')) r, {history} h WHERE h.QUERY_ID = "
    assert await rows(account, f"{joined}'{shown}'") == [["T", "SHOW TABLES IN ACCOUNT"]]
    assert await rows(account, f"SELECT COUNT(*) {LAST.replace('()', '(-2)')}", again["id"]) == [[1]]
    empty = (await ran(account, "SHOW TABLES LIKE 'nothing' IN ACCOUNT"))["id"]
    assert await rows(account, f"SELECT * {LAST}", empty) == []


async def test_the_last_statement_and_the_session(account: TestAccount) -> None:
    await account.warehouse()
    first = (await ran(account, "SHOW DATABASES"))["id"]
    second = (await ran(account, "SHOW WAREHOUSES", first))["id"]
    ids = "SELECT LAST_QUERY_ID(), LAST_QUERY_ID(-1), LAST_QUERY_ID(-2), LAST_QUERY_ID(-3)"
    assert await rows(account, ids, second) == [[second, second, first, None]]
    assert await rows(account, ids) == [[None] * 4]
    session = "SELECT CURRENT_USER(), CURRENT_USER AS u, CURRENT_WAREHOUSE(), CURRENT_DATABASE(), CURRENT_SCHEMA()"
    reply = await account.submit(session, warehouse="w", database="D", schema_name="S")
    assert reply["result"]["rows"] == [["admin", "admin", "W", "D", "S"]]
    assert reply["result"]["columns"][0]["name"] == "CURRENT_USER()"
    assert await rows(account, "SELECT CURRENT_WAREHOUSE()") == [[None]]


async def test_what_cannot_be_scanned(account: TestAccount) -> None:
    broken = (await ran(account, "SELECT 1 FROM nowhere"))["id"]
    assert "failed: it has no result" in await failed(account, f"SELECT * {LAST}", broken)
    assert "run no such statement before" in await failed(account, f"SELECT * {LAST}")
    message = await failed(account, "SELECT *\nFROM TABLE(RESULT_SCAN('no-such-id'))")
    assert message == "line 2, column 12: you have run no statement no-such-id"
    assert "takes the id" in await failed(account, "SELECT * FROM TABLE(RESULT_SCAN(1))")
    assert "takes -1" in await failed(account, "SELECT LAST_QUERY_ID(1)")


async def test_nobody_reads_another_ones_result(account: TestAccount) -> None:
    shown = (await ran(account, "SHOW DATABASES"))["id"]
    second = (await ran(account, "SHOW TABLES", shown))["id"]
    mine = account.http.headers["Authorization"]
    token, _ = await account.services.logins._new_token("somebody", datetime.now(UTC))
    account.http.headers["Authorization"] = f"Bearer {token}"
    for sql in (f"SELECT * {LAST}", f"SELECT * FROM TABLE(RESULT_SCAN('{shown}'))"):
        assert f"you have run no statement {shown}" in await failed(account, sql, shown)
    assert "run no such statement before" in await failed(account, f"SELECT * {LAST.replace('()', '(-2)')}", second)
    assert await rows(account, "SELECT CURRENT_USER(), LAST_QUERY_ID(-2)", second) == [["somebody", None]]
    account.http.headers["Authorization"] = mine
    assert await rows(account, "SELECT CURRENT_USER(), LAST_QUERY_ID(-2)", second) == [["admin", shown]]


async def test_results_that_are_large_or_gone(account: TestAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = (await ran(account, "SHOW DATABASES"))["id"]
    with monkeypatch.context() as patched:
        patched.setattr("firn_services.statements.stored.MOST_BYTES", 10)
        assert "CREATE TABLE … AS keeps more" in await failed(account, f"SELECT * {LAST}", shown)
    await account.services.statements._store.forget_results([shown])
    assert "is gone; run it again" in await failed(account, f"SELECT * {LAST}", shown)
