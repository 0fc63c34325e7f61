"""A real API server with Firn's resources, and an account in it with fake nodes and the real operator."""

import asyncio
import contextlib
import functools
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_local.control_plane import ControlPlane
from firn_model import names
from firn_operator.agents import Agents, agent_session
from firn_operator.build.cluster import stamp
from firn_operator.config import Settings
from firn_operator.errors import ConflictError, NotFoundError, UnavailableError
from firn_operator.kube.api import CLUSTERS, LEASES, MONITORS, NODE_SELECTOR, PODS, POOLS, WAREHOUSES, KubeApi
from firn_operator.life import Operator

from tests.operator.fake_nodes import FakeAgent, FakeNodes

Raw = dict[str, Any]
PATIENCE_SECONDS = 15.0
LOOK_EVERY_SECONDS = 0.01
REPORTER = "firn-services-0"
CRDS = Path(__file__).resolve().parents[2] / "crds"
_namespaces = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """Run an API server with the CRDs; KUBECONFIG points to it."""
    with ControlPlane() as plane:
        before = os.environ.get("KUBECONFIG")
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        asyncio.run(_install_crds())
        yield plane
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before


async def _install_crds() -> None:
    api = await KubeApi.connect("default")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    try:
        for file in sorted(CRDS.glob("*.yaml")):
            await api.request("POST", path, yaml.safe_load(file.read_text()))
        for resource in (WAREHOUSES, CLUSTERS, POOLS, MONITORS):
            await eventually(functools.partial(_served, api, resource))
    finally:
        await api.close()


async def _served(api: KubeApi, resource: str) -> bool:
    try:
        await api.list_all(resource)
    except (NotFoundError, UnavailableError):
        return False
    return True


async def eventually(look: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what `look` returns once that is true."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                last = await look()
                if last:
                    return last
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {look} (last: {last!r})") from None


@dataclass
class Account:
    """One namespace: what users, services and machines do in it."""

    api: KubeApi
    nodes: FakeNodes
    key: Ed25519PrivateKey
    operators: list["RunningOperator"] = field(default_factory=list)
    storing: asyncio.Event = field(default_factory=asyncio.Event)
    stored: dict[str, Raw] = field(default_factory=dict)

    async def add_pool(self, name: str = "default", **spec: Any) -> None:
        refill = {"delaySeconds": 0.2, "maxBooting": 2}
        body = {"image": "firn-node:test", "warm": {"min": 2, "max": 4}, "refill": refill, **spec}
        await self.api.create(POOLS, _object("WarehousePool", name, body))

    async def add_warehouse(self, name: str, **spec: Any) -> None:
        await self.api.create(WAREHOUSES, _object("VirtualWarehouse", name, spec))

    async def add_monitor(self, name: str, **spec: Any) -> None:
        await self.api.create(MONITORS, _object("ResourceMonitor", name, spec))

    async def report(
        self, name: str, queued: int = 0, running: int = 0, idle_since: datetime | None = None, burst: int = 0
    ) -> None:
        """Report a load as the services do; `burst`: nodes that the first cluster's statements ask for."""
        now = datetime.now(UTC)
        load: Raw = {"queued": queued, "running": running, "observedAt": stamp(now), "reporter": REPORTER}
        asked = {"cluster": f"{name}-1", "nodes": burst, "expiresAt": stamp(now + timedelta(seconds=60))}
        load["burst"] = [asked] if burst else []
        load["idleSince"] = None if queued or running else stamp(idle_since or now)
        await self.api.patch(WAREHOUSES, name, {"status": {"load": load}}, "status")

    async def annotate(self, name: str, annotation: str) -> None:
        patch = {"metadata": {"annotations": {annotation: stamp(datetime.now(UTC))}}}
        await self.api.patch(WAREHOUSES, name, patch)

    async def renew_services(self, seconds: int = 3600) -> None:
        spec = {"holderIdentity": REPORTER, "leaseDurationSeconds": seconds, "renewTime": stamp(datetime.now(UTC))}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": names.LEASE_SERVICES},
            "spec": spec,
        }
        try:
            await self.api.create(LEASES, lease)
        except ConflictError:
            await self.api.patch(LEASES, names.LEASE_SERVICES, {"spec": spec})

    async def get(self, resource: str, name: str) -> Raw | None:
        try:
            return await self.api.get(resource, name)
        except NotFoundError:
            return None

    async def clusters(self) -> list[Raw]:
        """Return the clusters that the operator has not let go."""
        items = (await self.api.list_all(CLUSTERS))["items"]
        return [c for c in items if not _is_released(c)]

    async def store_metering(self) -> None:
        """Store the intervals of released clusters and let these go, again and again, as the services do."""
        while True:
            await self.storing.wait()
            with contextlib.suppress(ConflictError, NotFoundError, UnavailableError):
                for cluster in filter(_is_released, (await self.api.list_all(CLUSTERS))["items"]):
                    meta, metering = cluster["metadata"], cluster["status"].get("metering", [])
                    assert all("endedAt" in i for i in metering), cluster
                    self.stored |= {i["id"]: i for i in metering}
                    patch = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": None}
                    await self.api.patch(CLUSTERS, meta["name"], {"metadata": patch})
            await asyncio.sleep(0.02)

    async def pods(self) -> list[Raw]:
        return list((await self.api.list_all(PODS, NODE_SELECTOR))["items"])

    async def pool_ready(self, ready: int, name: str = "default") -> None:
        async def look() -> bool:
            pool = await self.get(POOLS, name)
            return bool(pool) and (pool or {}).get("status", {}).get("ready") == ready

        await eventually(look)

    async def phase(self, name: str, phase: str) -> Raw:
        async def look() -> Raw | None:
            raw = await self.get(WAREHOUSES, name)
            return raw if raw and raw.get("status", {}).get("phase") == phase else None

        return dict(await eventually(look))

    async def cluster_phase(self, name: str, phase: str) -> Raw:
        async def look() -> Raw | None:
            raw = await self.get(CLUSTERS, name)
            return raw if raw and raw.get("status", {}).get("phase") == phase else None

        return dict(await eventually(look))

    async def gone(self, resource: str, name: str) -> None:
        async def look() -> bool:
            return await self.get(resource, name) is None

        await eventually(look)

    async def head_of(self, cluster: str) -> tuple[Raw, FakeAgent]:
        raw = await self.cluster_phase(cluster, "Running")
        pod = await self.api.get(PODS, raw["status"]["head"])
        return pod, self.nodes.agents[pod["metadata"]["uid"]]

    async def start_operator(self, pod: str = "operator-1", **settings: Any) -> "RunningOperator":
        operator = RunningOperator(self, pod, settings)
        await operator.start()
        self.operators.append(operator)
        return operator


