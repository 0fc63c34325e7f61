"""The services' side of Kubernetes against a real API server with Firn's resources."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from firn_local.control_plane import ControlPlane
from firn_model import names
from firn_services.decide.load import Load
from firn_services.errors import MalformedError
from firn_services.kube.api import LEASES, WAREHOUSES, KubeApi, KubeError, Raw
from firn_services.kube.lease import ServicesLease
from firn_services.kube.warehouses import WarehouseWriter
from firn_services.kube.watch import Follower

pytestmark = pytest.mark.component
CRDS = Path(__file__).resolve().parents[2] / "crds"
LOOK_EVERY_SECONDS = 0.05
_namespaces = itertools.count(1)


@pytest.fixture
async def api(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubeApi]:
    """Return a namespace of its own."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    made = await KubeApi.connect(f"services-{os.getpid()}-{next(_namespaces)}")
    await made._call("POST", "/api/v1/namespaces", {"metadata": {"name": made.namespace}})
    for file in sorted(CRDS.glob("*.yaml")):
        manifest = yaml.safe_load(file.read_text())
        with suppress(KubeError):  # another test has made it
            await made._call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", manifest)
    async with asyncio.timeout(30):
        while not await _is_served(made):
            await asyncio.sleep(LOOK_EVERY_SECONDS)
    yield made
    await made.close()


async def _is_served(api: KubeApi) -> bool:
    try:
        await api.list_all(WAREHOUSES)
    except KubeError:
        return False
    return True


async def test_a_load_is_applied_without_touching_what_the_operator_owns(api: KubeApi) -> None:
    writer = WarehouseWriter(api, "firn-services-0")
    await writer.create("SALES", {"size": "XS"})
    await api._call(
        "PATCH",
        f"/apis/{names.API_VERSION}/namespaces/{api.namespace}/{WAREHOUSES}/sales/status",
        {"status": {"phase": "Running"}},
        "application/merge-patch+json",
    )
    now = datetime.now(UTC)
    await writer.write_load("sales", Load(queued=1, queued_since=now), now)
    status = (await api.get(WAREHOUSES, "sales"))["status"]
    assert (status["phase"], status["load"]["queued"], status["load"]["reporter"]) == ("Running", 1, "firn-services-0")
    await writer.write_load("sales", Load(idle_since=now), now)
    load = (await api.get(WAREHOUSES, "sales"))["status"]["load"]
    assert "queuedSince" not in load
    assert load["queued"] == 0


async def test_a_refused_warehouse_is_told_in_the_api_servers_words(api: KubeApi) -> None:
    with pytest.raises(MalformedError, match="minClusterCount must be at most"):
        await WarehouseWriter(api, "me").create("W", {"minClusterCount": 3, "maxClusterCount": 2})


async def test_wishes_are_annotations(api: KubeApi) -> None:
    writer = WarehouseWriter(api, "me")
    await writer.create("W", {})
    await writer.request_suspend("w", datetime(2026, 11, 21, 7, 0, tzinfo=UTC))
    annotations = (await writer.request_resume("w", datetime(2026, 11, 21, 7, 1, tzinfo=UTC)))["metadata"][
        "annotations"
    ]
    assert annotations == {
        names.ANNOTATION_SUSPEND_REQUESTED_AT: "2026-11-21T07:00:00.000000Z",
        names.ANNOTATION_RESUME_REQUESTED_AT: "2026-11-21T07:01:00.000000Z",
    }


async def test_a_follower_tells_of_what_is_there_and_of_each_change(api: KubeApi) -> None:
    writer = WarehouseWriter(api, "me")
    await writer.create("FIRST", {})
    told: asyncio.Queue[tuple[str, Raw | None]] = asyncio.Queue()
    follower = Follower(api, WAREHOUSES, lambda name, item: told.put_nowait((name, item)))
    following = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(20):
            assert (await told.get())[0] == "first"
            second = await writer.create("SECOND", {})
            assert (await told.get())[0] == "second"
            await writer.set("second", {"comment": "new"})
            name, item = await told.get()
            assert item is not None
            assert (name, item["spec"]["comment"]) == ("second", "new")
            await writer.delete("second", second["metadata"]["uid"])
            assert await told.get() == ("second", None)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_the_lease_is_taken_renewed_and_taken_over(api: KubeApi) -> None:
    assert await ServicesLease(api, "old", 15).renew()
    assert await ServicesLease(api, "old", 15).renew()
    assert await ServicesLease(api, "new", 15).renew()
    lease = await api.get(LEASES, names.LEASE_SERVICES)
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseDurationSeconds"]) == ("new", 15)
