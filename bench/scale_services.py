"""The services' part in `make bench-scale`: they report that statements wait, see endpoints, and dispatch.

A stand-in: one edge, one dispatch and one row a warehouse, with the writes and the watch that the services use.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model import names
from firn_model.frames import FrameReader
from firn_model.messages import Dispatch
from firn_model.signing import HEADER, sign
from firn_operator.errors import ApiError, UnavailableError
from firn_operator.kube.api import CLUSTERS, LEASES, WAREHOUSES, KubeApi
from scale_watch import Raw, Viewer

REPORTER = "firn-services-0"
APPLY = "application/apply-patch+yaml"
CREATES_AT_ONCE = 24
LEASE_SECONDS = 36_000


@dataclass(slots=True)
class Resume:
    """One warehouse's resume, by the monotonic clock, and the operator's steps of it."""

    warehouse: str
    asked_at: float = 0.0
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))
    written_at: float = 0.0
    endpoint_at: float = 0.0
    row_at: float = 0.0
    steps: tuple[tuple[str, datetime], ...] = ()
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    cluster: Raw = field(default_factory=dict)


class Services:
    """Reports loads and dispatches, as the services do."""

    def __init__(self, api: KubeApi, viewer: Viewer, key: Ed25519PrivateKey) -> None:
        self._api = api
        self._viewer = viewer
        self._key = key
        self._resumes: dict[str, Resume] = {}
        self.phases: dict[str, str] = {}
        self._agents = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=False)

    async def close(self) -> None:
        """Close the connections to agents."""
        await self._agents.close()

    async def collect_garbage(self) -> None:
        """Have the API server collect its garbage, and wait until it has."""
        await self._viewer.read("/debug/pprof/heap?gc=1")

    async def follow_clusters(self) -> None:
        """See endpoints, for ever."""
        async for kind, raw in self._viewer.follow(f"/apis/{names.API_VERSION}/*/{CLUSTERS}"):
            resume = self._resumes.get(raw["spec"]["warehouse"])
            if kind == "DELETED" or resume is None or resume.seen.is_set():
                continue
            if raw.get("status", {}).get("endpoint"):
                resume.endpoint_at, resume.cluster = time.monotonic(), raw
                resume.seen.set()

    async def follow_warehouses(self) -> None:
        """See phases, for ever."""
        async for _, raw in self._viewer.follow(f"/apis/{names.API_VERSION}/*/{WAREHOUSES}"):
            self.phases[raw["metadata"]["name"]] = raw.get("status", {}).get("phase", "")

    async def hold_lease(self) -> None:
        """Say that these services live."""
        spec = {"holderIdentity": REPORTER, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": _stamp()}
        metadata = {"name": names.LEASE_SERVICES}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        await self._api.create(LEASES, lease)

    async def create_warehouses(self, count: int, prefix: str, **spec: Any) -> list[str]:
        """Create suspended warehouses and return their names."""
        created = [f"{prefix}-{i:05}" for i in range(count)]

        def manifest(name: str) -> Raw:
            body = {"name": name.upper(), "autoSuspendSeconds": 0, **spec}
            return {
                "apiVersion": names.API_VERSION,
                "kind": "VirtualWarehouse",
                "metadata": {"name": name},
                "spec": body,
            }

        await many([functools.partial(self._api.create, WAREHOUSES, manifest(n)) for n in created])
        return created

    async def resume(self, warehouse: str) -> Resume:
        """Report a waiting statement, and dispatch it when the endpoint is seen; return the times of all."""
        resume = self._resumes[warehouse] = Resume(warehouse, time.monotonic())
        await self._report(warehouse, queued=1)
        resume.written_at = time.monotonic()
        await resume.seen.wait()
        await self._dispatch(resume)
        resume.row_at = time.monotonic()
        steps = resume.cluster["status"].get("steps") or ()
        resume.steps = tuple((s["step"], datetime.fromisoformat(s["at"])) for s in steps)
        return resume

    async def _report(self, warehouse: str, queued: int) -> None:
        load = {"queued": queued, "running": 0, "queuedSince": _stamp(), "observedAt": _stamp(), "reporter": REPORTER}
        body = {
            "apiVersion": names.API_VERSION,
            "kind": "VirtualWarehouse",
            "metadata": {"name": warehouse},
            "status": {"load": load},
        }
        query = f"fieldManager={names.FIELD_MANAGER_SERVICES}&force=true"
        path = f"/apis/{names.API_VERSION}/namespaces/{self._api.namespace}/{WAREHOUSES}/{warehouse}/status?{query}"
        is_told = False
        while not is_told:  # one that had no answer is made again, as the services do
            with contextlib.suppress(UnavailableError):
                await self._api.request("PATCH", path, body, APPLY)
                is_told = True

    async def _dispatch(self, resume: Resume) -> None:
        """Send the statement and wait for its row. Raises SystemExit when the head refuses it."""
        meta, status = resume.cluster["metadata"], resume.cluster["status"]
        message = Dispatch(
            pod_uid=status["headUid"],
            epoch=meta["uid"],
            expires_at=datetime.now(UTC) + timedelta(seconds=60),
            statement_id=resume.warehouse,
            attempt=1,
            sql="SELECT 1",
        )
        body = message.model_dump_json().encode()
        headers = {HEADER: sign(self._key, "/statements", body), "Content-Type": "application/json"}
        async with self._agents.post(status["endpoint"] + "/statements", data=body, headers=headers) as answer:
            data = await answer.read()
            if answer.status != 200 or not FrameReader().feed(data):
                raise SystemExit(f"{resume.warehouse}: {answer.status} {data[:300]!r}")


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def many(calls: list[Callable[[], Awaitable[Any]]]) -> None:
    """Make calls, a bounded number at once."""
    bound = asyncio.Semaphore(CREATES_AT_ONCE)

    async def one(call: Callable[[], Awaitable[Any]]) -> None:
        async with bound:
            try:
                await call()
            except ApiError as error:
                raise SystemExit(f"the API server refused: {error}") from error

    await asyncio.gather(*(one(c) for c in calls))
