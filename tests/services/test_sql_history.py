"""History read by SQL: what Snowflake's functions of INFORMATION_SCHEMA return, over the real doors and store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from firn_model.clusters import MeterInterval
from firn_model.sizes import WarehouseSize
from firn_services.kube.api import CLUSTERS

from tests.services.account import TestAccount

pytestmark = pytest.mark.component


async def rows(account: TestAccount, sql: str) -> list[list[Any]]:
    reply = await account.submit(sql, warehouse=None)
    assert reply["state"] == "succeeded", reply["detail"]
    return list(reply["result"]["rows"])


async def failed(account: TestAccount, sql: str) -> dict[str, Any]:
    reply = await account.submit(sql, warehouse=None)
    assert reply["state"] == "failed", reply
    return dict(reply["detail"])


async def test_statements(account: TestAccount) -> None:
    await account.warehouse()
    await account.cluster(await account.head())
    ran = await account.submit("SELECT 1")
    broken = await account.submit("SELECT x FROM nowhere")
    everything = "TABLE(INFORMATION_SCHEMA.QUERY_HISTORY())"
    found = await rows(account, f"SELECT query_id, query_text, execution_status FROM {everything} ORDER BY start_time")
    assert [r[0] for r in found] == [ran["id"], broken["id"]]
    assert found[0][1:] == ["SELECT 1", "SUCCESS"]
    assert found[1][2] == "FAILED_WITH_ERROR"
    joined = (
        f"SELECT COUNT(*), MAX(h.CLUSTER_NUMBER) FROM {everything} AS h JOIN {everything} o ON h.QUERY_ID = o.QUERY_ID"
    )
    assert await rows(account, f"{joined} WHERE o.WAREHOUSE_NAME = 'W'") == [[2, 1]]
    of = "INFORMATION_SCHEMA.QUERY_HISTORY_BY_"
    one = f"SELECT QUERY_TYPE FROM TABLE({of}WAREHOUSE('w', RESULT_LIMIT => 1))"
    assert await rows(
        account, one.replace("'w', ", "'w', END_TIME_RANGE_START => DATEADD('hour', -1, CURRENT_TIMESTAMP()), ")
    ) == [["SELECT"]]
    assert await rows(account, f"SELECT * FROM TABLE({of}USER(USER_NAME => 'nobody'))") == []
    assert len(await rows(account, f"SELECT user_name FROM TABLE({of}USER()) WHERE user_name = 'admin'")) > 2
    past = "END_TIME_RANGE_END => DATEADD('day', -1, CURRENT_TIMESTAMP())"
    assert await rows(account, f"SELECT * FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY({past}))") == []


async def test_load_credits_and_events(account: TestAccount) -> None:
    await account.warehouse()
    name = await account.cluster(await account.head())
    start = datetime.now(UTC) - timedelta(hours=3)
    end, size = start + timedelta(minutes=30), WarehouseSize.XS
    intervals = [
        MeterInterval(id="0", size=size, started_at=start, ended_at=end),
        MeterInterval(id="1", size=size, burst_nodes=2, started_at=start, ended_at=end),
    ]
    await account.kube.merge(CLUSTERS, name, {"status": {"metering": [i.manifest() for i in intervals]}})
    await account.seen("/usage", lambda u: u["hours"])
    since = "DATE_RANGE_START => DATEADD('hour', -5, CURRENT_TIMESTAMP())"
    of = "FROM TABLE(INFORMATION_SCHEMA."
    sums = "SUM(CREDITS_USED)::FLOAT"
    assert await rows(account, f"SELECT {sums} {of}WAREHOUSE_METERING_HISTORY({since}))") == [[0.5]]
    assert await rows(account, f"SELECT {sums} {of}QUERY_ACCELERATION_HISTORY({since}, WAREHOUSE_NAME => 'w'))") == [
        [1.0]
    ]
    assert await rows(account, f"SELECT * {of}WAREHOUSE_METERING_HISTORY({since}, WAREHOUSE_NAME => 'OTHER'))") == []
    await account.submit("SELECT 1")
    load = f"SELECT SUM(AVG_RUNNING) > 0, MAX(WAREHOUSE_NAME) {of}WAREHOUSE_LOAD_HISTORY())"
    assert await rows(account, load) == [[True, "W"]]
    events = await rows(account, f"SELECT EVENT_NAME, SIZE {of}WAREHOUSE_EVENTS_HISTORY({since})) ORDER BY TIMESTAMP")
    assert ["CREATE_WAREHOUSE", "XS"] in events


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("NO_SUCH_HISTORY()", "has no function NO_SUCH_HISTORY; there is QUERY_HISTORY, "),
        ("QUERY_HISTORY(WAREHOUSE_NAME => 'W')", "QUERY_HISTORY takes END_TIME_RANGE_START => …, "),
        ("QUERY_HISTORY(RESULT_LIMIT => 1, RESULT_LIMIT => 2)", "each once"),
        ("QUERY_HISTORY(RESULT_LIMIT => 0)", "RESULT_LIMIT must be from 1 to 10000, not 0"),
        ("QUERY_HISTORY(RESULT_LIMIT => 'many')", "RESULT_LIMIT of QUERY_HISTORY: "),
        ("WAREHOUSE_LOAD_HISTORY('2026-02-01', '2026-01-01')", "DATE_RANGE_START must be before DATE_RANGE_END"),
        ("QUERY_HISTORY()) WHERE nothing = (1", "column nothing does not exist"),
    ],
)
async def test_what_cannot_be_asked_is_told(account: TestAccount, call: str, message: str) -> None:
    assert message in (await failed(account, f"SELECT * FROM TABLE(INFORMATION_SCHEMA.{call})"))["message"]


async def test_history_is_read_by_itself_and_within_bounds(
    account: TestAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sql in ("CREATE DATABASE D", "CREATE SCHEMA D.S", "CREATE TABLE D.S.T (a INT)"):
        await rows(account, sql)
    history = "TABLE(INFORMATION_SCHEMA.QUERY_HISTORY())"
    assert "needs a warehouse" in (await failed(account, f"SELECT 1 FROM {history}, D.S.T"))["message"]
    assert (
        "cannot be read here"
        in (await failed(account, f"DELETE FROM D.S.T WHERE a IN (SELECT 1 FROM {history})"))["message"]
    )
    assert "does not exist" in (await failed(account, f"SELECT * FROM {history}, D.S.NOBODY"))["message"]
    monkeypatch.setattr("firn_services.history.reader.SECONDS", 0.5)
    many = ", ".join(f"{history} h{at}" for at in range(20))
    assert (await failed(account, f"SELECT COUNT(DISTINCT h1.QUERY_ID || h2.QUERY_ID) FROM {many}"))[
        "error"
    ] == "statement_timeout"
    assert await rows(account, "SELECT 1 FROM TABLE(INFORMATION_SCHEMA.WAREHOUSE_LOAD_HISTORY())") == []
