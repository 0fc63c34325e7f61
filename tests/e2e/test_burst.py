"""A burst node as its user sees it: a long scan gets one, the next finds it, and it goes. Gigabytes are megabytes."""

import asyncio

import pytest
from firn.client import Client
from firn_model import names
from firn_model.api import StatementReply, SubmitRequest

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse
from tests.e2e.test_scaling import final, started

pytestmark = pytest.mark.e2e

ACCELERATION = {"enabled": True, "maxScaleFactor": 1, "minScanBytes": 1 << 20, "minScanSeconds": 1}
FILES = 6
DIGESTS = """
    SELECT md5(seed) AS noise, md5(seed || 'a') || md5(seed || 'b') || md5(seed || 'c') || md5(seed || 'd') AS padding
    FROM (
        SELECT CAST(l_orderkey AS VARCHAR) || n_name || CAST(l_linenumber AS VARCHAR) AS seed
        FROM tpch.sf0_01.lineitem CROSS JOIN tpch.sf0_01.nation WHERE n_nationkey < 3
    )
"""
"""Each time one file of 180,000 rows and 15 MB; fewer than 64 MiB in all are not worth a plan in stages."""


def scan(digests: int, times: int = 16) -> str:
    """Return a scan that takes long for each of its bytes: it digests digests."""
    columns = []
    for number in range(digests):
        digest = f"noise || '{number}'"
        for _ in range(times):
            digest = f"md5({digest})"
        columns.append(f"sum(CASE WHEN {digest} LIKE '0%' THEN 1 ELSE 0 END) AS zeros_{number}")
    return f"SELECT count(*) AS n, {', '.join(columns)} FROM firn.burst.t"


LONG, SHORT = scan(8), scan(1)
"""More than 20 s and 3 s on one core: in half of the first a node joins."""


def burst_pods(account: Account) -> list[str]:
    pods = account.find("pods", f"firn.dev/warehouse=burst,firn.dev/role={names.ROLE_BURST}")
    return [pod["metadata"]["name"] for pod in pods]


async def run(client: Client, sql: str) -> StatementReply:
    reply = await client.run(SubmitRequest(sql=sql, warehouse="BURST"))
    assert reply.error is None
    return reply


async def fill(client: Client) -> None:
    """Make a table of several files, so that several nodes can scan it."""
    await run(client, "CREATE SCHEMA IF NOT EXISTS firn.burst")
    await run(client, f"CREATE TABLE firn.burst.t AS {DIGESTS}")
    for _ in range(FILES - 1):
        await run(client, f"INSERT INTO firn.burst.t {DIGESTS}")


async def scanned(account: Account, client: Client) -> StatementReply:
    """Run the long scan, and see with kubectl that it gets a burst node; return its end."""
    statement = await client.submit(SubmitRequest(sql=LONG, warehouse="BURST"))
    await started(client, statement.id)
    await asyncio.to_thread(account.wait, "wc/burst-1", "jsonpath={.status.burstNodes}=1", 120)
    await asyncio.to_thread(account.wait, "vw/burst", "jsonpath={.status.burstNodes}=1")
    assert "BURST" in await asyncio.to_thread(account.kubectl, "get", "vw", "burst")
    return await final(client, statement.id)


async def test_a_long_scan_gets_a_burst_node_and_a_suspend_takes_it(account: Account) -> None:
    account.apply(warehouse("burst", autoSuspendSeconds=0, queryAcceleration=ACCELERATION))
    async with account.client() as client:
        await fill(client)
        await asyncio.to_thread(account.wait_pool, 2)
        long = await scanned(account, client)
        assert long.error is None
        profile = (await client.profile(long.id)).profile
        (kept,) = burst_pods(account)
        short = await run(client, SHORT)
        assert burst_pods(account) == [kept]
        cluster = account.get("wc", "burst-1")
        await run(client, "DROP TABLE firn.burst.t")
        await client.suspend("BURST")
        await asyncio.to_thread(account.wait_phase, "burst", "Suspended")
    for reply in (long, short):
        assert reply.statistics is not None
        assert reply.statistics.burst_tasks > 0
        assert reply.statistics.burst_nodes == 1
    assert len(profile.nodes) == 2
    assert max(len(stage.nodes) for stage in profile.stages) == 2
    assert long.result is not None
    assert short.result is not None
    assert long.result.rows[0][:2] == short.result.rows[0]
    assert cluster["status"]["readyNodes"] == cluster["status"]["desiredNodes"] == 1
    assert {interval["burstNodes"] for interval in cluster["status"]["metering"]} == {0, 1}
    account.wait(f"pod/{kept}", "delete")
