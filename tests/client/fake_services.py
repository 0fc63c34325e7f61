"""A small real HTTP server that speaks firn_model.api, for the client's tests."""

import asyncio
import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from aiohttp import web
from firn_model.api import (
    PREFIX,
    AlterWarehouse,
    Column,
    CreateWarehouse,
    ErrorDetail,
    ErrorReply,
    LoginReply,
    LoginRequest,
    ProfileReply,
    RegisterTable,
    ResultPage,
    StatementList,
    StatementReply,
    SubmitRequest,
    TableList,
    TableReply,
    WarehouseList,
    WarehouseReply,
)
from firn_model.messages import Statistics
from firn_model.profile import Profile
from firn_model.statements import StatementError, StatementState
from pydantic import BaseModel

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
INLINE = 3
"""Rows that a reply carries itself; small, so that tests see pages."""


@dataclass
class Account:
    """What outlives a restart of the server: statements by id, tokens, and what was asked."""

    password: str = "right"
    tokens: set[str] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)
    statements: dict[str, StatementReply] = field(default_factory=dict)
    by_request: dict[str, str] = field(default_factory=dict)
    submits: list[SubmitRequest] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    profile: Profile = field(default_factory=Profile)
    rows: int = 1
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    submitted: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    tables: list[TableReply] = field(default_factory=list)
    warehouses: dict[str, WarehouseReply] = field(default_factory=dict)
    creates: list[CreateWarehouse] = field(default_factory=list)
    alters: list[AlterWarehouse] = field(default_factory=list)
    ids: "itertools.count[int]" = field(default_factory=itertools.count)


