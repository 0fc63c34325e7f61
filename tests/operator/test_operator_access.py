"""The operator with the rights of the chart's Role and no more."""

from pathlib import Path

import pytest
import yaml
from firn_local.control_plane import ControlPlane

from tests.operator.conftest import Account

pytestmark = pytest.mark.component

TEMPLATE = Path(__file__).resolve().parents[2] / "helm" / "firn" / "templates" / "operator-access.yaml"
USER = "firn-operator-test"


def rules_of_the_chart() -> list[dict[str, list[str]]]:
    """Return the Role's rules, which hold no template expressions."""
    text = TEMPLATE.read_text()
    role = text[text.index("\nrules:\n") : text.index("\n---\n", text.index("\nrules:\n"))]
    return list(yaml.safe_load(role)["rules"])


async def test_the_role_of_the_chart_is_enough(
    account: Account, control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{account.api.namespace}"
    await account.api.request("POST", f"{base}/roles", {"metadata": {"name": "o"}, "rules": rules_of_the_chart()})
    binding = {
        "metadata": {"name": "o"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "o"},
        "subjects": [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await account.api.request("POST", f"{base}/rolebindings", binding)
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig_for(USER, "nobody")))
    await account.add_pool()
    await account.add_warehouse("w", autoSuspendSeconds=1)
    operator = await account.start_operator(resync_seconds=0.5, network_policies=True)
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    await account.report("w")
    await account.phase("w", "Suspended")
    assert operator.operator
    assert operator.operator.staleness() is None
