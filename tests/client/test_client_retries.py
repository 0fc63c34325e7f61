"""The client against a server that restarts, refuses tokens, and makes it wait."""

import asyncio
from datetime import timedelta

import pytest
from firn.client import Client
from firn.errors import ApiError, LoginRefused, StatementFailed, Unreachable
from firn.login import PasswordLogin, known_password
from firn.patience import Patience
from firn_model.api import CreateWarehouse, StatementReply, SubmitRequest
from firn_model.statements import StatementState

from tests.client.fake_services import Account, FakeServices


def login(password: str = "right") -> PasswordLogin:
    return PasswordLogin("admin", known_password(password))


async def test_a_statement_gives_its_first_rows(services: FakeServices) -> None:
    async with Client(services.url, login()) as client:
        reply = await client.run(SubmitRequest(sql="SELECT 1", warehouse="DEMO"))
    assert reply.state is StatementState.SUCCEEDED
    assert reply.result is not None
    assert reply.result.rows == [[0, 'text "0"']]
    assert services.account.submits[0].warehouse == "DEMO"


async def test_all_pages_arrive_in_order(services: FakeServices) -> None:
    services.account.rows = 2503
    async with Client(services.url, login()) as client:
        reply = await client.run(SubmitRequest(sql="SELECT n"))
        rows = [row[0] async for page in client.pages(reply) for row in page.rows]
    assert rows == list(range(2503))


async def test_arrow(services: FakeServices) -> None:
    services.account.rows = 5
    async with Client(services.url, login()) as client:
        reply = await client.run(SubmitRequest(sql="SELECT n"))
        table = await client.arrow(reply.id)
    assert table.column("N").to_pylist() == [0, 1, 2, 3, 4]


async def test_waiting_is_a_sequence_of_polls(services: FakeServices) -> None:
    seen: list[StatementReply] = []

    def look(reply: StatementReply) -> None:
        seen.append(reply)
        if len(seen) == 3:
            services.account.finished.set()

    async with Client(services.url, login()) as client:
        reply = await client.run(SubmitRequest(sql="WAIT"), on_update=look, poll_seconds=0.01)
    assert reply.state is StatementState.SUCCEEDED
    assert [update.waiting_for for update in seen] == ["warehouse DEMO resumes"] * 3
    assert len(services.account.submits) == 1


async def test_no_poll_is_longer_than_thirty_seconds(services: FakeServices) -> None:
    async with Client(services.url, login()) as client:
        await client.run(SubmitRequest(sql="SELECT 1"))
    assert services.account.waits == [30.0]


async def test_a_restart_in_the_middle_of_a_wait_is_survived_and_told() -> None:
    account = Account()
    server = FakeServices(account)
    await server.start()
    notices: list[str | None] = []
    back = asyncio.Event()

    def notice(reason: str | None) -> None:
        notices.append(reason)
        (back if reason is None else asyncio.Event()).set()

    async with Client(server.url, login(), Patience(notice)) as client:
        running = asyncio.create_task(client.run(SubmitRequest(sql="WAIT"), poll_seconds=5))
        await account.submitted.wait()
        await server.stop()
        account.tokens.clear()
        account.finished.set()
        await server.start()
        reply = await asyncio.wait_for(running, 30)
    await server.stop()
    assert reply.state is StatementState.SUCCEEDED
    assert len(account.statements) == 1, "the statement was run once"
    assert len({submit.request_id for submit in account.submits}) == 1
    assert account.logins == ["admin", "admin"], "a new token, because the restart forgot the old one"
    assert notices[0] is not None
    assert notices[-1] is None


async def test_services_that_are_not_there_are_given_up_soon(unused_tcp_port: int) -> None:
    patience = Patience(first_contact=timedelta(seconds=0.3))
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", login(), patience) as client:
        with pytest.raises(Unreachable, match="did not answer"):
            await client.warehouses()


async def test_a_refused_token_is_replaced_once(services: FakeServices) -> None:
    async with Client(services.url, login()) as client:
        await client.warehouses()
        services.account.tokens.clear()
        assert await client.warehouses() == ()
    assert services.account.logins == ["admin", "admin"]


async def test_a_wrong_password(services: FakeServices) -> None:
    async with Client(services.url, login("wrong")) as client:
        with pytest.raises(LoginRefused, match="'admin'"):
            await client.run(SubmitRequest(sql="SELECT 1"))


async def test_a_refused_text_is_a_failed_statement(services: FakeServices) -> None:
    async with Client(services.url, login()) as client:
        with pytest.raises(StatementFailed) as caught:
            await client.run(SubmitRequest(sql="SELEC 1"))
    assert (caught.value.detail.line, caught.value.detail.column) == (1, 1)
    assert caught.value.reply is None


async def test_a_failed_statement_carries_its_reply(services: FakeServices) -> None:
    async with Client(services.url, login()) as client:
        with pytest.raises(StatementFailed, match="division by zero") as caught:
            await client.run(SubmitRequest(sql="FAIL"))
    assert caught.value.reply is not None
    assert caught.value.reply.state is StatementState.FAILED


async def test_what_is_not_repeatable_is_not_repeated() -> None:
    sent = asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent.set()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    known = login()
    known._token = "good"
    async with server, Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", known) as client:
        with pytest.raises(Unreachable, match="may or may not have happened"):
            await client.create_warehouse(CreateWarehouse(name="W"))
    assert sent.is_set()


@pytest.mark.parametrize("polls", [pytest.param(0.01, id="while polling"), pytest.param(20.0, id="while submitting")])
async def test_a_cancelled_task_cancels_its_statement(services: FakeServices, polls: float) -> None:
    account = services.account
    async with Client(services.url, login()) as client:
        running = asyncio.create_task(client.run(SubmitRequest(sql="WAIT"), poll_seconds=polls))
        await account.submitted.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [reply.state for reply in account.statements.values()] == [StatementState.CANCELLED]


async def test_an_unknown_statement(services: FakeServices) -> None:
    async with Client(services.url, login()) as client:
        with pytest.raises(ApiError, match="no such statement"):
            await client.statement("st-9")
