"""The operator against a real API server: the life of a warehouse."""

import asyncio

import pytest
from firn_model import names
from firn_operator.kube.api import CLUSTERS, EVENTS, PODS, POOLS, WAREHOUSES

from tests.operator.conftest import Account, Raw, eventually

pytestmark = pytest.mark.component


def condition(raw: Raw) -> Raw:
    return dict(next(c for c in raw["status"]["conditions"] if c["type"] == "Ready"))


async def resumed(account: Account, name: str = "w", **spec: object) -> None:
    """A pool of two and a warehouse that runs."""
    await account.add_pool()
    await account.add_warehouse(name, **spec)
    await account.start_operator()
    await account.phase(name, "Suspended")
    await account.pool_ready(2)
    await account.report(name, queued=1)
    await account.phase(name, "Running")


async def test_a_statement_resumes_and_idleness_suspends(account: Account) -> None:
    await resumed(account, autoSuspendSeconds=1)
    cluster = await account.cluster_phase("w-1", "Running")
    pod, agent = await account.head_of("w-1")
    assert cluster["status"]["endpoint"] == f"http://{agent.address}:7070"
    assert cluster["status"]["headUid"] == pod["metadata"]["uid"]
    steps = [s["step"] for s in cluster["status"]["steps"]]
    assert steps == ["warehouse_event", "cluster_created", "node_claimed", "node_bound"]
    assert agent.binds == [cluster["metadata"]["uid"]]
    assert pod["metadata"]["labels"][names.LABEL_EPOCH] == cluster["metadata"]["uid"]
    owner = pod["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["blockOwnerDeletion"]) == ("WarehouseCluster", "w-1", False)

    await account.report("w", running=0)
    suspended = await account.phase("w", "Suspended")
    await account.gone(CLUSTERS, "w-1")
    assert suspended["status"]["resumedAt"] < suspended["status"]["suspendedAt"]
    assert suspended["status"]["load"]["queued"] == 0
    assert condition(suspended)["observedGeneration"] == suspended["metadata"]["generation"]
    assert agent.draining
    await account.pool_ready(2)
    assert (await account.api.get(POOLS, "default"))["status"]["hits"] == 1


async def test_a_drain_waits_for_the_statements_of_the_head(account: Account) -> None:
    await resumed(account)
    pod, agent = await account.head_of("w-1")
    agent.held = 1
    await account.report("w", running=1)
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.cluster_phase("w-1", "Draining")
    await eventually(lambda: _true(agent.draining))
    assert (await account.phase("w", "Suspending"))["status"]["startedClusters"] == 0
    assert "deletionTimestamp" not in (await account.api.get(PODS, pod["metadata"]["name"]))["metadata"]
    agent.finish()
    await account.report("w")
    await account.phase("w", "Suspended")


async def _true(value: bool) -> bool:
    return value


async def test_a_statement_that_arrives_while_it_suspends_starts_the_next_cluster(account: Account) -> None:
    await resumed(account)
    _, agent = await account.head_of("w-1")
    agent.held = 1
    await account.report("w", running=1)
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.cluster_phase("w-1", "Draining")
    await account.report("w", queued=1, running=1)
    await account.cluster_phase("w-2", "Running")
    assert await account.get(CLUSTERS, "w-1")
    agent.finish()
    await account.gone(CLUSTERS, "w-1")

    async def only_the_second() -> bool:
        status = (await account.get(WAREHOUSES, "w") or {})["status"]
        return status["phase"] == "Running" and [c["name"] for c in status["clusters"]] == ["w-2"]

    await eventually(only_the_second)


async def test_a_hold_suspends_and_no_statement_resumes_it(account: Account) -> None:
    await resumed(account)
    await account.api.patch(WAREHOUSES, "w", {"spec": {"suspended": True}})
    await account.report("w")
    await account.phase("w", "Suspended")
    await account.report("w", queued=1)
    await account.annotate("w", names.ANNOTATION_RESUME_REQUESTED_AT)
    await eventually(lambda: _reason(account, "Held"))
    assert await account.clusters() == []
    await account.api.patch(WAREHOUSES, "w", {"spec": {"suspended": False}})
    await account.phase("w", "Running")


async def _reason(account: Account, reason: str) -> bool:
    return condition(await account.api.get(WAREHOUSES, "w"))["reason"] == reason


async def test_a_resume_request_starts_it_once(account: Account) -> None:
    await account.add_pool()
    await account.add_warehouse("w", autoResume=False)
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.annotate("w", names.ANNOTATION_RESUME_REQUESTED_AT)
    await account.phase("w", "Running")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")
    assert await account.clusters() == []


async def test_loads_of_dead_services_suspend_nothing(account: Account) -> None:
    await resumed(account, autoSuspendSeconds=1)
    await account.renew_services(seconds=1)
    await account.report("w")
    await eventually(lambda: _reason(account, "LoadUnknown"))
    assert (await account.api.get(CLUSTERS, "w-1"))["spec"]["drain"] is False
    await account.renew_services()
    await account.phase("w", "Suspended")


async def test_a_lost_head_is_replaced_for_the_same_cluster(account: Account) -> None:
    await resumed(account)
    pod, _ = await account.head_of("w-1")
    epoch = (await account.api.get(CLUSTERS, "w-1"))["metadata"]["uid"]
    await account.nodes.fail(pod["metadata"]["name"])

    async def replaced() -> Raw | None:
        raw = await account.api.get(CLUSTERS, "w-1")
        status = raw["status"]
        return raw if status.get("endpoint") and status["headUid"] != pod["metadata"]["uid"] else None

    raw = await eventually(replaced)
    assert raw["metadata"]["uid"] == epoch
    await eventually(lambda: _told(account, "HeadLost"))


async def _told(account: Account, reason: str) -> bool:
    events = (await account.api.list_all(EVENTS))["items"]
    return any(e["reason"] == reason for e in events)


async def test_a_head_deleted_while_draining_counts_as_drained(account: Account) -> None:
    await resumed(account)
    pod, agent = await account.head_of("w-1")
    agent.held = 1
    await account.report("w")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.cluster_phase("w-1", "Draining")
    await account.api.delete(PODS, pod["metadata"]["name"], pod["metadata"]["uid"], grace_seconds=0)
    await account.phase("w", "Suspended")


async def test_a_deleted_warehouse_takes_its_cluster_along(account: Account) -> None:
    await resumed(account)
    pod, agent = await account.head_of("w-1")
    warehouse = await account.api.get(WAREHOUSES, "w")
    await account.api.delete(WAREHOUSES, "w", warehouse["metadata"]["uid"])
    await account.gone(CLUSTERS, "w-1")

    async def released() -> bool:
        return pod["metadata"]["uid"] not in {p["metadata"]["uid"] for p in await account.pods()}

    await eventually(released)
    assert agent.draining


async def test_warehouses_that_resume_at_once_never_share_a_node(account: Account) -> None:
    await account.add_pool(warm={"min": 6, "max": 8}, refill={"delaySeconds": 0.1, "maxBooting": 6})
    names_ = [f"w{i}" for i in range(6)]
    for name in names_:
        await account.add_warehouse(name)
    await account.start_operator()
    await account.pool_ready(6)
    for name in names_:
        await account.phase(name, "Suspended")
    await asyncio.gather(*(account.report(name, queued=1) for name in names_))
    heads = [(await account.cluster_phase(f"{name}-1", "Running"))["status"]["headUid"] for name in names_]
    assert len(set(heads)) == 6
    assert all(len(agent.binds) <= 1 for agent in account.nodes.agents.values())
