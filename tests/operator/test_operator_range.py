"""The operator against a real API server: several clusters of one warehouse, and what they cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from firn_model import names
from firn_model.clusters import MeterInterval
from firn_model.credits import cost_of, to_credits
from firn_operator.build.cluster import stamp
from firn_operator.kube.api import CLUSTERS, WAREHOUSES

from tests.operator.conftest import REPORTER, Account, Raw, eventually
from tests.operator.test_operator_lifecycle import condition

pytestmark = pytest.mark.component

QUICK = {"pacingSeconds": 1, "checkSeconds": 1, "scaleDownChecks": 1}


async def report(account: Account, queued: int, **running: int) -> None:
    """Report what runs on each cluster of the warehouse: `w1=8` is of cluster w-1."""
    now = stamp(datetime.now(UTC))
    clusters = [{"name": f"w-{n[1:]}", "running": r, "concurrency": r} for n, r in running.items()]
    total = sum(running.values())
    load: Raw = {"queued": queued, "running": total, "clusters": clusters, "observedAt": now, "reporter": REPORTER}
    load["idleSince"] = None if queued or total else now
    await account.api.patch(WAREHOUSES, "w", {"status": {"load": load}}, "status")


async def has_clusters(account: Account, *expected: str) -> Raw:
    async def look() -> Raw | None:
        status = (await account.api.get(WAREHOUSES, "w")).get("status", {})
        running = {c["name"] for c in status.get("clusters", ()) if c["phase"] == "Running"}
        return status if running == set(expected) and len(status["clusters"]) == len(expected) else None

    return dict(await eventually(look))


async def started(account: Account, **spec: object) -> None:
    await account.add_pool(warm={"min": 4, "max": 6}, refill={"delaySeconds": 0.2, "maxBooting": 4})
    await account.add_warehouse("w", **spec)
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(4)
    await report(account, 1)


def cost(*clusters: Raw) -> Decimal:
    """Count the intervals of clusters as the services do."""
    found = [MeterInterval.model_validate(i) for c in clusters for i in c["status"]["metering"]]
    return to_credits(cost_of(found, datetime.now(UTC)))


async def test_a_queue_starts_a_second_cluster_and_a_light_load_takes_it_away(account: Account) -> None:
    await started(account, maxClusterCount=2, scaling=QUICK)
    await has_clusters(account, "w-1")
    await report(account, 3, w1=8)
    await has_clusters(account, "w-1", "w-2")
    second = await account.api.get(CLUSTERS, "w-2")
    assert second["metadata"]["annotations"][names.ANNOTATION_AUTOMATIC] == "true"
    await report(account, 5, w1=8, w2=8)
    await eventually(lambda: _reason(account, "MaximumClusters"))
    await report(account, 0, w1=3, w2=2)
    status = await has_clusters(account, "w-1")
    assert status["scaling"]["lastStartAt"] == second["metadata"]["annotations"][names.ANNOTATION_REQUESTED_AT]


async def _reason(account: Account, reason: str) -> bool:
    return condition(await account.api.get(WAREHOUSES, "w"))["reason"] == reason


async def test_a_scale_down_waits_for_the_statements_of_the_cluster(account: Account) -> None:
    await started(account, maxClusterCount=2, scaling=QUICK)
    await has_clusters(account, "w-1")
    await report(account, 1, w1=8)
    await has_clusters(account, "w-1", "w-2")
    _, agent = await account.head_of("w-2")
    agent.held = 1
    await report(account, 0, w1=3, w2=1)
    await account.cluster_phase("w-2", "Draining")
    assert (await account.api.get(WAREHOUSES, "w"))["status"]["phase"] == "Running"
    agent.finish()
    await account.gone(CLUSTERS, "w-2")


async def test_a_maximized_warehouse_starts_all_and_follows_its_range(account: Account) -> None:
    await started(account, minClusterCount=3, maxClusterCount=3)
    await has_clusters(account, "w-1", "w-2", "w-3")
    spec = {"minClusterCount": 1, "maxClusterCount": 1}
    await account.api.patch(WAREHOUSES, "w", {"spec": spec})
    await has_clusters(account, "w-1")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")


async def test_another_pool_is_taken_without_a_gap(account: Account) -> None:
    await account.add_pool("other")
    await started(account)
    await has_clusters(account, "w-1")
    await report(account, 0, w1=1)
    await account.pool_ready(2, "other")
    await account.api.patch(WAREHOUSES, "w", {"spec": {"pool": "other"}})
    await has_clusters(account, "w-2")
    second = await account.api.get(CLUSTERS, "w-2")
    assert second["spec"]["pool"] == "other"
    assert (await account.api.get(WAREHOUSES, "w"))["status"]["resumedAt"] < second["status"]["startedAt"]


async def test_what_the_services_have_not_stored_stays_and_holds_nothing_up(account: Account) -> None:
    account.storing.clear()
    await started(account)
    await has_clusters(account, "w-1")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")
    waiting = await account.api.get(CLUSTERS, "w-1")
    assert waiting["metadata"]["finalizers"] == [names.FINALIZER_METERING]
    assert waiting["status"]["metering"][0]["endedAt"] == waiting["status"]["drainedAt"]
    await report(account, 1)
    await has_clusters(account, "w-2")
    account.storing.set()
    await account.gone(CLUSTERS, "w-1")
    assert account.stored == {i["id"]: i for i in waiting["status"]["metering"]}


async def test_a_new_warehouse_of_a_name_starts_beside_what_is_not_stored_of_the_former(account: Account) -> None:
    account.storing.clear()
    await started(account)
    await has_clusters(account, "w-1")
    former = await account.api.get(WAREHOUSES, "w")
    await account.api.delete(WAREHOUSES, "w", former["metadata"]["uid"])
    await eventually(lambda: _is_stored_by_nobody(account, "w-1"))
    await account.add_warehouse("w")
    await account.phase("w", "Suspended")
    await account.annotate("w", names.ANNOTATION_RESUME_REQUESTED_AT)
    await has_clusters(account, "w-2")


async def _is_stored_by_nobody(account: Account, name: str) -> bool:
    meta = (await account.api.get(CLUSTERS, name))["metadata"]
    return bool(meta["finalizers"] == [names.FINALIZER_METERING])


async def test_services_that_are_gone_for_long_are_not_waited_for(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firn_operator.decide.metering.SERVICES_PATIENCE", timedelta(seconds=1))
    account.storing.clear()
    await started(account)
    await has_clusters(account, "w-1")
    await account.renew_services(seconds=1)
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.gone(CLUSTERS, "w-1")


async def test_credits_are_exact_over_suspends_and_killed_operators(account: Account) -> None:
    await started(account, minClusterCount=2, maxClusterCount=2)
    await has_clusters(account, "w-1", "w-2")
    seen = [await account.api.get(CLUSTERS, n) for n in ("w-1", "w-2")]
    assert all(len(c["status"]["metering"]) == 1 for c in seen)
    assert all(c["status"]["metering"][0]["startedAt"] == c["status"]["startedAt"] for c in seen)
    _, agent = await account.head_of("w-2")
    agent.held = 1
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.gone(CLUSTERS, "w-1")
    await account.operators[0].kill()
    last: list[Raw] = []

    async def drained() -> bool:
        raw = await account.get(CLUSTERS, "w-2")
        last.extend([raw] if raw else [])
        return raw is None

    agent.finish()
    await account.start_operator("operator-1")
    await eventually(drained)
    suspended = await account.phase("w", "Suspended")
    sealed = [c for c in last if all(i.get("endedAt") for i in c["status"]["metering"])]
    assert sealed
    assert sealed[-1]["status"]["metering"][0]["endedAt"] == sealed[-1]["status"]["drainedAt"]
    metering = suspended["status"]["metering"]
    second = cost(sealed[-1])
    assert 0 < second < Decimal(suspended["status"]["creditsUsed"])
    assert Decimal(suspended["status"]["creditsUsed"]) == to_credits(Decimal(metering["creditSeconds"]))
