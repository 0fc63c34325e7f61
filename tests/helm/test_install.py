"""The chart on a real API server: accepted, the same secrets after an upgrade, Roles that are enough, nothing left."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from firn_local.control_plane import ControlPlane
from firn_model import names
from firn_operator.config import Settings
from firn_operator.kube.api import KubeApi
from firn_operator.uninstall import uninstall
from kubernetes import client, config
from kubernetes.aio import config as aio_config

from tests.helm.conftest import CHART, Helm, Render

pytestmark = pytest.mark.component

NAMESPACE = "chart"
GENERATED = ("firn-signing", "firn-admin", "firn-object-store")
WAREHOUSES = (names.GROUP, names.VERSION, NAMESPACE, "virtualwarehouses")
CLUSTERS = (names.GROUP, names.VERSION, NAMESPACE, "warehouseclusters")
POOLS = (names.GROUP, names.VERSION, NAMESPACE, "warehousepools")
APPLY = {"field_manager": names.FIELD_MANAGER_SERVICES, "force": True, "_content_type": "application/apply-patch+yaml"}
Act = Callable[[client.ApiClient], object]


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the chart in its namespace."""

    helm: Helm
    kubeconfig: Path
    api: client.ApiClient

    def run(self, *arguments: str) -> str:
        done = self.helm(*arguments, "--namespace", NAMESPACE, kubeconfig=self.kubeconfig)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def secrets(self) -> dict[str, Any]:
        core = client.CoreV1Api(self.api)
        return {name: core.read_namespaced_secret(name, NAMESPACE).data for name in GENERATED}


@pytest.fixture(scope="module")
def release(helm: Helm, control_plane: ControlPlane) -> Iterator[Release]:
    with config.new_client_from_config(str(control_plane.kubeconfig)) as api:
        installed = Release(helm, control_plane.kubeconfig, api)
        installed.run("install", "firn", str(CHART), "--create-namespace")
        yield installed


@pytest.fixture(scope="module")
def account(control_plane: ControlPlane) -> Iterator[Callable[[str], client.ApiClient]]:
    """Return what connects as one of the chart's service accounts."""
    connected: list[client.ApiClient] = []

    def connect(name: str) -> client.ApiClient:
        user = f"system:serviceaccount:{NAMESPACE}:{name}"
        connected.append(
            config.new_client_from_config(str(control_plane.kubeconfig_for(user, "system:serviceaccounts")))
        )
        return connected[-1]

    yield connect
    for api in connected:
        api.close()


def load(queued: int) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "VirtualWarehouse",
        "metadata": {"name": "demo"},
        "status": {"load": {"queued": queued, "observedAt": "2026-01-01T00:00:00Z", "reporter": "services-1"}},
    }


def lease(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"holderIdentity": "me"}}


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "node", "image": "x"}]}}


def node(name: str) -> dict[str, Any]:
    manifest = pod(name)
    labels = {names.LABEL_PART_OF: names.PART_OF, names.LABEL_COMPONENT: names.COMPONENT_NODE}
    return {**manifest, "metadata": {"name": name, "labels": labels}}


def cluster(name: str) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "WarehouseCluster",
        "metadata": {"name": name, "finalizers": [names.FINALIZER_CLUSTER]},
        "spec": {"warehouse": "demo", "index": 1},
    }


def refused(act: Act, api: client.ApiClient) -> None:
    with pytest.raises(client.ApiException) as error:
        act(api)
    assert error.value.status == 403


def test_an_upgrade_keeps_what_was_generated(release: Release) -> None:
    before = release.secrets()
    release.run("upgrade", "firn", str(CHART), "--set", "services.persistence.size=10Gi")
    assert release.secrets() == before


def test_the_services_account_does_the_services_work(
    release: Release, account: Callable[[str], client.ApiClient]
) -> None:
    api = account("firn-services")
    objects, leases = client.CustomObjectsApi(api), client.CoordinationV1Api(api)
    body = {"apiVersion": names.API_VERSION, "kind": "VirtualWarehouse", "metadata": {"name": "demo"}}
    objects.create_namespaced_custom_object(*WAREHOUSES, body)
    objects.patch_namespaced_custom_object_status(*WAREHOUSES, "demo", load(1), **APPLY)
    made = objects.get_namespaced_custom_object(*WAREHOUSES, "demo")
    assert made["status"]["load"]["queued"] == 1
    suspend = {"metadata": {"annotations": {names.ANNOTATION_SUSPEND_REQUESTED_AT: "2026-01-01T00:00:00Z"}}}
    objects.patch_namespaced_custom_object(*WAREHOUSES, "demo", suspend)
    objects.delete_namespaced_custom_object(*WAREHOUSES, "demo")
    assert objects.list_namespaced_custom_object(*CLUSTERS)["items"] == []
    mine = leases.create_namespaced_lease(NAMESPACE, lease(names.LEASE_SERVICES))
    leases.replace_namespaced_lease(names.LEASE_SERVICES, NAMESPACE, mine)


def test_the_services_account_can_do_nothing_else(release: Release, account: Callable[[str], client.ApiClient]) -> None:
    api = account("firn-services")
    refused(lambda api: client.CoreV1Api(api).list_namespaced_secret(NAMESPACE), api)
    refused(lambda api: client.CoreV1Api(api).list_namespaced_pod(NAMESPACE), api)
    refused(lambda api: client.CustomObjectsApi(api).patch_namespaced_custom_object_status(*CLUSTERS, "x", {}), api)
    refused(lambda api: client.CustomObjectsApi(api).list_namespaced_custom_object(*POOLS), api)
    refused(lambda api: client.CustomObjectsApi(api).delete_namespaced_custom_object(*CLUSTERS, "x"), api)
    refused(lambda api: client.CustomObjectsApi(api).list_cluster_custom_object(*WAREHOUSES[:2], WAREHOUSES[3]), api)
    refused(lambda api: client.CoordinationV1Api(api).patch_namespaced_lease(names.LEASE_OPERATOR, NAMESPACE, {}), api)


