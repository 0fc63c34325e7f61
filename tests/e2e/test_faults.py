"""Kill anything at any moment: an accepted statement still completes with the right answer."""

import asyncio

import pytest
from firn.client import Client
from firn_model import names
from firn_model.api import StatementReply, SubmitRequest
from firn_model.statements import StatementState

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse

pytestmark = pytest.mark.e2e

WARM = f"{names.LABEL_POOL}=default,{names.LABEL_STATE}={names.STATE_WARM}"

LONG_QUERY = """
    SELECT count(*) AS pairs FROM tpch.sf0_01.lineitem a CROSS JOIN tpch.sf0_01.orders b
    WHERE (a.l_orderkey + b.o_orderkey) % 7 = 3 AND a.l_quantity < 25
"""
"""Runs for seconds on one core, so that there is a middle to kill something in."""


@pytest.mark.parametrize("victim", ["operator", "services"])
async def test_killed_in_the_middle_of_a_resume(account: Account, victim: str) -> None:
    name = f"resume-{victim}"
    account.apply(warehouse(name))
    account.wait_phase(name, "Suspended")
    async with account.client() as client:
        await client.sign_in()
        shot = account.aim_at(victim)
        running = asyncio.create_task(client.run(_select(name, "SELECT count(*) FROM tpch.sf0_01.nation")))
        await asyncio.to_thread(account.run, *shot)
        assert _rows(await running) == [[25]]


async def test_the_head_is_killed_in_the_middle_of_a_resume(account: Account) -> None:
    account.apply(warehouse("resume-head"))
    account.wait_phase("resume-head", "Suspended")
    async with account.client() as client:
        request = _select("resume-head", "SELECT count(*) FROM tpch.sf0_01.nation")
        running = asyncio.create_task(client.run(request))
        await asyncio.to_thread(_kill_first_head, account, "resume-head")
        assert _rows(await running) == [[25]]


@pytest.mark.parametrize("victim", ["operator", "services", "head"])
async def test_killed_in_the_middle_of_a_query(account: Account, victim: str) -> None:
    name = f"query-{victim}"
    account.apply(warehouse(name))
    async with account.client() as client:
        expected = _rows(await client.run(_select(name, LONG_QUERY)))
        shot = account.aim(account.head(name), "node") if victim == "head" else account.aim_at(victim)
        statement = await client.submit(_select(name, LONG_QUERY))
        await _running(client, statement.id)
        await asyncio.to_thread(account.run, *shot)
        final = await _final(client, statement.id)
        assert _rows(final) == expected
        assert (final.attempts > 1) == (victim != "operator")


async def test_a_node_that_dies_warm_is_replaced(account: Account) -> None:
    target = account.get("warehousepool", "default")["status"]["target"]
    account.wait_pool(ready=target)  # what earlier tests took is back
    victim = account.find("pods", WARM)[0]["metadata"]
    account.kill(victim["name"], "node")
    account.wait_pool(ready=target - 1)
    account.wait_pool(ready=target)
    assert victim["uid"] not in {pod["metadata"]["uid"] for pod in account.find("pods", WARM)}


async def test_a_node_that_dies_claimed_and_idle_is_replaced_by_the_next_statement(account: Account) -> None:
    account.apply(warehouse("widow"))
    async with account.client() as client:
        assert _rows(await client.run(_select("widow", "SELECT 1"))) == [[1]]
        account.kill(account.head("widow"), "node")
        assert _rows(await client.run(_select("widow", "SELECT 2"))) == [[2]]


def _select(warehouse_name: str, sql: str) -> SubmitRequest:
    return SubmitRequest(sql=sql, warehouse=warehouse_name.upper().replace("-", "_"))


def _rows(reply: StatementReply) -> list[list[object]]:
    assert reply.result is not None
    return reply.result.rows


def _kill_first_head(account: Account, name: str) -> None:
    account.wait(f"warehousecluster/{name}-1", "create")
    account.kubectl("wait", "pod", "-l", f"firn.dev/warehouse={name}", "--for=create", "--timeout=60s")
    account.kill(account.head(name), "node")


async def _running(client: Client, statement_id: str) -> None:
    while (await client.statement(statement_id)).state is StatementState.QUEUED:
        await asyncio.sleep(0.05)


async def _final(client: Client, statement_id: str) -> StatementReply:
    while not (reply := await client.statement(statement_id, wait_seconds=30)).state.is_final:
        pass
    return reply