class FakeServices:
    """One server of an account on a port of its own; `stop` and `start` again to restart it on the same port."""

    def __init__(self, account: Account | None = None) -> None:
        self.account = account or Account()
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._open: set[asyncio.Transport] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post(f"{PREFIX}/login", self.login)
        app.router.add_post(f"{PREFIX}/statements", self.signed(self.submit))
        app.router.add_get(f"{PREFIX}/statements", self.signed(self.list_statements))
        app.router.add_get(f"{PREFIX}/statements/{{id}}", self.signed(self.show))
        app.router.add_get(f"{PREFIX}/statements/{{id}}/result", self.signed(self.result))
        app.router.add_get(f"{PREFIX}/statements/{{id}}/profile", self.signed(self.profile))
        app.router.add_post(f"{PREFIX}/statements/{{id}}/cancel", self.signed(self.cancel))
        app.router.add_get(f"{PREFIX}/warehouses", self.signed(self.list_warehouses))
        app.router.add_post(f"{PREFIX}/warehouses", self.signed(self.create_warehouse))
        app.router.add_get(f"{PREFIX}/warehouses/{{name}}", self.signed(self.show_warehouse))
        app.router.add_patch(f"{PREFIX}/warehouses/{{name}}", self.signed(self.alter_warehouse))
        app.router.add_get(f"{PREFIX}/tables", self.signed(self.list_tables))
        app.router.add_post(f"{PREFIX}/tables", self.signed(self.register_table))
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Break all connections and stop listening."""
        if self._runner is not None:
            for transport in tuple(self._open):
                transport.abort()
            await self._runner.cleanup()
            self._runner = None

    # Handlers

    def signed(self, handler: Any) -> Any:
        async def check(request: web.Request) -> web.Response:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in self.account.tokens:
                return refusal(401, ErrorDetail(error="unauthenticated", message="log in first"))
            assert request.transport is not None
            self._open.add(request.transport)
            return await handler(request)

        return check

    async def login(self, request: web.Request) -> web.Response:
        body = LoginRequest.model_validate_json(await request.read())
        self.account.logins.append(body.user)
        if body.password != self.account.password:
            return refusal(401, ErrorDetail(error="unauthenticated", message="wrong user or password"))
        token = f"token-{len(self.account.logins)}"
        self.account.tokens.add(token)
        return answer(LoginReply(token=token, expires_at=datetime.now(UTC) + timedelta(hours=1)))

    async def submit(self, request: web.Request) -> web.Response:
        body = SubmitRequest.model_validate_json(await request.read())
        self.account.submits.append(body)
        self.account.waits.append(body.wait_seconds)
        if body.sql.startswith("SELEC "):
            detail = ErrorDetail(error="syntax", message="unexpected word SELEC", sqlstate="42601", line=1, column=1)
            return refusal(400, detail)
        assert body.request_id
        if body.request_id not in self.account.by_request:
            self._begin(body)
        return await self._wait(self.account.by_request[body.request_id], body.wait_seconds)

    async def show(self, request: web.Request) -> web.Response:
        wait = float(request.query.get("wait_seconds", "0"))
        self.account.waits.append(wait)
        if request.match_info["id"] not in self.account.statements:
            return refusal(404, ErrorDetail(error="not_found", message="there is no such statement"))
        return await self._wait(request.match_info["id"], wait)

    async def list_statements(self, request: web.Request) -> web.Response:
        chosen = [s for s in self.account.statements.values() if request.query.get("state") in (None, s.state.value)]
        return answer(StatementList(statements=tuple(reversed(chosen))))

    async def result(self, request: web.Request) -> web.Response:
        reply = self.account.statements[request.match_info["id"]]
        if request.query["format"] == "arrow":
            rows = self._rows(0, self.account.rows)
            table = pa.table({"N": pa.array([row[0] for row in rows], pa.int64()), "T": [row[1] for row in rows]})
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            return web.Response(body=sink.getvalue().to_pybytes(), content_type="application/vnd.apache.arrow.stream")
        assert reply.state is StatementState.SUCCEEDED
        return answer(self._page(int(request.query["offset"]), int(request.query["limit"])))

    async def profile(self, request: web.Request) -> web.Response:
        reply = self.account.statements.get(request.match_info["id"])
        if reply is None:
            return refusal(404, ErrorDetail(error="not_found", message="there is no such statement"))
        return answer(ProfileReply(statement=reply, profile=self.account.profile))

    async def cancel(self, request: web.Request) -> web.Response:
        reply = self.account.statements[request.match_info["id"]]
        if not reply.state.is_final:
            reply = self._change(reply.id, state=StatementState.CANCELLED, error=StatementError.CANCELLED, ended_at=NOW)
        self.account.cancelled.set()
        self.account.finished.set()
        return answer(reply)

    async def list_warehouses(self, _request: web.Request) -> web.Response:
        return answer(WarehouseList(warehouses=tuple(self.account.warehouses.values())))

    async def show_warehouse(self, request: web.Request) -> web.Response:
        found = self.account.warehouses.get(request.match_info["name"])
        if found is None:
            return refusal(404, ErrorDetail(error="not_found", message="there is no warehouse NOPE"))
        return answer(found)

    async def create_warehouse(self, request: web.Request) -> web.Response:
        body = CreateWarehouse.model_validate_json(await request.read())
        self.account.creates.append(body)
        reply = WarehouseReply(
            name=body.name,
            resource=body.name.lower(),
            state="Suspended",
            size=body.size or "XS",
            type="Standard",
            min_cluster_count=1,
            max_cluster_count=1,
            started_clusters=0,
            running=0,
            queued=0,
            auto_suspend_seconds=600 if body.auto_suspend_seconds is None else body.auto_suspend_seconds,
            auto_resume=body.auto_resume is not False,
            suspended=False,
            pool=body.pool or "default",
            comment=body.comment or "",
        )
        self.account.warehouses[body.name] = reply
        return answer(reply)

    async def alter_warehouse(self, request: web.Request) -> web.Response:
        self.account.alters.append(AlterWarehouse.model_validate_json(await request.read()))
        return answer(self.account.warehouses[request.match_info["name"]])

    async def list_tables(self, _request: web.Request) -> web.Response:
        return answer(TableList(tables=tuple(self.account.tables)))

    async def register_table(self, request: web.Request) -> web.Response:
        body = RegisterTable.model_validate_json(await request.read())
        reply = TableReply(
            database=body.database,
            schema_name=body.schema_name,
            name=body.name,
            files=len(body.files),
            rows=7,
            size_bytes=2048,
        )
        self.account.tables.append(reply)
        return answer(reply)

    # Statements

    def _begin(self, body: SubmitRequest) -> None:
        """`WAIT…` ends only when the account's `finished` is set; `FAIL…` fails; all else succeeds at once."""
        statement_id = f"st-{next(self.account.ids)}"
        assert body.request_id
        self.account.by_request[body.request_id] = statement_id
        self.account.statements[statement_id] = StatementReply(
            id=statement_id,
            sql=body.sql,
            state=StatementState.QUEUED,
            user="admin",
            warehouse=body.warehouse,
            submitted_at=NOW,
            waiting_for="warehouse DEMO resumes",
        )
        if body.sql.startswith("FAIL"):
            self._change(
                statement_id,
                state=StatementState.FAILED,
                error=StatementError.ARITHMETIC,
                detail=ErrorDetail(error="arithmetic", message="division by zero", line=2, column=3),
                ended_at=NOW + timedelta(seconds=1),
            )
        elif not body.sql.startswith("WAIT"):
            self._succeed(statement_id)
        self.account.submitted.set()

    async def _wait(self, statement_id: str, wait_seconds: float) -> web.Response:
        if not self.account.statements[statement_id].state.is_final:
            try:
                await asyncio.wait_for(self.account.finished.wait(), wait_seconds)
            except TimeoutError:
                return answer(self.account.statements[statement_id])
            if not self.account.statements[statement_id].state.is_final:
                self._succeed(statement_id)
        return answer(self.account.statements[statement_id])

    def _succeed(self, statement_id: str) -> None:
        self._change(
            statement_id,
            state=StatementState.SUCCEEDED,
            started_at=NOW + timedelta(seconds=0.25),
            ended_at=NOW + timedelta(seconds=0.75),
            attempts=1,
            statistics=Statistics(bytes_scanned=3 * 1024 * 1024, rows_produced=self.account.rows),
            result=self._page(0, INLINE),
        )

    def _change(self, statement_id: str, **changes: Any) -> StatementReply:
        reply = self.account.statements[statement_id].model_copy(update=changes)
        self.account.statements[statement_id] = reply
        return reply

    def _page(self, offset: int, limit: int) -> ResultPage:
        return ResultPage(
            columns=(Column(name="N", type="int64"), Column(name="T", type="string")),
            rows=self._rows(offset, min(offset + limit, self.account.rows)),
            offset=offset,
            total_rows=self.account.rows,
        )

    @staticmethod
    def _rows(start: int, end: int) -> list[list[Any]]:
        return [[number, None if number % 2 else f'text "{number}"'] for number in range(start, end)]


def answer(body: BaseModel) -> web.Response:
    return web.Response(text=body.model_dump_json(), content_type="application/json")


def refusal(status: int, detail: ErrorDetail) -> web.Response:
    return web.Response(status=status, text=ErrorReply(error=detail).model_dump_json(), content_type="application/json")
