"""Nodes without containers: what a kubelet and a node's agent do, as far as the operator sees it.

Each pod gets a loopback address of its own and there a small agent that speaks the real protocol with real signatures.
"""

import asyncio
import contextlib
import itertools
import random
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from firn_model.messages import (
    Bind,
    BindReply,
    Drain,
    DrainReply,
    Members,
    MembersReply,
    Park,
    ParkReply,
    Refusal,
    RefusalReason,
)
from firn_model.names import AGENT_PORT
from firn_model.signing import HEADER, BadSignatureError, load_public_text, verify
from firn_operator.errors import ApiError
from firn_operator.kube.api import NODE_SELECTOR, PODS, KubeApi

_numbers = itertools.count(1)
_block = random.SystemRandom().randint(1, 250)


def _next_address() -> str:
    number = next(_numbers)
    return f"127.{_block}.{number // 250}.{number % 250 + 1}"


@dataclass
class FakeAgent:
    """One node's agent."""

    uid: str
    key: Ed25519PublicKey
    address: str = field(default_factory=_next_address)
    epoch: str | None = None
    held: int = 0
    draining: bool = False
    binds: list[str] = field(default_factory=list)
    refuse_bind: RefusalReason | None = None
    peers: dict[str, "FakeAgent"] = field(default_factory=dict)
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    role: str = ""
    parked_for: str | None = None
    """UID of the warehouse whose next epoch it waits for."""
    refuse_park: bool = False
    head_uid: str | None = None
    members: list[tuple[str, ...]] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)
    busy: set[str] = field(default_factory=set)
    joins: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    runner: web.AppRunner | None = None
    listening: asyncio.Future[None] | None = None

    async def start(self) -> None:
        application = web.Application()
        application.add_routes(
            [
                web.post("/bind", self._bind),
                web.post("/members", self._members),
                web.post("/drain", self._drain),
                web.post("/park", self._park),
                web.get("/livez", self._livez),
            ]
        )
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
        await self.runner.setup()
        self.listening = asyncio.ensure_future(web.TCPSite(self.runner, self.address, AGENT_PORT).start())
        await asyncio.shield(self.listening)  # interrupted in its midst it would leave its socket open

    async def stop(self) -> None:
        if self.listening:
            await self.listening
        if self.runner:
            await self.runner.cleanup()
            self.runner = None

    def finish(self) -> None:
        """Have the statements that it holds end."""
        self.held = 0
        self.changed.set()

    def work_on(self, *uids: str) -> None:
        """Have a statement hold these nodes, and no others."""
        self.busy = set(uids)
        self.changed.set()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _bind(self, request: web.Request) -> web.Response:
        body = await self._verified(request)
        message = Bind.model_validate_json(body)
        if self.refuse_bind:
            return _refusal(self.refuse_bind)
        if message.pod_uid != self.uid:
            return _refusal(RefusalReason.WRONG_POD)
        if self.epoch not in (None, message.epoch) and self.parked_for != message.warehouse_uid:
            return _refusal(RefusalReason.WRONG_EPOCH)
        if self.epoch == message.epoch and self.draining:
            return _refusal(RefusalReason.DRAINING)
        if message.head:
            await self.joins.wait()
            head = self.peers.get(message.head.pod_uid)
            if head is None or head.token != message.head.ray_token:
                return _refusal(RefusalReason.NOT_READY)
            self.head_uid = head.uid
            head.joined.add(self.uid)
            head.changed.set()
        self.epoch, self.role = message.epoch, message.role
        self.parked_for, self.draining = None, False
        self.binds.append(message.epoch)
        reply = BindReply(
            epoch=message.epoch, ray_address=f"{self.address}:6379", ray_token=self.token, bound_at=datetime.now(UTC)
        )
        return web.Response(body=reply.model_dump_json(), content_type="application/json")

    async def _members(self, request: web.Request) -> web.Response:
        message = Members.model_validate_json(await self._verified(request))
        if self.epoch != message.epoch:
            return _refusal(RefusalReason.NOT_BOUND if self.epoch is None else RefusalReason.WRONG_EPOCH)
        self.members.append(tuple(m.pod_uid for m in message.members))
        try:
            async with asyncio.timeout(message.wait_seconds):
                while (reply := self._reply(message)) == message.known:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass
        return web.Response(body=reply.model_dump_json(), content_type="application/json")

    def _reply(self, message: Members) -> MembersReply:
        there = {uid for uid in self.joined if uid in self.peers}
        joined = sorted(there & {m.pod_uid for m in message.members})
        return MembersReply(joined=tuple(joined), busy=tuple(sorted(self.busy & there)))

    async def _drain(self, request: web.Request) -> web.Response:
        message = Drain.model_validate_json(await self._verified(request))
        if self.epoch != message.epoch:
            return _refusal(RefusalReason.NOT_BOUND if self.epoch is None else RefusalReason.WRONG_EPOCH)
        self.draining = True
        try:
            async with asyncio.timeout(message.wait_seconds):
                while self.held:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            pass
        reply = DrainReply(drained=self.held == 0, statements=self.held)
        return web.Response(body=reply.model_dump_json(), content_type="application/json")

    async def _park(self, request: web.Request) -> web.Response:
        message = Park.model_validate_json(await self._verified(request))
        if self.epoch != message.epoch or not self.draining or self.held or self.refuse_park:
            return _refusal(RefusalReason.BUSY)
        self.parked_for = message.warehouse_uid
        reply = ParkReply(parked_at=datetime.now(UTC))
        return web.Response(body=reply.model_dump_json(), content_type="application/json")

    async def _verified(self, request: web.Request) -> bytes:
        body = await request.read()
        try:
            verify(self.key, request.path, body, request.headers.get(HEADER, ""))
        except BadSignatureError as error:
            raise web.HTTPForbidden(
                text=Refusal(reason=RefusalReason.BAD_SIGNATURE, message=str(error)).model_dump_json()
            ) from error
        return body


