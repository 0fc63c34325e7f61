"""Firn's resources in the API server of `make bench-scale`, and its processes' access: by a service account's token.

The server remembers a token that it has checked for a while; an administrator's certificate it checks at each call.
"""

import asyncio
from pathlib import Path

import yaml
from firn_operator.kube.api import KubeApi
from kubernetes.aio import client, config

CRDS = Path(__file__).resolve().parents[1] / "crds"
ACCOUNT = "firn"
TOKEN_SECONDS = 36_000
RBAC = "rbac.authorization.k8s.io"


async def new_token(admin: KubeApi) -> str:
    """Return a token of a new service account, who may do everything in its namespace. Raises ApiError."""
    namespace = f"/api/v1/namespaces/{admin.namespace}"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}}
    await admin.request("POST", f"{namespace}/serviceaccounts", account)
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": admin.namespace}],
    }
    await admin.request("POST", f"/apis/{RBAC}/v1/namespaces/{admin.namespace}/rolebindings", binding)
    spec = {"expirationSeconds": TOKEN_SECONDS}
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await admin.request("POST", f"{namespace}/serviceaccounts/{ACCOUNT}/token", asked)
    return str(answer["status"]["token"])


def write_kubeconfig(file: Path, token: str, admin_file: Path) -> None:
    """Write a kubeconfig with this token, for the server of the administrator's."""
    content = yaml.safe_load(admin_file.read_text())
    content["users"][0]["user"] = {"token": token}
    file.write_text(yaml.safe_dump(content))


async def connect(file: Path, namespace: str) -> KubeApi:
    """Return a client by this kubeconfig."""
    settings = client.Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(file), client_configuration=settings
    )
    return KubeApi(client.ApiClient(settings), namespace)


async def install_crds() -> None:
    """Install Firn's resources and wait until they are served."""
    api = await KubeApi.connect("default")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for file in sorted(CRDS.glob("*.yaml")):
        created = await api.request("POST", path, yaml.safe_load(file.read_text()))
        name, served = created["metadata"]["name"], False
        while not served:
            await asyncio.sleep(0.2)
            conditions = (await api.request("GET", f"{path}/{name}")).get("status", {}).get("conditions", ())
            served = any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
    await api.close()
    await asyncio.sleep(1)  # discovery follows the condition by a moment
