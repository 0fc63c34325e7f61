"""The Python client of Firn's HTTP API."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

import aiohttp
from firn_model.api import (
    PREFIX,
    AdviceReply,
    AlterWarehouse,
    CreateWarehouse,
    ErrorDetail,
    ErrorReply,
    EventList,
    LoadReply,
    LoginReply,
    ProfileReply,
    RegisterTable,
    ResultPage,
    StatementList,
    StatementReply,
    SubmitRequest,
    TableList,
    TableReply,
    UsageReply,
    WarehouseList,
    WarehouseReply,
)
from firn_model.statements import StatementError, StatementState
from pydantic import BaseModel, ValidationError

from firn.endpoint import Endpoint, FixedEndpoint
from firn.errors import ApiError, LoginRefused, StatementFailed, Unreachable
from firn.login import Login
from firn.patience import Patience

if TYPE_CHECKING:
    import pyarrow as pa

M = TypeVar("M", bound=BaseModel)

LONGEST_POLL_SECONDS = 30.0
PAGE_ROWS = 1000
CANCEL_SECONDS = 10.0
ANSWER_SECONDS = 30.0
"""How long an answer may take beyond the wait that the request itself asks for."""
STATEMENT_ERRORS = frozenset(error.value for error in StatementError)
TRANSIENT_STATUS = frozenset({429, 502, 503, 504})

Update = Callable[[StatementReply], None]


class Client:
    """Talks to one account's services; use it as `async with Client(...) as client`.

    Statements may wait in their queue for as long as it takes: waiting is a sequence of polls, and a poll that meets
    services that restart is made again. `patience` says for how long, and how the user is told.
    """

    def __init__(self, endpoint: Endpoint | str, login: Login, patience: Patience | None = None) -> None:
        self._endpoint: Endpoint = FixedEndpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self._login = login
        self._patience = patience or Patience()
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool; nothing is sent yet."""
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections and the way to the services."""
        if self._http is not None:
            await self._http.close()
        await self._endpoint.close()

    async def sign_in(self) -> LoginReply:
        """Get a new token, whatever is remembered. Raises LoginRefused."""
        request = await self._login.request()
        try:
            body = await self._call("POST", "/login", request, signed=False)
        except ApiError as error:
            if error.status in (401, 403):
                raise LoginRefused(
                    f"the services refuse user {request.user!r} with this password",
                    "Give --user and --password-file (or FIRN_USER and FIRN_PASSWORD); without them the password of "
                    "the Secret firn-admin is used.",
                ) from error
            raise
        reply = _parsed(LoginReply, body)
        self._login.remember(reply)
        return reply

    # Statements

    async def run(
        self, request: SubmitRequest, on_update: Update | None = None, poll_seconds: float = LONGEST_POLL_SECONDS
    ) -> StatementReply:
        """Run a statement to its end and return it, with its first rows.

        `on_update` sees each answer. When the calling task is cancelled, so is the statement. Raises StatementFailed
        when it fails or is cancelled, ApiError or Unreachable when the services refuse or stay away.
        """
        if request.request_id is None:
            request = request.model_copy(update={"request_id": uuid.uuid4().hex})
        reply: StatementReply | None = None
        try:
            reply = await self.submit(request.model_copy(update={"wait_seconds": poll_seconds}))
            while not reply.state.is_final:
                if on_update is not None:
                    on_update(reply)
                reply = await self.statement(reply.id, wait_seconds=poll_seconds)
        except asyncio.CancelledError:
            await self._abandon(request, reply)
            raise
        if reply.state is not StatementState.SUCCEEDED:
            raise StatementFailed.from_reply(reply)
        return reply

    async def submit(self, request: SubmitRequest) -> StatementReply:
        """Hand in a statement; repeated safely when it carries a request_id. Raises StatementFailed, ApiError."""
        try:
            body = await self._call(
                "POST",
                "/statements",
                request,
                wait_seconds=request.wait_seconds,
                repeatable=request.request_id is not None,
            )
        except ApiError as error:
            if error.detail.error in STATEMENT_ERRORS or error.detail.line is not None:
                raise StatementFailed(request.sql, error.detail) from error
            raise
        return _parsed(StatementReply, body)

    async def statement(self, statement_id: str, wait_seconds: float = 0) -> StatementReply:
        """Return a statement, when it is final or after the wait (seconds)."""
        query = {"wait_seconds": f"{wait_seconds:g}"}
        return _parsed(
            StatementReply,
            await self._call("GET", f"/statements/{statement_id}", query=query, wait_seconds=wait_seconds),
        )

    async def statements(
        self, warehouse: str | None = None, state: str | None = None, limit: int = 20
    ) -> tuple[StatementReply, ...]:
        """Return the newest statements, newest first."""
        query = {"limit": str(limit)}
        if warehouse:
            query["warehouse"] = warehouse
        if state:
            query["state"] = state
        return _parsed(StatementList, await self._call("GET", "/statements", query=query)).statements

    async def profile(self, statement_id: str) -> ProfileReply:
        """Return how a statement ran that has ended."""
        return _parsed(ProfileReply, await self._call("GET", f"/statements/{statement_id}/profile"))

    async def cancel(self, statement_id: str) -> StatementReply:
        """Cancel a statement; nothing happens to one that has ended."""
        return _parsed(StatementReply, await self._call("POST", f"/statements/{statement_id}/cancel"))

    async def pages(self, reply: StatementReply) -> AsyncIterator[ResultPage]:
        """Give the whole result of a statement that has succeeded, page by page; at least one page."""
        page = reply.result or await self._page(reply.id, 0)
        yield page
        have = page.offset + len(page.rows)
        while have < page.total_rows and page.rows:
            page = await self._page(reply.id, have)
            yield page
            have += len(page.rows)

    async def _page(self, statement_id: str, offset: int) -> ResultPage:
        query = {"format": "json", "offset": str(offset), "limit": str(PAGE_ROWS)}
        return _parsed(ResultPage, await self._call("GET", f"/statements/{statement_id}/result", query=query))

    async def arrow_stream(self, statement_id: str) -> bytes:
        """Return the result as the bytes of an Arrow IPC stream."""
        return await self._call("GET", f"/statements/{statement_id}/result", query={"format": "arrow"})

    async def arrow(self, statement_id: str) -> "pa.Table":
        """Return the result as an Arrow table."""
        import pyarrow as pa

        with pa.ipc.open_stream(await self.arrow_stream(statement_id)) as reader:
            return reader.read_all()

    async def _abandon(self, request: SubmitRequest, reply: StatementReply | None) -> None:
        """Cancel a statement that nobody waits for any more, within CANCEL_SECONDS, as well as it can be done.

        A submit that was interrupted is repeated, to learn the statement's id.
        """
        with contextlib.suppress(ApiError, Unreachable, StatementFailed, TimeoutError):
            async with asyncio.timeout(CANCEL_SECONDS):
                known = reply or await self.submit(request.model_copy(update={"wait_seconds": 0}))
                if not known.state.is_final:
                    await self.cancel(known.id)

    # Warehouses and tables

    async def warehouses(self) -> tuple[WarehouseReply, ...]:
        """Return all warehouses, by name."""
        return _parsed(WarehouseList, await self._call("GET", "/warehouses")).warehouses

    async def warehouse(self, name: str) -> WarehouseReply:
        """Return one warehouse."""
        return _parsed(WarehouseReply, await self._call("GET", f"/warehouses/{_quoted(name)}"))

    async def create_warehouse(self, request: CreateWarehouse) -> WarehouseReply:
        """Create a warehouse; it starts suspended."""
        return _parsed(WarehouseReply, await self._call("POST", "/warehouses", request, repeatable=False))

    async def alter_warehouse(self, name: str, request: AlterWarehouse) -> WarehouseReply:
        """Change options of a warehouse."""
        return _parsed(
            WarehouseReply,
            await self._call("PATCH", f"/warehouses/{_quoted(name)}", request, repeatable=request.rename_to is None),
        )

    async def suspend(self, name: str) -> WarehouseReply:
        """Ask for a suspension: running statements finish, the next one resumes."""
        return _parsed(WarehouseReply, await self._call("POST", f"/warehouses/{_quoted(name)}/suspend"))

    async def resume(self, name: str) -> WarehouseReply:
        """Ask for a resume."""
        return _parsed(WarehouseReply, await self._call("POST", f"/warehouses/{_quoted(name)}/resume"))

    async def load(self, name: str, last: timedelta, interval: timedelta | None = None) -> LoadReply:
        """Return a warehouse's load of the time before now; the services choose the interval unless it is given."""
        query = _since(last)
        if interval is not None:
            query["interval_seconds"] = f"{interval.total_seconds():.0f}"
        return _parsed(LoadReply, await self._call("GET", f"/warehouses/{_quoted(name)}/load", query=query))

    async def events(self, name: str, last: timedelta, limit: int = 100) -> EventList:
        """Return what happened to a warehouse in the time before now, the newest first."""
        query = _since(last) | {"limit": str(limit)}
        return _parsed(EventList, await self._call("GET", f"/warehouses/{_quoted(name)}/events", query=query))

    async def advice(self, name: str, last: timedelta) -> AdviceReply:
        """Return advice on a warehouse by the time before now."""
        return _parsed(AdviceReply, await self._call("GET", f"/warehouses/{_quoted(name)}/advice", query=_since(last)))

    async def usage(self, name: str | None, last: timedelta) -> UsageReply:
        """Return the credits used in the time before now, of one warehouse or of all."""
        query = _since(last) | ({"warehouse": name} if name is not None else {})
        return _parsed(UsageReply, await self._call("GET", "/usage", query=query))

    async def tables(self) -> tuple[TableReply, ...]:
        """Return all tables, by name."""
        return _parsed(TableList, await self._call("GET", "/tables")).tables

    async def register_table(self, request: RegisterTable) -> TableReply:
        """Make existing Parquet files a table."""
        return _parsed(
            TableReply, await self._call("POST", "/tables", request, wait_seconds=600, repeatable=request.replace)
        )

    # The wire

    async def _call(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        query: Mapping[str, str] | None = None,
        wait_seconds: float = 0,
        repeatable: bool = True,
        signed: bool = True,
    ) -> bytes:
        """Make one call, again when the services are away for a while, and once more when the token was refused.

        `repeatable`: doing it twice is as good as once. What is not is repeated only when it was never sent.
        """
        refused = False
        while True:
            started = time.monotonic()
            try:
                status, answer = await self._send(method, path, body, query, wait_seconds, signed)
            except (aiohttp.ClientError, TimeoutError, ConnectionError, Unreachable) as error:
                never_sent = isinstance(error, (aiohttp.ClientConnectorError, Unreachable))
                if not (repeatable or never_sent):
                    raise Unreachable(
                        f"the services went away during {method} {path}: it may or may not have happened",
                        "Look before you repeat it.",
                    ) from error
                await self._patience.after(error, started)
                continue
            if status in TRANSIENT_STATUS:
                await self._patience.after(_refusal(status, answer), started)
                continue
            self._patience.answered()
            if status == 401 and signed and not refused:
                refused = True
                self._login.forget()
                continue
            if status >= 400:
                raise _refusal(status, answer)
            return answer

    async def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | None,
        query: Mapping[str, str] | None,
        wait_seconds: float,
        signed: bool,
    ) -> tuple[int, bytes]:
        assert self._http is not None, "use `async with Client(...)`"  # noqa: S101
        headers = {"Content-Type": "application/json"}
        base = await self._endpoint.url()
        if signed:
            token = self._login.token() or (await self.sign_in()).token
            headers["Authorization"] = f"Bearer {token}"
        url = f"{base}{PREFIX}{path}"
        data = body.model_dump_json(exclude_none=True) if body is not None else None
        timeout = aiohttp.ClientTimeout(total=wait_seconds + ANSWER_SECONDS)
        async with self._http.request(method, url, data=data, params=query, headers=headers, timeout=timeout) as answer:
            return answer.status, await answer.read()


def _parsed(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ApiError(
            200, ErrorDetail(error="malformed", message=f"the services' answer is not a {model.__name__}: {error}")
        ) from error


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        return ApiError(status, ErrorReply.model_validate_json(body).error)
    except ValidationError:
        text = body[:300].decode(errors="replace").strip()
        return ApiError(status, ErrorDetail(error="malformed", message=f"HTTP status {status}: {text}"))


def _since(last: timedelta) -> dict[str, str]:
    return {"start": (datetime.now(UTC) - last).isoformat()}


def _quoted(name: str) -> str:
    return quote(name, safe="")
