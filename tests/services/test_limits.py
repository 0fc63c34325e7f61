"""What the services do when a resource monitor has suspended a warehouse."""

import pytest
from firn_model import names
from firn_services.kube.api import WAREHOUSES

from tests.services.account import TestAccount
from tests.services.fake_head import never

pytestmark = pytest.mark.component


async def limit(account: TestAccount, reason: str) -> None:
    """Set the operator's condition."""
    condition = {
        "type": names.CONDITION_MONITOR_LIMIT,
        "status": "True",
        "reason": reason,
        "message": "monitor budget has reached its quota",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    await account.kube.merge(WAREHOUSES, "w", {"status": {"conditions": [condition]}})


@pytest.mark.parametrize("reason", ["MonitorSuspend", names.REASON_MONITOR_SUSPEND_IMMEDIATELY])
async def test_what_waits_and_what_comes_is_refused_in_the_monitors_words(account: TestAccount, reason: str) -> None:
    await account.warehouse()
    waiting = await account.submit("SELECT 1", wait=0)
    assert waiting["state"] == "queued"
    await limit(account, reason)
    for reply in (
        await account.call("GET", f"/statements/{waiting['id']}?wait_seconds=10"),
        await account.submit("SELECT 2"),
    ):
        assert (reply["state"], reply["error"]) == ("failed", "warehouse_suspended")
        assert "budget" in reply["detail"]["message"]


async def test_only_an_immediate_suspend_ends_what_runs(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    head.answer = never
    await account.cluster(head)
    running = await account.submit("SELECT 1", wait=0)
    await head.wait_for(1)
    await limit(account, "MonitorSuspend")
    assert (await account.submit("SELECT 2"))["error"] == "warehouse_suspended"
    assert (await account.call("GET", f"/statements/{running['id']}"))["state"] == "running"
    await limit(account, names.REASON_MONITOR_SUSPEND_IMMEDIATELY)
    await head.wait_for_cancel(running["id"])
    ended = await account.call("GET", f"/statements/{running['id']}?wait_seconds=10")
    assert (ended["state"], ended["error"]) == ("failed", "warehouse_suspended")
