"""A resource monitor suspends a warehouse at its quota, says so, and lets go when the quota is raised."""

from typing import Any

import pytest

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse

pytestmark = pytest.mark.e2e


def monitor(quota: int) -> dict[str, Any]:
    """A hundredth of the quota suspends at once: of one credit, 18 s of a warehouse of size S."""
    spec = {"creditQuota": quota, "frequency": "Never", "triggers": [{"percent": 1, "action": "suspendImmediately"}]}
    return {
        "apiVersion": "firn.dev/v1alpha1",
        "kind": "ResourceMonitor",
        "metadata": {"name": "budget"},
        "spec": spec,
    }


def test_a_monitor_suspends_a_warehouse_at_its_quota(account: Account) -> None:
    account.apply(monitor(1), warehouse("spender", size="S", autoSuspendSeconds=0, resourceMonitor="budget"))
    account.firn("sql", "-w", "SPENDER", "-q", "SELECT 1")
    account.wait("vw/spender", "condition=MonitorLimit", 120)
    account.wait_phase("spender", "Suspended")
    said = account.firn_refusal("sql", "-w", "SPENDER", "-q", "SELECT 1")
    assert "SPENDER" in said
    assert "budget" in said
    assert float(account.get("rm", "budget")["status"]["creditsUsed"]) >= 0.01

    account.apply(monitor(1000))
    account.wait("vw/spender", "condition=MonitorLimit=False")
    assert "1" in account.firn("sql", "-w", "SPENDER", "-o", "csv", "-q", "SELECT 1")
    account.kubectl("delete", "vw/spender", "rm/budget", "--wait=false")