def test_the_operators_account_does_the_operators_work(
    release: Release, account: Callable[[str], client.ApiClient]
) -> None:
    api = account("firn-operator")
    objects, core, leases = client.CustomObjectsApi(api), client.CoreV1Api(api), client.CoordinationV1Api(api)
    assert [p["metadata"]["name"] for p in objects.list_namespaced_custom_object(*POOLS)["items"]] == ["default"]
    objects.patch_namespaced_custom_object_status(*POOLS, "default", {"status": {"ready": 2}})
    objects.create_namespaced_custom_object(*CLUSTERS, cluster("demo-1"))
    objects.patch_namespaced_custom_object_status(*CLUSTERS, "demo-1", {"status": {"phase": "Running"}})
    objects.delete_namespaced_custom_object(*CLUSTERS, "demo-1")
    objects.patch_namespaced_custom_object(*CLUSTERS, "demo-1", {"metadata": {"finalizers": None}})
    assert objects.list_namespaced_custom_object(*CLUSTERS)["items"] == []
    core.create_namespaced_pod(NAMESPACE, pod("default-1"))
    core.patch_namespaced_pod("default-1", NAMESPACE, {"metadata": {"labels": {names.LABEL_STATE: names.STATE_WARM}}})
    core.delete_namespaced_pod("default-1", NAMESPACE, grace_period_seconds=0)
    mine = leases.create_namespaced_lease(NAMESPACE, lease(names.LEASE_OPERATOR))
    leases.replace_namespaced_lease(names.LEASE_OPERATOR, NAMESPACE, mine)


def test_the_operators_account_can_do_nothing_else(
    release: Release, account: Callable[[str], client.ApiClient]
) -> None:
    api = account("firn-operator")
    refused(lambda api: client.CoreV1Api(api).list_namespaced_secret(NAMESPACE), api)
    refused(lambda api: client.CustomObjectsApi(api).patch_namespaced_custom_object(*WAREHOUSES, "demo", {}), api)
    refused(lambda api: client.CustomObjectsApi(api).patch_namespaced_custom_object(*POOLS, "default", {}), api)
    refused(lambda api: client.AppsV1Api(api).list_namespaced_deployment(NAMESPACE), api)
    refused(lambda api: client.CoreV1Api(api).list_pod_for_all_namespaces(), api)
    refused(lambda api: client.CoordinationV1Api(api).patch_namespaced_lease(names.LEASE_SERVICES, NAMESPACE, {}), api)


async def test_the_uninstall_hook_does_its_work_with_its_own_account(
    release: Release, control_plane: ControlPlane, render: Render
) -> None:
    rbac, core = client.RbacAuthorizationV1Api(release.api), client.CoreV1Api(release.api)
    objects, apps = client.CustomObjectsApi(release.api), client.AppsV1Api(release.api)
    for manifest in (m for m in render() if m["metadata"]["name"] == "firn-uninstall"):
        if manifest["kind"] == "Role":
            rbac.create_namespaced_role(NAMESPACE, manifest)
        if manifest["kind"] == "RoleBinding":
            manifest["subjects"][0]["namespace"] = NAMESPACE
            rbac.create_namespaced_role_binding(NAMESPACE, manifest)
    objects.create_namespaced_custom_object(*CLUSTERS, cluster("left-1"))
    objects.delete_namespaced_custom_object(*CLUSTERS, "left-1")
    core.create_namespaced_pod(NAMESPACE, node("default-1"))
    core.create_namespaced_pod(NAMESPACE, pod("somebody-elses"))
    user = f"system:serviceaccount:{NAMESPACE}:firn-uninstall"
    kubeconfig = control_plane.kubeconfig_for(user, "system:serviceaccounts")
    async with await aio_config.new_client_from_config(str(kubeconfig)) as connected:
        api = KubeApi(connected, NAMESPACE)
        await uninstall(Settings(namespace=NAMESPACE), api)
        await api.close()
    assert apps.read_namespaced_deployment("firn-operator", NAMESPACE).spec.replicas == 0
    assert objects.list_namespaced_custom_object(*CLUSTERS)["items"] == []
    assert [p.metadata.name for p in core.list_namespaced_pod(NAMESPACE).items] == ["somebody-elses"]
    rbac.delete_namespaced_role("firn-uninstall", NAMESPACE)
    rbac.delete_namespaced_role_binding("firn-uninstall", NAMESPACE)


def test_uninstalled_only_the_data_is_left_and_installed_again_it_is_found(release: Release) -> None:
    """Without the hook, whose Job nothing runs here."""
    before = release.secrets()
    release.run("uninstall", "firn", "--no-hooks")
    apps, core = client.AppsV1Api(release.api), client.CoreV1Api(release.api)
    objects, rbac = client.CustomObjectsApi(release.api), client.RbacAuthorizationV1Api(release.api)
    assert apps.list_namespaced_deployment(NAMESPACE).items == []
    assert rbac.list_namespaced_role(NAMESPACE).items == []
    assert objects.list_namespaced_custom_object(*POOLS)["items"] == []
    claims = core.list_namespaced_persistent_volume_claim(NAMESPACE).items
    assert {claim.metadata.name for claim in claims} == {"firn-services", "firn-object-store"}
    assert release.secrets() == before
    release.run("install", "firn", str(CHART))
    assert release.secrets() == before
