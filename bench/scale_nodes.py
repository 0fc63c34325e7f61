"""Nodes without containers, as a process of their own: a stand-in kubelet and one server of the agents' protocol.

Each pod gets a loopback address of its own; one server listens on all of them and tells the pods apart by the UID in
each signed message. A boot is a pause and one write of the pod's status; a real kubelet and scheduler write about four
times. What it saw is told on request: `GET /observed` on the control port.
"""

import argparse
import asyncio
import itertools
import random
import resource
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from firn_model import names
from firn_model.frames import FrameType, encode
from firn_model.messages import (
    Bind,
    BindReply,
    Dispatch,
    Drain,
    DrainReply,
    Finish,
    Park,
    ParkReply,
    Refusal,
    RefusalReason,
    Signed,
    Statistics,
)
from firn_model.names import AGENT_PORT
from firn_model.signing import HEADER, BadSignatureError, load_public_text, verify
from firn_operator.errors import ConflictError, NotFoundError
from firn_operator.kube.api import PODS, KubeApi
from scale_machine import collect_seldom
from scale_watch import Raw, Viewer

WRITES_AT_ONCE = 32
ROW = encode(FrameType.ARROW, b"one row") + encode(
    FrameType.FINISH, Finish(statistics=Statistics(rows_produced=1)).model_dump_json().encode()
)


@dataclass(slots=True)
class Agent:
    """One pod's agent and its listening server."""

    address: str
    epoch: str | None = None
    draining: bool = False
    server: asyncio.Server | None = None


@dataclass(slots=True)
class Seen:
    """What the pod watch told, in its order: the server's own."""

    warm: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    ready: set[str] = field(default_factory=set)
    most_warm: int = 0
    most_pods: int = 0
    created: int = 0
    events: int = 0

    def take(self, kind: str, pod: Raw) -> None:
        """Count one event."""
        meta = pod["metadata"]
        uid, state = meta["uid"], (meta.get("labels") or {}).get(names.LABEL_STATE)
        self.events += 1
        self.created += kind == "ADDED"
        gone = kind == "DELETED" or "deletionTimestamp" in meta
        for members, is_in in (
            (self.warm, state == names.STATE_WARM),
            (self.claimed, state == names.STATE_CLAIMED),
            (self.ready, state == names.STATE_WARM and _is_ready(pod)),
        ):
            (members.add if is_in and not gone else members.discard)(uid)
        self.most_warm = max(self.most_warm, len(self.warm))
        self.most_pods = max(self.most_pods, len(self.warm) + len(self.claimed))

    def as_json(self) -> dict[str, int]:
        """Return the counts."""
        sets = {"warm": self.warm, "claimed": self.claimed, "ready": self.ready}
        counts = {name: len(members) for name, members in sets.items()}
        return {
            **counts,
            "most_warm": self.most_warm,
            "most_pods": self.most_pods,
            "created": self.created,
            "events": self.events,
        }


def _is_ready(pod: Raw) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())