@dataclass
class RunningOperator:
    """The real operator in this process."""

    account: Account
    pod: str
    settings: Raw
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    operator: Operator | None = None

    def settings_of(self) -> Settings:
        namespace = self.account.api.namespace
        fixed = {"namespace": namespace, "pod_name": self.pod, "health_host": "127.0.0.1", "health_port": 0}
        return Settings(**{**fixed, **self.settings})

    async def start(self) -> None:
        self.task = asyncio.create_task(self._run(self.settings_of()))

    async def _run(self, settings: Settings) -> None:
        async with contextlib.AsyncExitStack() as stack:
            api = await KubeApi.connect(settings.namespace)
            stack.push_async_callback(api.close)
            session = await stack.enter_async_context(agent_session())
            self.operator = Operator(settings, api, Agents(self.account.key, session))
            await self.operator.run(self.stop_asked)

    async def stop(self) -> None:
        """End it gracefully."""
        self.stop_asked.set()
        if self.task:
            await self.task
            self.task = None

    async def kill(self) -> None:
        """End it in the midst of what it does, the Lease still held."""
        if self.operator and self.task:
            self.operator.forsake_lease()
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None


def _is_released(cluster: Raw) -> bool:
    return cluster["metadata"].get("finalizers") == [names.FINALIZER_METERING]


def _object(kind: str, name: str, spec: Raw) -> Raw:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.fixture
async def account(control_plane: ControlPlane) -> AsyncIterator[Account]:
    """Give an empty account whose services are alive."""
    name = f"account-{next(_namespaces)}"
    api = await KubeApi.connect(name)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await api.request("POST", "/api/v1/namespaces", namespace)
    nodes = FakeNodes(api)
    kubelet = asyncio.create_task(nodes.run())
    account = Account(api, nodes, Ed25519PrivateKey.generate())
    await account.renew_services()
    account.storing.set()
    services = asyncio.create_task(account.store_metering())
    yield account
    for operator in account.operators:
        await operator.stop()
    if services.done():
        services.result()
    kubelet.cancel()
    services.cancel()
    await asyncio.gather(kubelet, services, return_exceptions=True)
    await nodes.stop()
    await api.close()