def _refusal(reason: RefusalReason) -> web.Response:
    body = Refusal(reason=reason, message="refused by the test").model_dump_json()
    return web.Response(status=409, body=body, content_type="application/json")


class FakeNodes:
    """The kubelet of all pods of a namespace: boots those that are allowed to, and ends those that were deleted."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self.agents: dict[str, FakeAgent] = {}
        self.trouble: dict[str, Any] | None = None
        self.boots: list[str] = []
        self.refuse_bind: RefusalReason | None = None
        self.joins = asyncio.Event()
        self.joins.set()

    async def run(self) -> None:
        """Look at the pods again and again."""
        while True:
            with contextlib.suppress(ApiError):
                await self._look()
            await asyncio.sleep(0.05)

    async def _look(self) -> None:
        pods = (await self._api.list_all(PODS, NODE_SELECTOR))["items"]
        present = {p["metadata"]["uid"] for p in pods}
        for uid in [u for u in self.agents if u not in present]:
            await self._end(uid)
        for pod in pods:
            if pod["metadata"]["uid"] not in self.agents and pod["status"].get("phase") == "Pending":
                await self._boot(pod)

    async def _end(self, uid: str) -> None:
        """Stop an agent; the others notice."""
        agent = self.agents.pop(uid, None)
        if agent:
            await agent.stop()
        for other in self.agents.values():
            other.changed.set()

    async def _boot(self, pod: dict[str, Any]) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if self.trouble is not None:
            if pod["status"].get("conditions") != self.trouble.get("conditions"):
                await self._api.patch(PODS, name, {"status": self.trouble}, "status")
            return
        environment = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
        key = load_public_text(environment["FIRN_PUBLIC_KEY"] or "")
        agent = FakeAgent(uid, key, refuse_bind=self.refuse_bind, peers=self.agents, joins=self.joins)
        self.agents[uid] = agent  # first, so that what is interrupted here is stopped at the end
        await agent.start()
        self.boots.append(name)
        await self.set_ready(name, True, agent.address)

    async def set_ready(self, name: str, ready: bool, address: str) -> None:
        """Write a pod's status as a kubelet would."""
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        await self._api.patch(PODS, name, {"status": status}, "status")

    async def fail(self, name: str) -> None:
        """Have a pod's process end."""
        pod = await self._api.get(PODS, name)
        await self._end(pod["metadata"]["uid"])
        ended = {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}
        await self._api.patch(PODS, name, {"status": ended}, "status")

    async def stop(self) -> None:
        """Stop all agents."""
        for agent in self.agents.values():
            await agent.stop()
