"""What the chart installs: locked-down pods, no secret outside a Secret, Roles with what is needed and no more."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model import names
from firn_model.pools import PoolSpec
from firn_model.signing import load_private_key
from firn_operator import metrics as _exported  # noqa: F401  its metrics are registered when it is imported
from prometheus_client import REGISTRY

from tests.helm.conftest import CHART, Helm, Manifest, Render

pytestmark = pytest.mark.component

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket",), "info": ("_info",)}
ALL_BUT_UPDATE = ("get", "list", "watch", "create", "patch", "delete")
KIND = CHART / "values-kind.yaml"
WITHOUT_CLAIMS = ("services.persistence.enabled=false", "objectStore.builtin.persistence.enabled=false")
OWN_STORE = (
    "objectStore.builtin.enabled=false",
    'objectStore.endpoint="https://s3.example.com"',
    'objectStore.existingSecret="my-store"',
)


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def named(manifests: list[Manifest], kind: str) -> set[str]:
    return {m["metadata"]["name"] for m in manifests if m["kind"] == kind}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the spec of every pod, alone or in a template."""
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield name, manifest["spec"]["template"]["spec"]


def rules(manifests: list[Manifest], role: str) -> set[tuple[str, str, str, str]]:
    """Return a Role as (group, resource, verb, object name or empty)."""
    return {
        (group, resource, verb, name)
        for rule in one(manifests, "Role", role)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }


