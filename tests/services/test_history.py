"""What was: load, events and advice of real services in a real store, over a restart."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.messages import Statistics
from firn_services.config import Settings
from firn_services.kube.api import CLUSTERS, WAREHOUSES

from tests.services.account import TestAccount
from tests.services.fake_head import finishes, never

pytestmark = pytest.mark.component


def summed(reply: dict, state: str) -> float:
    return sum(one[state] for one in reply["intervals"])


async def test_load_is_counted_by_state_and_survives_a_restart(settings: Settings, signing_key: tuple) -> None:
    key: Ed25519PrivateKey = signing_key[0]
    async with TestAccount(settings, key) as account:
        await account.warehouse(maxConcurrencyLevel=1)
        await account.warehouse("idle")
        await account.submit("SELECT 1", wait=0)
        waited = await account.seen("/warehouses/W/load", lambda r: summed(r, "avg_queued_provisioning") > 0)
        assert summed(waited, "avg_running") == summed(waited, "avg_queued_load") == 0
        assert all(one["utilization"] is None for one in waited["intervals"])
        head = await account.head()
        head.answer = never
        await account.cluster(head)
        for number in range(9):
            await account.submit(f"SELECT {number} + 2", wait=0)
        ran = await account.seen("/warehouses/W/load?interval_seconds=5", lambda r: summed(r, "avg_running") > 0)
        (cluster,) = next(one["clusters"] for one in ran["intervals"] if one["clusters"])
        assert (cluster["cluster"], cluster["number"]) == ("w-1", 1)
        assert 0 < cluster["utilization"] <= 1
        idle = await account.call("GET", "/warehouses/IDLE/load")
        assert (idle["interval_seconds"], summed(idle, "avg_running")) == (300, 0)
        assert 12 <= len(idle["intervals"]) <= 13
        account.kube.objects.clear()
    async with TestAccount(settings, key, account.kube) as again:
        await again.warehouse()
        after = await again.seen("/warehouses/W/load?interval_seconds=5", lambda r: True)
        seen = {one["started_at"]: one for one in after["intervals"]}
        assert [seen[one["started_at"]] for one in ran["intervals"][-9:-1]] == ran["intervals"][-9:-1]
        assert seen[ran["intervals"][-1]["started_at"]]["avg_running"] > 0


async def test_what_cannot_be_asked_of_the_load_is_told(account: TestAccount) -> None:
    await account.warehouse()
    await account.seen("/warehouses", lambda w: w["warehouses"])
    await account.call("GET", "/warehouses/NONE/load", status=404)
    for query in ("7", "0", "-5", "5&start=2020-01-01T00:00:00Z"):
        await account.call("GET", f"/warehouses/W/load?interval_seconds={query}", status=400)
    async with account.http.get("/api/v1/warehouses/W/load", headers={"Authorization": ""}) as answer:
        assert answer.status == 401


async def test_advice_rests_on_what_ran(account: TestAccount) -> None:
    await account.call("POST", "/warehouses", {"name": '"my own"', "auto_suspend_seconds": 7200})
    head = await account.head()
    head.answer = finishes(Statistics(bytes_scanned=10, bytes_spilled_remote=51))
    await account.cluster(head, "my-own")
    for number in range(20):
        assert (await account.submit(f"SELECT {number}", warehouse="my own"))["state"] == "succeeded"
    reply = await account.call("GET", "/warehouses/my own/advice")
    assert (reply["statements"], reply["use"]) == (20, "BI")
    found = {one["rule"]: one for one in reply["advice"]}
    assert list(found) == ["LongAutoSuspend", "RemoteSpill"]
    assert found["LongAutoSuspend"]["change"] == 'ALTER WAREHOUSE "my own" SET AUTO_SUSPEND = 600'
    assert found["RemoteSpill"]["figures"]["statements"] == 20
    done = await account.submit(found["LongAutoSuspend"]["change"])
    assert done["state"] == "succeeded"
    again = await account.call("GET", "/warehouses/my own/advice")
    assert [one["rule"] for one in again["advice"]] == ["RemoteSpill"]


async def test_events_are_told_once_over_a_restart(settings: Settings, signing_key: tuple) -> None:
    async with TestAccount(settings, signing_key[0]) as account:
        await account.submit("CREATE WAREHOUSE w")
        await account.submit("ALTER WAREHOUSE w SET WAREHOUSE_SIZE = S COMMENT = 'reports'")
        await account.cluster(await account.head())
        status = {"phase": "Running", "resumedAt": datetime.now(UTC).isoformat(), "startedClusters": 1}
        await account.kube.merge(WAREHOUSES, "w", {"status": status})
        await account.seen("/warehouses/W/events", lambda r: len(r["events"]) == 5)
        await account.kube.merge(CLUSTERS, "w-1", {"spec": {"drain": True}})
        before = await account.seen("/warehouses/W/events", lambda r: len(r["events"]) == 6)
    async with TestAccount(settings, signing_key[0], account.kube) as again:
        after = await again.seen("/warehouses/W/events", lambda r: True)
        assert after == before
        last = await again.call("GET", "/warehouses/W/events?limit=1")
        assert (last["events"][0]["event"], last["events"][0]["cluster_number"]) == ("SPINDOWN_CLUSTER", 1)
        await again.call("GET", "/warehouses/NONE/events", status=404)
        kinds = {(one["event"], one["state"]) for one in after["events"]}
        assert kinds == {
            ("CREATE_WAREHOUSE", "COMPLETED"), ("RESIZE_WAREHOUSE", "COMPLETED"), ("ALTER_WAREHOUSE", "COMPLETED"),
            ("RESUME_WAREHOUSE", "COMPLETED"), ("SPINUP_CLUSTER", "STARTED"), ("SPINDOWN_CLUSTER", "STARTED"),
        }  # fmt: skip


async def test_what_happened_while_no_services_ran_is_told_at_the_next_start(
    settings: Settings, signing_key: tuple
) -> None:
    async with TestAccount(settings, signing_key[0]) as account:
        for name in ("resized", "dropped", "gone before"):
            await account.submit(f'CREATE WAREHOUSE "{name}"')
        await account.submit('DROP WAREHOUSE "gone before"')
    await account.kube.merge(WAREHOUSES, "resized", {"spec": {"size": "M"}})
    await account.kube.delete(WAREHOUSES, "dropped", account.kube.objects[WAREHOUSES]["dropped"]["metadata"]["uid"])
    told = "SELECT warehouse_name, event_reason FROM TABLE(INFORMATION_SCHEMA.WAREHOUSE_EVENTS_HISTORY("
    told += "DATEADD('day', -1, CURRENT_TIMESTAMP()))) WHERE event_name <> 'CREATE_WAREHOUSE' ORDER BY warehouse_name"
    for _ in range(2):
        async with TestAccount(settings, signing_key[0], account.kube) as again:
            assert (await again.submit(told))["result"]["rows"] == [
                ["dropped", "seen by no services"], ["gone before", ""], ["resized", "XS to M"]
            ]  # fmt: skip
