"""The operator against a real API server: a resource monitor tells, suspends, and lets go again."""

from decimal import Decimal

import pytest
from firn_model import names
from firn_operator.kube.api import CLUSTERS, EVENTS, MONITORS, WAREHOUSES

from tests.operator.conftest import Account, Raw, eventually
from tests.operator.test_operator_lifecycle import condition

pytestmark = pytest.mark.component

SIZE = {"size": "3XL"}
"""64 credits an hour: a hundredth of a credit is used in about half a second."""
TRIGGERS = [{"percent": 1, "action": "notify"}, {"percent": 3, "action": "suspend"}]


def monitor_limit(raw: Raw) -> Raw | None:
    conditions = raw["status"]["conditions"]
    return next((dict(c) for c in conditions if c["type"] == "MonitorLimit"), None)


async def limit_is(account: Account, status: str) -> Raw:
    async def look() -> Raw | None:
        found = monitor_limit(await account.api.get(WAREHOUSES, "w"))
        return found if found and found["status"] == status else None

    return dict(await eventually(look))


async def runs(account: Account, triggers: list[Raw]) -> None:
    await account.add_monitor("m", creditQuota=1, triggers=triggers)
    await account.add_pool()
    await account.add_warehouse("w", resourceMonitor="m", **SIZE)
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    await account.report("w", queued=1)
    await account.phase("w", "Running")


async def test_a_monitor_suspends_and_a_raised_quota_resumes(account: Account) -> None:
    await runs(account, TRIGGERS)
    _, agent = await account.head_of("w-1")
    agent.held = 1
    limit = await limit_is(account, "True")
    assert limit["reason"] == "MonitorSuspend"
    assert "resource monitor m" in limit["message"]
    await account.cluster_phase("w-1", "Draining")
    monitor = await account.api.get(MONITORS, "m")
    assert monitor["status"]["limit"] == "suspend"
    assert monitor["status"]["reached"] == [1, 3]
    assert Decimal("0.03") <= Decimal(monitor["status"]["creditsUsed"])
    agent.finish()
    suspended = await account.phase("w", "Suspended")
    assert condition(suspended)["reason"] == "MonitorSuspend"
    used = Decimal(suspended["status"]["creditsUsed"])

    await account.annotate("w", names.ANNOTATION_RESUME_REQUESTED_AT)
    await account.report("w", queued=1)
    await eventually(lambda: told(account, "MonitorNotify"))
    assert await account.clusters() == []
    assert Decimal((await account.api.get(MONITORS, "m"))["status"]["creditsUsed"]) == used

    await account.api.patch(MONITORS, "m", {"spec": {"creditQuota": 1000}})
    await limit_is(account, "False")
    await account.phase("w", "Running")


async def told(account: Account, reason: str) -> bool:
    return any(e["reason"] == reason for e in (await account.api.list_all(EVENTS))["items"])


async def test_a_limit_outlives_the_operator_and_the_warehouse(account: Account) -> None:
    await runs(account, [{"percent": 1, "action": "suspendImmediately"}])
    assert (await limit_is(account, "True"))["reason"] == "MonitorSuspendImmediately"
    await account.gone(CLUSTERS, "w-1")
    used = (await account.api.get(MONITORS, "m"))["status"]["metering"]["creditSeconds"]
    await account.operators[0].kill()
    uid = (await account.api.get(WAREHOUSES, "w"))["metadata"]["uid"]
    await account.api.delete(WAREHOUSES, "w", uid)
    await account.add_warehouse("w", resourceMonitor="m", **SIZE)
    await account.start_operator("operator-1")
    await account.phase("w", "Suspended")
    assert (await limit_is(account, "True"))["reason"] == "MonitorSuspendImmediately"
    assert (await account.api.get(MONITORS, "m"))["status"]["metering"]["creditSeconds"] == used


async def test_a_monitor_that_is_not_there_is_told(account: Account) -> None:
    await account.add_warehouse("w", resourceMonitor="m")
    await account.start_operator()
    await account.phase("w", "Suspended")
    assert (await limit_is(account, "Unknown"))["message"] == "there is no ResourceMonitor m"
    await account.add_monitor("m", creditQuota=1)
    await limit_is(account, "False")