class Nodes:
    """The kubelet of all pods, and their agents."""

    def __init__(self, api: KubeApi, viewer: Viewer, boot_seconds: float) -> None:
        self._api = api
        self._viewer = viewer
        self._boot_seconds = boot_seconds
        self._agents: dict[str, Agent] = {}
        self._key: Ed25519PublicKey | None = None
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)
        self._numbers = itertools.count(1)
        self._block = random.SystemRandom().randint(240, 254)
        self._boots: set[asyncio.Task[None]] = set()
        self.seen = Seen()
        application = web.Application()
        application.add_routes(
            [
                web.post("/bind", self._bind),
                web.post("/statements", self._statement),
                web.post("/drain", self._drain),
                web.post("/park", self._park),
                web.get("/livez", self._livez),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)

    async def run(self) -> None:
        """Follow the pods for ever."""
        await self._runner.setup()
        async for kind, pod in self._viewer.follow("/api/v1/*/pods"):
            self.seen.take(kind, pod)
            uid = pod["metadata"]["uid"]
            if kind == "DELETED":
                self._end(uid)
            elif uid not in self._agents:
                self._agents[uid] = Agent(self._next_address())
                boot = asyncio.create_task(self._boot(pod))
                self._boots.add(boot)
                boot.add_done_callback(self._boots.discard)

    def _next_address(self) -> str:
        number = next(self._numbers)
        return f"127.{self._block}.{number // 250}.{number % 250 + 1}"

    def _end(self, uid: str) -> None:
        agent = self._agents.pop(uid, None)
        if agent and agent.server:
            agent.server.close()

    async def _boot(self, pod: Raw) -> None:
        """Listen, and write the pod's status as a kubelet would."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        environment = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
        self._key = self._key or load_public_text(environment["FIRN_PUBLIC_KEY"] or "")
        await asyncio.sleep(self._boot_seconds)
        agent = self._agents.get(uid)
        if agent is None or self._runner.server is None:
            return
        loop = asyncio.get_running_loop()
        agent.server = await loop.create_server(self._runner.server, agent.address, AGENT_PORT, backlog=8)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        status = {
            "phase": "Running",
            "podIP": agent.address,
            "podIPs": [{"ip": agent.address}],
            "startTime": now,
            "conditions": [{"type": t, "status": "True", "lastTransitionTime": now} for t in conditions],
        }
        async with self._writes:
            try:
                await self._api.patch(PODS, name, {"metadata": {"uid": uid}, "status": status}, "status")
            except (NotFoundError, ConflictError):
                self._end(uid)

    async def _verified(self, request: web.Request, kind: type[Signed]) -> tuple[Any, Agent]:
        body = await request.read()
        message = kind.model_validate_json(body)
        agent = self._agents.get(message.pod_uid)
        if agent is None or self._key is None:
            raise web.HTTPForbidden(body=_refusal(RefusalReason.WRONG_POD, "no such pod").body)
        try:
            verify(self._key, request.path, body, request.headers.get(HEADER, ""))
        except BadSignatureError as error:
            raise web.HTTPForbidden(body=_refusal(RefusalReason.BAD_SIGNATURE, str(error)).body) from error
        return message, agent

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _bind(self, request: web.Request) -> web.Response:
        message, agent = await self._verified(request, Bind)
        if agent.epoch not in (None, message.epoch):
            return _refusal(RefusalReason.WRONG_EPOCH, "bound to another")
        agent.epoch = message.epoch
        return _answer(BindReply(epoch=message.epoch, ray_address=f"{agent.address}:6379", bound_at=datetime.now(UTC)))

    async def _statement(self, request: web.Request) -> web.Response:
        message, agent = await self._verified(request, Dispatch)
        if agent.epoch != message.epoch or agent.draining:
            return _refusal(RefusalReason.WRONG_EPOCH, "not bound to this cluster")
        return web.Response(body=ROW)

    async def _drain(self, request: web.Request) -> web.Response:
        message, agent = await self._verified(request, Drain)
        if agent.epoch != message.epoch:
            return _refusal(RefusalReason.NOT_BOUND, "not bound to this cluster")
        agent.draining = True
        return _answer(DrainReply(drained=True, statements=0))

    async def _park(self, request: web.Request) -> web.Response:
        _, agent = await self._verified(request, Park)
        agent.epoch, agent.draining = None, False
        return _answer(ParkReply(parked_at=datetime.now(UTC)))


def _answer(message: Any) -> web.Response:
    return web.Response(body=message.model_dump_json(), content_type="application/json")


def _refusal(reason: RefusalReason, message: str) -> web.Response:
    body = Refusal(reason=reason, message=message).model_dump_json()
    return web.Response(status=409, body=body, content_type="application/json")


async def serve(namespace: str, port: int, boot_seconds: float) -> None:
    """Run until ended."""
    api, viewer = await KubeApi.connect(namespace), await Viewer.connect(namespace)
    nodes = Nodes(api, viewer, boot_seconds)

    async def observed(request: web.Request) -> web.Response:
        return web.json_response(nodes.seen.as_json())

    application = web.Application()
    application.add_routes([web.get("/observed", observed)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await nodes.run()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--boot-seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    collect_seldom()
    uvloop.run(serve(arguments.namespace, arguments.port, arguments.boot_seconds))


if __name__ == "__main__":
    main()
