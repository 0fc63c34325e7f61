"""A head that speaks the real frame protocol and checks signatures, answering what a test tells it to."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pyarrow as pa
from aiohttp import web
from aiohttp.test_utils import TestServer
from firn_model import frames, signing
from firn_model.messages import (
    Cancel,
    Dispatch,
    Failure,
    Finish,
    HeldStatement,
    Progress,
    Refusal,
    RefusalReason,
    Report,
    ReportReply,
    Statistics,
)
from firn_model.profile import Profile

Answer = Callable[["FakeHead", Dispatch, web.StreamResponse], Awaitable[None]]


def arrow_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


async def one_row(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
    """Answer the number 1."""
    await rows(pa.table({"one": [1]}))(head, dispatch, answer)


def rows(
    table: pa.Table, chunk_bytes: int = 1 << 16, profile: Profile | None = None, used: Statistics | None = None
) -> Answer:
    """Answer with a table, in frames of a size, what it used, and how it ran."""

    async def reply(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
        data = arrow_bytes(table)
        for at in range(0, len(data), chunk_bytes):
            await answer.write(frames.encode(frames.FrameType.ARROW, data[at : at + chunk_bytes]))
        finish = Finish(statistics=used or Statistics(rows_produced=table.num_rows), profile=profile)
        await answer.write(frames.encode(frames.FrameType.FINISH, finish.model_dump_json().encode()))

    return reply


def fails(failure: Failure) -> Answer:
    """Answer that it has failed."""

    async def reply(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
        await answer.write(frames.encode(frames.FrameType.FAILURE, failure.model_dump_json().encode()))

    return reply


def finishes(statistics: Statistics) -> Answer:
    """Answer no row, and what was used."""

    async def reply(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
        await answer.write(
            frames.encode(frames.FrameType.ARROW, arrow_bytes(pa.table({"n": pa.array([], pa.int64())})))
        )
        finish = Finish(statistics=statistics)
        await answer.write(frames.encode(frames.FrameType.FINISH, finish.model_dump_json().encode()))

    return reply


async def never(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
    """Hold the statement until somebody stops it."""
    await asyncio.Event().wait()


def tells(*progress: Progress | bytes, then: Answer | None = None) -> Answer:
    """Say how far it is, time after time, then go on as `then`; without one hold the statement."""

    async def reply(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
        for said in progress:
            payload = said if isinstance(said, bytes) else said.model_dump_json().encode()
            await answer.write(frames.encode(frames.FrameType.PROGRESS, payload))
        await (then or never)(head, dispatch, answer)

    return reply


async def breaks(head: "FakeHead", dispatch: Dispatch, answer: web.StreamResponse) -> None:
    """End without a last frame, as a head that dies."""


class FakeHead:
    """One head of one epoch."""

    def __init__(self, public_key: str, uid: str = "pod-1", epoch: str = "epoch-1") -> None:
        self.uid = uid
        self.epoch = epoch
        self.answer: Answer = one_row
        self.refuse: RefusalReason | None = None
        self.dispatched: list[Dispatch] = []
        self.cancelled: list[str] = []
        self.held: list[str] = []
        self.arrived = asyncio.Condition()
        self._key = signing.load_public_text(public_key)
        app = web.Application()
        app.add_routes([web.post("/statements", self._statements), web.post("/cancel", self._cancel)])
        app.add_routes([web.post("/report", self._report)])
        self._server = TestServer(app)

    async def __aenter__(self) -> "FakeHead":
        await self._server.start_server(shutdown_timeout=0.1)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    async def wait_for(self, count: int) -> None:
        """Wait until that many dispatches have arrived."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.dispatched) >= count)

    async def wait_for_cancel(self, statement_id: str) -> None:
        """Wait until it is told to stop a statement."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: statement_id in self.cancelled)

    async def _checked(self, request: web.Request) -> bytes:
        body = await request.read()
        signing.verify(self._key, request.path, body, request.headers[signing.HEADER])
        return body

    async def _statements(self, request: web.Request) -> web.StreamResponse:
        dispatch = Dispatch.model_validate_json(await self._checked(request))
        assert dispatch.expires_at > datetime.now(UTC)
        async with self.arrived:
            self.dispatched.append(dispatch)
            self.arrived.notify_all()
        reason = self.refuse
        if reason is None and (dispatch.pod_uid, dispatch.epoch) != (self.uid, self.epoch):
            reason = RefusalReason.WRONG_EPOCH
        if reason is not None:
            return web.Response(status=409, body=Refusal(reason=reason, message=reason.value).model_dump_json())
        answer = web.StreamResponse()
        await answer.prepare(request)
        await self.answer(self, dispatch, answer)
        return answer

    async def _cancel(self, request: web.Request) -> web.Response:
        cancel = Cancel.model_validate_json(await self._checked(request))
        async with self.arrived:
            self.cancelled.append(cancel.statement_id)
            self.arrived.notify_all()
        return web.json_response({"held": True})

    async def _report(self, request: web.Request) -> web.Response:
        Report.model_validate_json(await self._checked(request))
        held = tuple(HeldStatement(statement_id=name, attempt=1) for name in self.held)
        return web.Response(body=ReportReply(statements=held).model_dump_json())
