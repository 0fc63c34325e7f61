"""Warehouses by SQL, over the real doors: replaced, aborted, resized and waited for, shown and described."""

import asyncio
from typing import Any

import pytest
from firn_services.kube.api import CLUSTERS, WAREHOUSES

from tests.services.account import TestAccount
from tests.services.fake_head import never

pytestmark = pytest.mark.component


async def answer(account: TestAccount, sql: str) -> Any:
    reply = await account.submit(sql)
    assert reply["state"] == "succeeded", reply["detail"]
    return reply["result"]["rows"][0][0]


async def shown(account: TestAccount, sql: str) -> list[dict[str, Any]]:
    result = (await account.submit(sql))["result"]
    names = [column["name"] for column in result["columns"]]
    return [dict(zip(names, row, strict=True)) for row in result["rows"]]


async def two_statements(account: TestAccount) -> list[str]:
    """Two statements that never end by themselves."""
    head = await account.head()
    head.answer = never
    await account.warehouse(size="XS", comment="old", autoSuspendSeconds=5, queryAcceleration={"leaseSeconds": 30})
    await account.cluster(head)
    ids = [(await account.submit("SELECT 1", wait=0))["id"] for _ in range(2)]
    await head.wait_for(2)
    return ids


async def are_cancelled(account: TestAccount, ids: list[str]) -> None:
    for one in ids:
        reply = await account.call("GET", f"/statements/{one}?wait_seconds=20")
        assert (reply["state"], reply["detail"]["message"]) == (
            "cancelled",
            "all statements of warehouse W were aborted",
        )


async def test_all_statements_are_aborted(account: TestAccount) -> None:
    ids = await two_statements(account)
    assert await answer(account, "ALTER WAREHOUSE w ABORT ALL QUERIES") == "2 statements aborted."
    await are_cancelled(account, ids)
    assert (
        await answer(account, "ALTER WAREHOUSE IF EXISTS nobody ABORT ALL QUERIES")
        == "Statement executed successfully."
    )


async def test_a_warehouse_is_replaced_whole(account: TestAccount) -> None:
    ids = await two_statements(account)
    before = account.kube.objects[WAREHOUSES]["w"]["metadata"]["uid"]
    sql = "CREATE OR REPLACE WAREHOUSE w MAX_CLUSTER_COUNT = 2 ENABLE_QUERY_ACCELERATION = FALSE"
    assert await answer(account, sql) == "Warehouse W successfully created."
    await are_cancelled(account, ids)
    after = account.kube.objects[WAREHOUSES]["w"]
    assert after["spec"] == {"name": "W", "maxClusterCount": 2, "queryAcceleration": {"enabled": False}}
    assert after["metadata"]["uid"] == before
    assert "firn.dev/suspend-requested-at" in after["metadata"]["annotations"]
    assert await answer(account, "CREATE OR REPLACE WAREHOUSE other") == "Warehouse OTHER successfully created."


async def test_a_change_of_size_is_waited_for(account: TestAccount) -> None:
    await account.warehouse(size="XS")
    name = await account.cluster(await account.head())
    sql = "ALTER WAREHOUSE w SET WAREHOUSE_SIZE = SMALL WAIT_FOR_COMPLETION = TRUE"
    waiting = asyncio.create_task(answer(account, sql))
    await account.kube.until(lambda: account.kube.objects[WAREHOUSES]["w"]["spec"]["size"] == "S")
    assert [(w["available"], w["provisioning"]) for w in await shown(account, "SHOW WAREHOUSES")] == [("0", "100")]
    await account.kube.merge(CLUSTERS, name, {"spec": {"size": "S"}, "status": {"readyNodes": 1}})
    await account.seen("/statements?limit=1", lambda _: account.services.account.queue("w").nodes().ready == 1)
    assert [(w["available"], w["provisioning"]) for w in await shown(account, "SHOW WAREHOUSES")] == [("50", "50")]
    assert not waiting.done()
    await account.kube.merge(CLUSTERS, name, {"status": {"readyNodes": 2}})
    assert await waiting == "Statement executed successfully."


async def test_warehouses_are_shown_and_described(account: TestAccount) -> None:
    for name in ("wa", "wb", "x"):
        await account.submit(f"CREATE WAREHOUSE {name}")
    every = await shown(account, "SHOW WAREHOUSES")
    assert [(w["name"], w["is_current"], w["available"]) for w in every] == [(n, "N", "") for n in ("WA", "WB", "X")]
    assert every[0]["uuid"] == account.kube.objects[WAREHOUSES]["wa"]["metadata"]["uid"]
    assert [w["name"] for w in await shown(account, "SHOW WAREHOUSES STARTS WITH 'W' LIMIT 1")] == ["WA"]
    assert [w["name"] for w in await shown(account, "SHOW WAREHOUSES LIKE '%b' LIMIT 5")] == ["WB"]
    current = await account.submit("SHOW WAREHOUSES LIKE 'x'", warehouse="X")
    assert "Y" in current["result"]["rows"][0]
    (described,) = await shown(account, "DESCRIBE WAREHOUSE x")
    assert (described["name"], described["kind"]) == ("X", "WAREHOUSE")
    assert (await account.submit("DESC WAREHOUSE nobody"))["error"] == "unknown_warehouse"
