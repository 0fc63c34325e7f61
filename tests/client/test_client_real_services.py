"""The client and the command against the real services, with a head that speaks the real protocol."""

import asyncio
import json
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from firn.client import Client
from firn.errors import StatementFailed
from firn.login import PasswordLogin, known_password
from firn_model.api import SubmitRequest
from firn_model.statements import StatementState

from tests.client.conftest import Command
from tests.services.account import TestAccount
from tests.services.conftest import account, database_url, s3_url, settings, signing_key
from tests.services.fake_head import never, rows

SVG = "{http://www.w3.org/2000/svg}"
pytestmark = pytest.mark.component
__all__ = ["account", "database_url", "s3_url", "settings", "signing_key"]


@pytest.fixture
def client(account: TestAccount) -> Client:
    return Client(account.url, PasswordLogin("admin", known_password("winter")))


@pytest.fixture
def command(firn: Command, account: TestAccount) -> Command:
    firn.environment |= {"FIRN_URL": account.url, "FIRN_PASSWORD": "winter", "FIRN_WAREHOUSE": "W"}
    return firn


async def test_rows_come_back_as_pages_and_as_arrow(account: TestAccount, client: Client) -> None:
    await account.warehouse()
    head = await account.head()
    head.answer = rows(pa.table({"n": range(2500)}))
    await account.cluster(head)
    async with client:
        reply = await client.run(SubmitRequest(sql="SELECT 1", warehouse="W"))
        values = [row[0] async for page in client.pages(reply) for row in page.rows]
        table = await client.arrow(reply.id)
    assert values == list(range(2500))
    assert table.column("n").to_pylist() == values


async def test_a_session_reads_the_result_of_its_statement_before(account: TestAccount, command: Command) -> None:
    await account.warehouse()
    scan = 'SELECT "name", LAST_QUERY_ID() IS NULL AS no FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))'
    done = await command.run("sql", "-o", "csv", "--quiet", "-q", f"SHOW WAREHOUSES; {scan}; {scan}")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-4:] == ["name,no", "W,false", "name,no", "W,false"]
    alone = await command.run("sql", "-q", scan)
    assert alone.code == 1
    assert "RESULT_SCAN('…') takes the id" in alone.err


async def test_a_wait_ends_when_the_warehouse_has_resumed(account: TestAccount, client: Client) -> None:
    await account.warehouse()
    waiting = asyncio.Event()
    async with client:
        running = asyncio.create_task(
            client.run(SubmitRequest(sql="SELECT 1", warehouse="W"), lambda _: waiting.set(), poll_seconds=0.05)
        )
        await waiting.wait()
        await account.cluster(await account.head())
        reply = await running
    assert reply.state is StatementState.SUCCEEDED


async def test_a_typo_has_its_place(account: TestAccount, client: Client) -> None:
    await account.warehouse()
    async with client:
        with pytest.raises(StatementFailed) as caught:
            await client.run(SubmitRequest(sql="SELECT\n 1 FROM WHERE", warehouse="W"))
    assert (caught.value.detail.line, caught.value.detail.column) == (2, 9)


async def test_a_cancelled_wait_cancels_on_the_head(account: TestAccount, client: Client) -> None:
    await account.warehouse()
    head = await account.head()
    head.answer = never
    await account.cluster(head)
    seen = asyncio.Event()
    async with client:
        running = asyncio.create_task(
            client.run(SubmitRequest(sql="SELECT 1", warehouse="W"), lambda _: seen.set(), poll_seconds=0.05)
        )
        await seen.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        (statement,) = await client.statements()
    assert statement.state is StatementState.CANCELLED


async def test_the_command_end_to_end(account: TestAccount, command: Command) -> None:
    await account.warehouse()
    await account.cluster(await account.head())
    done = await command.run("sql", "-q", "SELECT 1", "-o", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == [{"one": 1}]
    listed = json.loads((await command.run("statement", "list", "-o", "json")).out)
    assert [s["state"] for s in listed] == ["succeeded"]
    shown = await command.run("warehouse", "show", "W")
    assert shown.out.splitlines()[0].split() == ["name", "W"]


async def test_the_command_shows_the_place_of_a_typo(account: TestAccount, command: Command) -> None:
    await account.warehouse()
    done = await command.run("sql", "-q", "SELECT * FROM nowhere")
    assert done.code == 1
    assert "    line 1: SELECT * FROM nowhere" in done.err.splitlines()
    assert "firn table list" in done.err


async def test_load_and_usage_are_shown_and_drawn(account: TestAccount, command: Command) -> None:
    await account.warehouse()
    await account.submit("SELECT 1", wait=0)
    await account.seen("/warehouses/W/load", lambda r: any(i["avg_queued_provisioning"] for i in r["intervals"]))
    file = command.home / "load.svg"
    shown = await command.run("warehouse", "load", "W", "--picture", str(file))
    lines = shown.out.splitlines()
    assert lines[0].split()[:4] == ["FROM", "RUNNING", "QUEUED", "PROVISIONING"]
    assert any(line.endswith("░" * 30) for line in lines)
    drawing = ElementTree.fromstring(file.read_text())
    assert next(title.text for title in drawing.iter(f"{SVG}title")) == "Load of warehouse W"
    assert sum(1 for _ in drawing.iter(f"{SVG}rect")) > 5
    fine = await command.run("warehouse", "load", "W", "--last", "10m", "--interval", "5s", "-o", "json")
    assert len(json.loads(fine.out)) in (120, 121)
    wrong = await command.run("warehouse", "load", "W", "--last", "soon")
    assert (wrong.code, "not a duration" in wrong.err) == (2, True)
    nothing = await command.run("warehouse", "advice", "W")
    assert nothing.out == "nothing to advise on W (0 statements)\n"
    happened = await command.run("warehouse", "events", "W", "-o", "csv")
    assert ",CREATE_WAREHOUSE,COMPLETED," in happened.out
    assert "no credits were used" in (await command.run("warehouse", "usage")).out
