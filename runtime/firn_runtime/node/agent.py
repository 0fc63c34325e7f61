"""The node's doors: HTTP in, messages checked, the state asked, the coordinator told."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from aiohttp import web
from firn_model.base import Message
from firn_model.messages import (
    Bind,
    BindReply,
    Cancel,
    CancelReply,
    Dispatch,
    Drain,
    DrainReply,
    HeadAddress,
    HeldStatement,
    Members,
    Park,
    ParkReply,
    Refusal,
    RefusalReason,
    Report,
    ReportReply,
    Signed,
)
from firn_model.signing import HEADER

from firn_runtime.errors import RuntimeFault
from firn_runtime.metrics import NodeMetrics
from firn_runtime.node.delivery import delivered
from firn_runtime.node.gate import Gate
from firn_runtime.node.members import Members as NodeMembers
from firn_runtime.node.state import (
    BindAsked,
    Decision,
    DrainAsked,
    EngineWarm,
    Event,
    Join,
    MembersTold,
    MessageArrived,
    ParkAsked,
    Phase,
    Refuse,
    State,
    StatementDispatched,
    StatementReleased,
    decide,
)
from firn_runtime.statements.coordinator import Coordinator
from firn_runtime.statements.tracing import Tracing

_LARGEST_MESSAGE_BYTES = 64 << 20
_STATUS = {
    RefusalReason.MALFORMED: 400,
    RefusalReason.BAD_SIGNATURE: 403,
    RefusalReason.EXPIRED: 403,
    RefusalReason.WRONG_POD: 403,
}
_CONFLICT = 409
_FAILED = 503
_DELIVERY_SECONDS = 1.0

JoinHead = Callable[[HeadAddress], Awaitable[None]]
"""Leaves the Ray that the node is in for that of a head; returns when the engine serves there. Raises RuntimeFault,
and then the node is beyond repair."""

M = TypeVar("M", bound=Signed)
log = structlog.get_logger()


class Agent:
    """Holds the node's state; every change of it goes through `decide`."""

    def __init__(
        self, gate: Gate, coordinator: Coordinator, metrics: NodeMetrics, members: NodeMembers, join: JoinHead
    ) -> None:
        self._gate = gate
        self._coordinator = coordinator
        self._metrics = metrics
        self._members = members
        self._join = join
        self._tracing = Tracing()
        self._joining: asyncio.Future[None] | None = None
        self._state = State()
        self._released = asyncio.Condition()
        self._deliveries: dict[str, asyncio.Future[None]] = {}
        self._serving = False
        self._bound_at: datetime | None = None
        self._parked_at: datetime | None = None
        self.ray_address = ""
        self.ray_token = ""

    def application(self) -> web.Application:
        """Return the doors."""
        app = web.Application(client_max_size=_LARGEST_MESSAGE_BYTES)
        app.add_routes(
            [
                web.post("/bind", self._door(Bind, self._bind)),
                web.post("/members", self._door(Members, self._tell)),
                web.post("/drain", self._door(Drain, self._drain)),
                web.post("/park", self._door(Park, self._park)),
                web.post("/statements", self._door(Dispatch, self._dispatch)),
                web.post("/cancel", self._door(Cancel, self._cancel)),
                web.post("/report", self._door(Report, self._report)),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics_text),
            ]
        )
        return app

    def engine_changed(self, warm: bool) -> None:
        """Take note that the engine answers queries, or has died."""
        self._serving = warm
        self._metrics.ready.set(int(warm))
        if warm:
            self._apply(EngineWarm())
        else:
            self._metrics.engine_deaths.inc()

    def _apply(self, event: Event) -> Refuse | None:
        """Feed an event to the state; return the refusal, if it is one."""
        decision = self._decided(event)
        return decision if isinstance(decision, Refuse) else None

    def _decided(self, event: Event) -> Decision:
        self._state, decision = decide(self._state, event)
        self._metrics.held.set(len(self._state.held))
        return decision

    def _refusal(self, refuse: Refuse) -> web.Response:
        self._metrics.refused(refuse.reason)
        log.warning("refused", reason=refuse.reason.value, message=refuse.message)
        return _json(Refusal(reason=refuse.reason, message=refuse.message), _STATUS.get(refuse.reason, _CONFLICT))

    def _door(
        self, model: type[M], handle: Callable[[web.Request, M], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the handler of a signed message."""

        async def door(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            opened = self._gate.open(model, request.path, body, request.headers.get(HEADER), datetime.now(UTC))
            return self._refusal(opened) if isinstance(opened, Refuse) else await handle(request, opened)

        return door

    async def _bind(self, _: web.Request, message: Bind) -> web.StreamResponse:
        before = self._state.epoch
        head = message.head.pod_uid if message.head else None
        decision = self._decided(BindAsked(message.epoch, message.role, head, message.warehouse_uid))
        if isinstance(decision, Refuse):
            return self._refusal(decision)
        if before != message.epoch or self._bound_at is None:
            self._bound_at = datetime.now(UTC)
            structlog.contextvars.bind_contextvars(warehouse=message.warehouse, cluster=message.cluster)
            log.info("bound", warehouse=message.warehouse, cluster=message.cluster, role=message.role)
        if isinstance(decision, Join) and message.head:
            self._joining = asyncio.ensure_future(self._join(message.head))
        if message.head and (failed := await self._not_joined()):
            return failed
        address = message.head.ray_address if message.head else self.ray_address
        token = "" if message.head else self.ray_token
        reply = BindReply(epoch=message.epoch, ray_address=address, ray_token=token, bound_at=self._bound_at)
        return _json(reply)

    async def _not_joined(self) -> web.Response | None:
        """Wait for the one join that all binds share; return the answer when it fails."""
        try:
            if self._joining:
                await asyncio.shield(self._joining)
        except RuntimeFault as error:
            return _json(Refusal(reason=RefusalReason.NOT_READY, message=str(error)), _FAILED)
        return None

    async def _tell(self, _: web.Request, message: Members) -> web.StreamResponse:
        if refuse := self._apply(MembersTold(message.epoch)):
            return self._refusal(refuse)
        self._members.tell(message.members)
        return _json(await self._members.reply(message.known, message.wait_seconds))

    async def _park(self, _: web.Request, message: Park) -> web.StreamResponse:
        was_parked = self._state.phase is Phase.PARKED
        if refuse := self._apply(ParkAsked(message.epoch, message.warehouse_uid)):
            return self._refusal(refuse)
        if not was_parked or self._parked_at is None:
            self._parked_at = datetime.now(UTC)
            self._members.tell(())
            log.info("parked")
        return _json(ParkReply(parked_at=self._parked_at))

    async def _drain(self, _: web.Request, message: Drain) -> web.StreamResponse:
        if refuse := self._apply(DrainAsked(message.epoch)):
            return self._refusal(refuse)
        log.info("draining", statements=len(self._state.held))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(message.wait_seconds), self._released:
                await self._released.wait_for(lambda: self._state.is_empty)
        return _json(DrainReply(drained=self._state.is_empty, statements=len(self._state.held)))

    async def _dispatch(self, request: web.Request, message: Dispatch) -> web.StreamResponse:
        if (earlier := self._deliveries.get(message.statement_id)) is not None:
            await asyncio.wait({earlier}, timeout=_DELIVERY_SECONDS)  # its end may only not have been noticed yet
        if refuse := self._apply(StatementDispatched(message.epoch, message.statement_id, message.attempt)):
            return self._refusal(refuse)
        try:
            response = await self._answer(request, message)
        except BaseException:
            await self._release(message.statement_id)
            raise
        # The connection's next request must not wait for this one's acknowledgement, which a kernel may delay.
        delivery = asyncio.ensure_future(self._deliver(request.transport, message.statement_id))
        self._deliveries[message.statement_id] = delivery
        return response

    async def _deliver(self, transport: asyncio.Transport | None, statement_id: str) -> None:
        """Hold a statement until the peer has its whole answer, or is gone."""
        await delivered(transport)
        del self._deliveries[statement_id]
        await self._release(statement_id)

    async def _release(self, statement_id: str) -> None:
        self._apply(StatementReleased(statement_id))
        async with self._released:
            self._released.notify_all()

    async def _answer(self, request: web.Request, message: Dispatch) -> web.StreamResponse:
        """Stream a statement's frames to their end."""
        began, began_nanoseconds = time.perf_counter(), time.time_ns()
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.firn.frames"})
        try:
            await response.prepare(request)
            ended = await self._coordinator.run(message, response.write)
            await response.write_eof(ended.unsent)
        except (ConnectionError, asyncio.CancelledError):
            self._metrics.hung_up()
            seconds = round(time.perf_counter() - began, 4)
            log.info("client went away", statement=message.statement_id, attempt=message.attempt, seconds=seconds)
            raise
        seconds = time.perf_counter() - began
        self._metrics.ended(ended.outcome, seconds)
        self._tracing.tell(message, ended.outcome, began_nanoseconds, seconds)
        log.info(
            "statement ended",
            statement=message.statement_id,
            attempt=message.attempt,
            error=getattr(ended.outcome, "error", None),
            seconds=round(seconds, 4),
            **ended.outcome.statistics.model_dump(),
        )
        return response

    async def _cancel(self, _: web.Request, message: Cancel) -> web.StreamResponse:
        if refuse := self._apply(MessageArrived(message.epoch)):
            return self._refusal(refuse)
        return _json(CancelReply(held=self._coordinator.cancel(message.statement_id)))

    async def _report(self, _: web.Request, message: Report) -> web.StreamResponse:
        if refuse := self._apply(MessageArrived(message.epoch)):
            return self._refusal(refuse)
        held = tuple(HeldStatement(statement_id=key, attempt=value) for key, value in self._state.held.items())
        return _json(ReportReply(statements=held, draining=self._state.is_final))

    async def _livez(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="alive")

    async def _readyz(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="ready") if self._serving else web.Response(text="starting", status=503)

    async def _metrics_text(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


def _json(message: Message, status: int = 200) -> web.Response:
    return web.Response(body=message.model_dump_json().encode(), content_type="application/json", status=status)
