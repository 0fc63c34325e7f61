"""How far a running statement is, as its head tells it: in memory only, of the present attempt."""

import asyncio

import pytest
from firn_model.messages import Progress

from tests.services.account import TestAccount
from tests.services.fake_head import FakeHead, breaks, never, one_row, tells

pytestmark = pytest.mark.component

HALF = Progress(fraction=0.5, rows_scanned=10, bytes_scanned=1000, stage=2, stages=4, burst_nodes=3)


async def running(account: TestAccount) -> tuple[FakeHead, str]:
    """Start a warehouse whose head is silent; return the head and a statement."""
    await account.warehouse()
    head = await account.head()
    await account.cluster(head)
    return head, "SELECT 1"


async def test_a_running_statement_shows_what_its_head_said_last(account: TestAccount) -> None:
    head, sql = await running(account)
    goes_on = asyncio.Event()

    async def ends(*of: object) -> None:
        await goes_on.wait()
        await one_row(*of)  # type: ignore[arg-type]

    head.answer = tells(Progress(), b"not JSON", HALF, b'{"fraction": 7}', then=ends)
    statement = (await account.submit(sql, wait=0))["id"]
    reply = await account.seen(f"/statements/{statement}", lambda r: (r["progress"] or {}).get("percent") == 50)
    assert reply["state"] == "running"
    told = {name: value for name, value in reply["progress"].items() if name != "at"}
    assert told == {
        "percent": 50.0, "rows_scanned": 10, "bytes_scanned": 1000, "stage": 2, "stages": 4, "burst_nodes": 3
    }  # fmt: skip
    (listed,) = (await account.call("GET", "/statements"))["statements"]
    assert listed["progress"] == reply["progress"]
    goes_on.set()
    done = await account.call("GET", f"/statements/{statement}?wait_seconds=20")
    assert (done["state"], done["progress"]) == ("succeeded", None)


async def test_the_next_attempt_begins_without_the_progress_of_the_last(account: TestAccount) -> None:
    head, sql = await running(account)
    head.answer = tells(HALF, then=breaks)
    statement = (await account.submit(sql, wait=0))["id"]
    await head.wait_for(1)
    head.answer = never
    await head.wait_for(2)
    reply = await account.call("GET", f"/statements/{statement}")
    assert (reply["state"], reply["attempts"], reply["progress"]) == ("running", 2, None)
