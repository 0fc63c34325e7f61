"""A warehouse of two nodes: the 22 TPC-H queries, writes, and a worker that is killed in the middle of a query."""

import asyncio

import pytest
from firn_local.answers import difference
from firn_local.tpch import QUERIES, Tpch, as_answer
from firn_model import names
from firn_model.api import SubmitRequest

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse
from tests.e2e.test_scaling import LONG_QUERY, final, started

pytestmark = pytest.mark.e2e


def two_nodes(account: Account, name: str) -> None:
    """Start a warehouse of size S and wait until both its nodes are there."""
    account.apply(warehouse(name, size="S", autoSuspendSeconds=0))
    account.wait_phase(name, "Suspended")
    account.firn("warehouse", "resume", name.upper())
    account.wait(f"wc/{name}-1", "create")
    account.wait(f"wc/{name}-1", "jsonpath={.status.readyNodes}=2", 120)


async def test_all_answers_are_right_on_two_nodes(account: Account, tpch: Tpch) -> None:
    two_nodes(account, "pair")
    async with account.client() as client:
        for number in QUERIES:
            sql = tpch.queries[number]
            reply = await client.run(SubmitRequest(sql=sql, warehouse="PAIR", database="TPCH", schema_name=tpch.schema))
            found = as_answer(await client.arrow(reply.id))
            assert difference(tpch.answer(number), found, tpch.order_by(number)) is None, f"q{number}"


MAKE_LARGE = """
    CREATE OR REPLACE TABLE firn.large.t AS
    SELECT k, md5(seed || 'a') || md5(seed || 'b') || md5(seed || 'c') || md5(seed || 'd') AS noise
    FROM (
        SELECT l_orderkey AS k, CAST(l_orderkey AS VARCHAR) || n_name || CAST(l_linenumber AS VARCHAR) AS seed
        FROM tpch.sf0_01.lineitem CROSS JOIN tpch.sf0_01.nation
    )
"""
"""Six million digests, about 100 MB: too much to be read by the head alone."""


async def test_a_large_scan_runs_on_both_nodes(account: Account) -> None:
    two_nodes(account, "both")
    count = "SELECT k % 7 AS g, count(*) AS n, sum(k) AS k FROM {} WHERE noise <> 'x' GROUP BY 1 ORDER BY 1"
    source = "(SELECT l_orderkey AS k, 'y' AS noise FROM tpch.sf0_01.lineitem) s"
    async with account.client() as client:
        for sql in ("CREATE SCHEMA IF NOT EXISTS firn.large", MAKE_LARGE):
            assert (await client.run(SubmitRequest(sql=sql, warehouse="BOTH"))).error is None
        small = await client.run(SubmitRequest(sql=count.format(source), warehouse="BOTH"))
        large = await client.run(SubmitRequest(sql=count.format("firn.large.t"), warehouse="BOTH"))
        await client.run(SubmitRequest(sql="DROP TABLE firn.large.t", warehouse="BOTH"))
    assert small.result is not None
    assert large.result is not None
    assert large.result.rows == [[g, 25 * n, 25 * k] for g, n, k in small.result.rows]
    assert large.statistics is not None
    assert large.statistics.stages > 1
    assert large.statistics.bytes_from_peers > 0


async def test_a_worker_is_killed_in_the_middle_of_a_query(account: Account) -> None:
    two_nodes(account, "loss")
    async with account.client() as client:
        statement = await client.submit(SubmitRequest(sql=LONG_QUERY, warehouse="LOSS"))
        await started(client, statement.id)
        (worker,) = account.find("pods", f"firn.dev/warehouse=loss,firn.dev/role={names.ROLE_WORKER}")
        await asyncio.to_thread(account.kill, worker["metadata"]["name"], "node")
        lost = await final(client, statement.id)
        again = await client.run(SubmitRequest(sql=LONG_QUERY, warehouse="LOSS"))
    assert lost.error is None
    assert lost.result is not None
    assert again.result is not None
    assert lost.result.rows == again.result.rows
    account.wait("wc/loss-1", "jsonpath={.status.readyNodes}=2", 120)


async def test_what_is_written_is_read_again(account: Account) -> None:
    account.apply(warehouse("writer", autoSuspendSeconds=0))
    async with account.client() as client:

        async def run(sql: str) -> list[list[object]]:
            reply = await client.run(SubmitRequest(sql=sql, warehouse="WRITER"))
            assert reply.result is not None, reply.error
            return reply.result.rows

        await run("CREATE SCHEMA IF NOT EXISTS firn.written")
        await run("CREATE TABLE firn.written.n AS SELECT n_nationkey AS k, n_name AS name FROM tpch.sf0_01.nation")
        await run("INSERT INTO firn.written.n VALUES (100, 'ATLANTIS')")
        await run("UPDATE firn.written.n SET name = 'MU' WHERE k = 100")
        await run("DELETE FROM firn.written.n WHERE k < 5")
        assert await run("SELECT count(*), max(k) FROM firn.written.n") == [[21, 100]]
        assert await run("SELECT name FROM firn.written.n WHERE k = 100") == [["MU"]]
        await run("DROP TABLE firn.written.n")
