"""Running services for tests: the real application on a real port, a fake API server and fake heads."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model import names, signing
from firn_services.config import Settings
from firn_services.doors.app import make_app
from firn_services.kube.api import CLUSTERS, WAREHOUSES
from firn_services.services import Services

from tests.runtime.conftest import Node
from tests.services.fake_head import FakeHead
from tests.services.fake_kube import FakeKube

Raw = dict[str, Any]
START_SECONDS = 30
LOOK_EVERY_SECONDS = 0.005


class TestAccount:
    """The services of one account, with a logged-in client."""

    __test__ = False

    def __init__(self, settings: Settings, key: Ed25519PrivateKey, kube: FakeKube | None = None) -> None:
        self.settings = settings
        self.key = key
        self.kube = kube or FakeKube()
        self.services: Services
        self.http: aiohttp.ClientSession
        self.url = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "TestAccount":
        self.services = await asyncio.to_thread(Services.assemble, self.settings, self.kube)  # type: ignore[arg-type]
        config = uvicorn.Config(make_app(self.services), port=0, log_config=None, access_log=False, loop="none")
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        await self._until(self._is_started)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.http = await self._stack.enter_async_context(aiohttp.ClientSession(self.url))
        await self._until(self._is_ready)
        token = (await self.call("POST", "/login", {"user": "admin", "password": "winter"}))["token"]
        self.http.headers["Authorization"] = f"Bearer {token}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.close()
        self._server.should_exit = True
        await self._serving
        await self._stack.aclose()

    async def _is_started(self) -> bool:
        return self._server.started

    async def _is_ready(self) -> bool:
        async with self.http.get("/readyz") as answer:
            return answer.status == 200

    async def _until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Look until something outside this test's reach holds."""
        async with asyncio.timeout(START_SECONDS):
            while not await holds():
                await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def call(self, method: str, path: str, body: Raw | None = None, status: int = 200) -> Raw:
        """Return the JSON answer of a call, which must have this status."""
        async with self.http.request(method, f"/api/v1{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status == status, text
            found: Raw = await answer.json()
            return found

    async def submit(self, sql: str, wait: float = 20, **more: Any) -> Raw:
        """Return the reply to a statement on warehouse W."""
        body = {"sql": sql, "warehouse": "W", "wait_seconds": wait, **more}
        return await self.call("POST", "/statements", body)

    async def head(self, uid: str = "pod-1", epoch: str = "epoch-1") -> FakeHead:
        """Start a head that lives as long as the account."""
        head = FakeHead(signing.public_text(self.key), uid, epoch)
        return await self._stack.enter_async_context(head)

    async def warehouse(self, name: str = "w", **spec: Any) -> Raw:
        """Create a warehouse as kubectl would."""
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": "VirtualWarehouse",
            "metadata": {"name": name},
            "spec": spec,
        }
        return await self.kube.create(WAREHOUSES, manifest)

    async def cluster(self, head: FakeHead, warehouse: str = "w", index: int = 1) -> str:
        """Create a running cluster with this head, as the operator would; return its name."""
        name = f"{warehouse}-{index}"
        manifest = {
            "metadata": {"name": name},
            "spec": {"warehouse": warehouse, "index": index},
            "status": {"phase": "Running", "endpoint": head.url, "head": "pod", "headUid": head.uid},
        }
        made = await self.kube.create(CLUSTERS, manifest)
        head.epoch = made["metadata"]["uid"]
        return name

    async def real_cluster(self, node: Node) -> None:
        """Create a running cluster of warehouse W whose head is a real node, and bind the node to it."""
        status = {"phase": "Running", "endpoint": node.url, "head": "pod", "headUid": node.pod_uid}
        spec = {"warehouse": "w", "index": 1}
        made = await self.kube.create(CLUSTERS, {"metadata": {"name": "w-1"}, "spec": spec, "status": status})
        await node.bind(made["metadata"]["uid"])

    async def seen(self, path: str, wanted: Any) -> Raw:
        """Wait until a GET's answer is as wanted and return it."""
        found: Raw = {}

        async def holds() -> bool:
            nonlocal found
            found = await self.call("GET", path)
            return bool(wanted(found))

        await self._until(holds)
        return found
