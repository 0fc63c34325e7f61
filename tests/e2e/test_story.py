"""What a user does with a warehouse, from applying it to coming back to it."""

import json

import pytest
from firn_model.api import SubmitRequest
from firn_model.names import FINALIZER_METERING

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse

pytestmark = pytest.mark.e2e


def test_apply_query_leave_and_come_back(account: Account) -> None:
    account.apply(warehouse("story", autoSuspendSeconds=0))
    account.wait_phase("story", "Suspended")

    first = json.loads(
        account.firn("sql", "-w", "STORY", "-o", "json", "-q", "SELECT count(*) AS n FROM tpch.sf0_01.region")
    )
    assert first[0]["n"] == 5
    assert account.get("vw", "story")["status"]["phase"] == "Running"
    assert "Running" in account.kubectl("get", "vw", "story")

    account.apply(warehouse("story", autoSuspendSeconds=1))
    account.wait_phase("story", "Suspended")
    left = [wc["metadata"]["finalizers"] for wc in account.find("wc") if wc["spec"]["warehouse"] == "story"]
    assert left in ([], [[FINALIZER_METERING]])

    again = json.loads(account.firn("sql", "-w", "STORY", "-o", "json", "-q", "SELECT 1 AS one"))
    assert again[0]["one"] == 1


def test_the_example_of_the_readme_is_accepted(account: Account) -> None:
    account.kubectl("apply", "-f", "examples/warehouse.yaml")
    account.wait_phase("demo", "Suspended")
    assert "DEMO" in account.firn("warehouse", "list")


def test_a_held_warehouse_refuses_statements_and_says_how_to_resume(account: Account) -> None:
    account.apply(warehouse("held", suspended=True))
    account.wait_phase("held", "Suspended")
    said = account.firn_refusal("sql", "-w", "HELD", "-q", "SELECT 1")
    assert "HELD" in said
    assert "resume" in said

    account.apply(warehouse("held", suspended=False))
    assert "1" in account.firn("sql", "-w", "HELD", "-o", "csv", "-q", "SELECT 1")


def test_suspend_and_resume_by_hand(account: Account) -> None:
    account.firn("warehouse", "create", "BYHAND", "--auto-suspend", "0")
    account.firn("warehouse", "resume", "BYHAND")
    account.wait_phase("byhand", "Running")
    account.firn("warehouse", "suspend", "BYHAND")
    account.wait_phase("byhand", "Suspended")
    assert "1" in account.firn("sql", "-w", "BYHAND", "-o", "csv", "-q", "SELECT 1")


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "SHOW TABLES", "CREATE SCHEMA IF NOT EXISTS firn.quiet", "SELECT nothing FROM tpch.sf0_01.region"],
)
async def test_what_needs_no_warehouse_never_resumes_one(account: Account, sql: str) -> None:
    account.apply(warehouse("asleep"))
    account.wait_phase("asleep", "Suspended")
    with account.watching("vw", "asleep") as phases:
        account.attempt(*account._firn(("sql", "-w", "ASLEEP", "-q", sql)))
    assert set(phases) <= {"Suspended"}


async def test_twenty_statements_that_arrive_while_the_warehouse_suspends(account: Account) -> None:
    """None is lost and none fails, whatever the moment."""
    account.apply(warehouse("race", autoSuspendSeconds=0))
    async with account.client() as client:
        for step in range(20):
            await client.run(SubmitRequest(sql="SELECT 1", warehouse="RACE"))
            suspended = await client.suspend("RACE")
            assert suspended.name == "RACE"
            probe = await client.submit(SubmitRequest(sql="SHOW WAREHOUSES", wait_seconds=1 if step % 4 == 3 else 0))
            assert probe.error is None
            reply = await client.run(SubmitRequest(sql=f"SELECT {step} AS step", warehouse="RACE"))
            assert reply.result is not None
            assert reply.result.rows == [[step]]
