"""What a user sees with kubectl of a warehouse that grows and shrinks. Minutes are seconds here, by spec.scaling."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from firn.client import Client
from firn_model.api import StatementReply, SubmitRequest
from firn_model.statements import StatementState

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse

pytestmark = pytest.mark.e2e

LONG_QUERY = """
    SELECT count(*) AS pairs FROM tpch.sf0_01.lineitem a CROSS JOIN tpch.sf0_01.orders b
    WHERE (a.l_orderkey + b.o_orderkey) % 7 = 3 AND a.l_quantity < 25
"""
"""Runs for seconds on one core."""
QUICK = {"pacingSeconds": 2, "checkSeconds": 2}


@contextlib.asynccontextmanager
async def running(client: Client, name: str, statements: int) -> AsyncIterator[list[StatementReply]]:
    """Submit long statements and leave the block only when each has succeeded."""
    sql_name = name.upper().replace("-", "_")
    submitted = [await client.submit(SubmitRequest(sql=LONG_QUERY, warehouse=sql_name)) for _ in range(statements)]
    yield submitted
    finals = [await final(client, statement.id) for statement in submitted]
    assert {(reply.state, reply.error) for reply in finals} == {(StatementState.SUCCEEDED, None)}
    assert len({str(reply.result.rows) for reply in finals if reply.result}) == 1


async def final(client: Client, statement_id: str) -> StatementReply:
    while not (reply := await client.statement(statement_id, wait_seconds=30)).state.is_final:
        pass
    return reply


def clusters(name: str, count: int) -> str:
    return f"jsonpath={{.status.startedClusters}}={count}"


async def test_a_queue_starts_a_second_cluster_and_its_end_stops_it(account: Account) -> None:
    spec = {"maxClusterCount": 2, "maxConcurrencyLevel": 1, "scaling": QUICK, "autoSuspendSeconds": 0}
    account.apply(warehouse("standard", **spec))
    async with account.client() as client, running(client, "standard", 4):
        await asyncio.to_thread(account.wait, "vw/standard", clusters("standard", 2))
    account.wait("vw/standard", clusters("standard", 1))
    assert account.get("vw", "standard")["status"]["phase"] == "Running"


async def test_economy_starts_no_cluster_for_a_short_rush(account: Account) -> None:
    spec = {"maxClusterCount": 2, "maxConcurrencyLevel": 1, "scalingPolicy": "Economy", "scaling": QUICK}
    account.apply(warehouse("economy", **spec))
    async with account.client() as client, running(client, "economy", 3):
        pass
    events = account.kubectl("get", "events", "--field-selector", "involvedObject.name=economy", "-o", "name")
    assert events
    assert [wc["metadata"]["name"] for wc in account.find("wc") if wc["spec"]["warehouse"] == "economy"] == [
        "economy-1"
    ]


async def test_a_maximized_warehouse_starts_all_its_clusters(account: Account) -> None:
    account.apply(warehouse("maximized", minClusterCount=2, maxClusterCount=2))
    async with account.client() as client:
        await client.run(SubmitRequest(sql="SELECT 1", warehouse="MAXIMIZED"))
    account.wait("vw/maximized", clusters("maximized", 2))


async def test_a_resize_leaves_running_statements_alone(account: Account) -> None:
    account.apply(warehouse("resized", autoSuspendSeconds=0))
    async with account.client() as client, running(client, "resized", 2) as statements:
        await started(client, statements[0].id)
        await asyncio.to_thread(account.apply, warehouse("resized", size="S", autoSuspendSeconds=0))
        await asyncio.to_thread(account.wait, "wc/resized-1", "jsonpath={.status.readyNodes}=2", 120)
    async with account.client() as client, running(client, "resized", 1):
        account.apply(warehouse("resized", size="XS", autoSuspendSeconds=0))
    account.wait("wc/resized-1", "jsonpath={.status.readyNodes}=1")


async def test_suspend_and_resume_under_load(account: Account) -> None:
    account.apply(warehouse("busy", autoSuspendSeconds=0))
    async with account.client() as client, running(client, "busy", 2) as statements:
        await started(client, statements[0].id)
        await client.suspend("BUSY")
        async with running(client, "busy", 1):
            pass


async def test_a_resume_finds_its_parked_node(account: Account) -> None:
    account.apply(warehouse("parked", autoSuspendSeconds=0))
    async with account.client() as client:
        await client.run(SubmitRequest(sql="SELECT 1", warehouse="PARKED"))
        before = account.head("parked")
        await client.suspend("PARKED")
        account.wait_phase("parked", "Suspended")
        account.kubectl("wait", f"pod/{before}", "--for=jsonpath={.metadata.labels.firn\\.dev/state}=parked")
        await client.run(SubmitRequest(sql="SELECT 1", warehouse="PARKED"))
    assert account.head("parked") == before


async def started(client: Client, statement_id: str) -> None:
    while (await client.statement(statement_id)).state is StatementState.QUEUED:
        await asyncio.sleep(0.05)