def environment(manifests: list[Manifest], deployment: str) -> dict[str, Any]:
    (container,) = one(manifests, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_every_pod_is_locked_down(render: Render) -> None:
    found = dict(pods(render(files=(KIND,))))
    assert set(found) == {
        "Deployment/firn-operator",
        "Deployment/firn-services",
        "Deployment/firn-object-store",
        "Job/firn-uninstall",
        "Pod/firn-test-ready",
    }
    for name, pod in found.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 65532, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["enableServiceLinks"] is False, name
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name


def test_only_what_talks_to_kubernetes_has_a_token(render: Render) -> None:
    tokens = {name for name, pod in pods(render()) if pod.get("automountServiceAccountToken", True)}
    assert tokens == {"Deployment/firn-operator", "Deployment/firn-services", "Job/firn-uninstall"}
    accounts = {pod.get("serviceAccountName", "default") for name, pod in pods(render()) if name in tokens}
    assert accounts == {"firn-operator", "firn-services", "firn-uninstall"}


def test_no_secret_stands_in_a_spec(render: Render) -> None:
    manifests = render()
    secrets = [m for m in manifests if m["kind"] == "Secret"]
    values = [base64.b64decode(value).decode() for secret in secrets for value in secret["data"].values()]
    assert len(values) == 4
    rest = str([m for m in manifests if m["kind"] != "Secret"])
    for value in values:
        assert value not in rest
    for name, pod in pods(manifests):
        for entry in (entry for container in pod["containers"] for entry in container.get("env", ())):
            if any(word in entry["name"] for word in ("PASSWORD", "SECRET", "ACCESS_KEY")):
                assert "secretKeyRef" in entry["valueFrom"], (name, entry["name"])


def test_the_generated_secrets_are_strong_and_new_each_time(render: Render) -> None:
    first, second = render(), render()
    key = base64.b64decode(one(first, "Secret", names.SECRET_SIGNING)["data"]["private-key.pem"])
    assert isinstance(load_private_key(key), Ed25519PrivateKey)
    for name, field, length in [
        ("firn-admin", "password", 24),
        ("firn-object-store", "access-key-id", 20),
        ("firn-object-store", "secret-access-key", 40),
    ]:
        values = {one(manifests, "Secret", name)["data"][field] for manifests in (first, second)}
        assert len(values) == 2
        assert {len(base64.b64decode(value)) for value in values} == {length}


def test_existing_secrets_are_used_and_none_is_made(render: Render) -> None:
    manifests = render(
        'admin.existingSecret="my-admin"', 'signing.existingSecret="my-key"', 'objectStore.existingSecret="my-store"'
    )
    assert named(manifests, "Secret") == set()
    services = environment(manifests, "firn-services")
    assert services["FIRN_ADMIN_PASSWORD"] == {"secretKeyRef": {"name": "my-admin", "key": "password"}}
    assert services["FIRN_OBJECT_STORE_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "my-store"
    assert environment(manifests, "firn-object-store")["ROOT_SECRET_ACCESS_KEY"]["secretKeyRef"]["name"] == "my-store"
    for deployment in ("firn-operator", "firn-services"):
        volumes = one(manifests, "Deployment", deployment)["spec"]["template"]["spec"]["volumes"]
        assert [v["secret"]["secretName"] for v in volumes if v["name"] == "signing"] == ["my-key"]


def test_the_operator_may_do_its_work_and_no_more(render: Render) -> None:
    firn, leases = names.GROUP, "coordination.k8s.io"
    read = ("get", "list", "watch")
    assert rules(render(), "firn-operator") == {
        *((firn, resource, verb, "") for resource in ("virtualwarehouses", "warehousepools") for verb in read),
        *((firn, "resourcemonitors", verb, "") for verb in read),
        (firn, "resourcemonitors/status", "patch", ""),
        *((firn, "warehouseclusters", verb, "") for verb in (*read, "create", "patch", "delete")),
        *(
            (firn, f"{resource}/{part}", verb, "")
            for resource in ("virtualwarehouses", "warehouseclusters", "warehousepools")
            for part, verb in (("status", "patch"), ("finalizers", "update"))
        ),
        *(("", "pods", verb, "") for verb in (*read, "create", "patch", "delete")),
        *(("", "events", verb, "") for verb in ("create", "patch")),
        ("networking.k8s.io", "networkpolicies", "create", ""),
        *((leases, "leases", verb, "") for verb in (*read, "create")),
        *((leases, "leases", verb, names.LEASE_OPERATOR) for verb in ("update", "patch")),
    }


def test_the_services_may_do_their_work_and_no_more(render: Render) -> None:
    firn, leases = names.GROUP, "coordination.k8s.io"
    assert rules(render(), "firn-services") == {
        *((firn, "virtualwarehouses", verb, "") for verb in ALL_BUT_UPDATE),
        (firn, "virtualwarehouses/status", "patch", ""),
        *((firn, "warehouseclusters", verb, "") for verb in ("get", "list", "watch", "patch")),
        (leases, "leases", "create", ""),
        *((leases, "leases", verb, names.LEASE_SERVICES) for verb in ("get", "update", "patch")),
    }


def test_nothing_reads_secrets_and_nothing_is_wider_than_the_namespace(render: Render) -> None:
    manifests = render()
    for role in named(manifests, "Role"):
        for group, resource, verb, _ in rules(manifests, role):
            assert "*" not in (group, resource, verb)
            assert resource != "secrets"
    assert not named(manifests, "ClusterRole") | named(manifests, "ClusterRoleBinding")
    for binding in (m for m in manifests if m["kind"] == "RoleBinding"):
        assert binding["roleRef"]["name"] == binding["metadata"]["name"] == binding["subjects"][0]["name"]


def test_the_default_pool_is_a_pool(render: Render) -> None:
    pool = one(render('imagePullSecrets=["pull"]', "defaultPool.warm.min=3"), "WarehousePool", "default")
    spec = PoolSpec.model_validate(pool["spec"])
    assert (spec.image, spec.image_pull_policy) == ("firn/node:dev", "IfNotPresent")
    assert spec.warm.min == 3
    assert spec.pod_template.image_pull_secrets == ("pull",)
    assert pool["apiVersion"] == names.API_VERSION
    assert not named(render("defaultPool.enabled=false"), "WarehousePool")


def test_on_kind_the_doors_are_open_and_components_are_placed(render: Render) -> None:
    manifests = render(files=(KIND,))
    for service, port in (("firn-services", 30080), ("firn-object-store", 30090)):
        spec = one(manifests, "Service", service)["spec"]
        assert (spec["type"], spec["ports"][0]["nodePort"]) == ("NodePort", port)
    for name, pod in pods(manifests):
        assert pod["nodeSelector"] == {"firn.dev/role": "control"}, name
    pool = PoolSpec.model_validate(one(manifests, "WarehousePool", "default")["spec"])
    assert pool.pod_template.node_selector == {"firn.dev/role": "pool"}


def test_services_find_their_object_store(render: Render) -> None:
    built_in = environment(render(), "firn-services")
    assert built_in["FIRN_OBJECT_STORE_ENDPOINT"] == "http://firn-object-store.account.svc.cluster.local:9000"
    manifests = render(*OWN_STORE)
    own = environment(manifests, "firn-services")
    assert own["FIRN_OBJECT_STORE_ENDPOINT"] == "https://s3.example.com"
    assert own["FIRN_OBJECT_STORE_SECRET_ACCESS_KEY"]["secretKeyRef"]["name"] == "my-store"
    assert "firn-object-store" not in named(manifests, "Deployment") | named(manifests, "Service")
    assert "firn-object-store" not in named(manifests, "Secret") | named(manifests, "PersistentVolumeClaim")


def test_a_postgresql_is_known_by_its_secret_alone(render: Render) -> None:
    manifests = render('services.database.kind="postgresql"', 'services.database.existingSecret="my-database"')
    url = environment(manifests, "firn-services")["FIRN_DATABASE_URL"]
    assert url == {"secretKeyRef": {"name": "my-database", "key": "url"}}
    assert "firn-services" not in named(manifests, "PersistentVolumeClaim")


@pytest.mark.parametrize(
    ("cpu", "memory", "cores", "size"),
    [
        ("1", "2Gi", 1, 2 << 30),
        ("500m", "1536Mi", 1, 1536 << 20),
        ("3.5", "1.5Gi", 3, 3 << 29),
        ("16", "64G", 16, 64 * 10**9),
    ],
)
def test_services_know_what_a_node_has(render: Render, cpu: str, memory: str, cores: int, size: int) -> None:
    node = environment(render(f'defaultPool.node.cpu="{cpu}"', f'defaultPool.node.memory="{memory}"'), "firn-services")
    assert (node["FIRN_NODE_CPU"], node["FIRN_NODE_MEMORY_BYTES"]) == (str(cores), str(size))


def test_services_know_when_a_scan_asks_for_burst_nodes(render: Render) -> None:
    usual = environment(render(), "firn-services")
    names = ("FIRN_BURST_MIN_SCAN_BYTES", "FIRN_BURST_MIN_SCAN_SECONDS", "FIRN_BURST_MOST_NODES")
    assert [usual[name] for name in names] == [str(4 << 30), "10", "64"]
    own = environment(
        render('services.queryAcceleration.minScan="100M"', "services.queryAcceleration.mostNodes=3"), "firn-services"
    )
    assert [own[name] for name in names] == ["100000000", "10", "3"]


def test_traces_are_off_until_there_is_a_receiver(render: Render) -> None:
    assert "FIRN_OTLP_ENDPOINT" not in environment(render(), "firn-services")
    on = render('traces.endpoint="http://collector:4318"', 'networkPolicy.tracesCidr="10.0.0.0/8"')
    assert environment(on, "firn-services")["FIRN_OTLP_ENDPOINT"] == "http://collector:4318"
    ways = [one(manifests, "NetworkPolicy", "firn-nodes")["spec"]["egress"] for manifests in (render(), on)]
    assert ways[1] == [*ways[0], {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]


def test_data_is_kept_when_the_release_goes_unless_told_otherwise(render: Render) -> None:
    def kept(manifests: list[Manifest]) -> set[str]:
        return {
            f"{m['kind']}/{m['metadata']['name']}"
            for m in manifests
            if m["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        }

    claims = {"PersistentVolumeClaim/firn-services", "PersistentVolumeClaim/firn-object-store"}
    assert kept(render()) == claims | {"Secret/firn-signing", "Secret/firn-admin", "Secret/firn-object-store"}
    assert kept(render(files=(KIND,))) == set()
    assert not named(render(*WITHOUT_CLAIMS), "PersistentVolumeClaim")


def test_the_uninstall_hook_has_only_what_it_needs_and_leaves_with_the_release(render: Render) -> None:
    manifests = render()
    assert rules(manifests, "firn-uninstall") == {
        ("apps", "deployments/scale", "patch", "firn-operator"),
        ("coordination.k8s.io", "leases", "get", names.LEASE_OPERATOR),
        *(("", "pods", verb, "") for verb in ("list", "delete")),
        *((names.GROUP, "warehouseclusters", verb, "") for verb in ("list", "patch", "delete")),
    }
    weights = {}
    for manifest in (m for m in manifests if m["metadata"]["name"] == "firn-uninstall"):
        annotations = manifest["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-delete"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        weights[manifest["kind"]] = int(annotations["helm.sh/hook-weight"])
    assert weights["ServiceAccount"] == weights["Role"] < weights["RoleBinding"] < weights["Job"]
    (container,) = one(manifests, "Job", "firn-uninstall")["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["firn-operator", "uninstall"]


def test_only_operator_and_services_may_call_a_node(render: Render) -> None:
    policy = one(render(), "NetworkPolicy", "firn-nodes")["spec"]
    assert policy["podSelector"]["matchLabels"] == {
        names.LABEL_PART_OF: names.PART_OF,
        names.LABEL_COMPONENT: names.COMPONENT_NODE,
    }
    (ingress,) = policy["ingress"]
    assert ingress["ports"] == [{"port": names.AGENT_PORT, "protocol": "TCP"}]
    assert ingress["from"][0]["podSelector"]["matchExpressions"][1]["values"] == ["operator", "services"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert not named(render("networkPolicy.enabled=false"), "NetworkPolicy")


def test_a_node_never_reaches_the_clouds_metadata(render: Render) -> None:
    def ways(*values: str) -> list[Any]:
        egress = one(render(*OWN_STORE, *values), "NetworkPolicy", "firn-nodes")["spec"]["egress"]
        return [to["ipBlock"] for way in egress for to in way.get("to", ())]

    assert ways() == [{"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}]
    assert ways('networkPolicy.objectStoreCidr="10.1.0.0/16"') == [{"cidr": "10.1.0.0/16"}]


def test_what_other_operators_define_is_off_by_default(render: Render) -> None:
    assert not named(render(), "ServiceMonitor") | named(render(), "PodDisruptionBudget") | named(render(), "ConfigMap")
    on = render("metrics.serviceMonitor.enabled=true", "podDisruptionBudget.enabled=true")
    assert named(on, "ServiceMonitor") == {"firn"}
    assert named(on, "PodDisruptionBudget") == {"firn-operator", "firn-services"}


def test_the_dashboard_asks_for_metrics_that_there_are(render: Render) -> None:
    (text,) = one(render("metrics.dashboard.enabled=true"), "ConfigMap", "firn-dashboard")["data"].values()
    assert json.loads(text)["panels"]
    exported = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    exported |= {family.name + suffix for family in REGISTRY.collect() for suffix in SUFFIXES[family.type]}
    asked = set(re.findall(r"\bfirn_[a-z_]+\b", text))
    assert asked
    assert asked <= exported


def test_selectors_find_their_own_pods_only(render: Render) -> None:
    manifests = render()
    deployments = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "Deployment"}
    for name in ("firn-operator", "firn-services", "firn-object-store"):
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert deployments[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
        selector = one(manifests, "Service", name)["spec"]["selector"]
        chosen = [
            other
            for other, deployment in deployments.items()
            if selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert chosen == [name]


def test_the_notes_say_what_to_type_next(helm: Helm) -> None:
    done = helm("install", "firn", str(CHART), "--namespace", "account", "--dry-run=client")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "kubectl apply -n account -f examples/warehouse.yaml" in notes
    assert "firn sql -n account -w DEMO -q 'SELECT 1'" in notes
    assert "{{.data.password | base64decode}}" in notes
    assert "finds it by itself" in notes
    for own in ("admin.user=boss", "admin.existingSecret=my-admin"):
        done = helm("install", "firn", str(CHART), "--namespace", "account", "--dry-run=client", "--set", own)
        assert "finds it by itself" not in done.stdout
        assert "FIRN_PASSWORD" in done.stdout
