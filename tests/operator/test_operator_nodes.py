"""The operator against a real API server: clusters of many nodes, and their resizes."""

import asyncio

import pytest
from firn_model import names
from firn_model.messages import RefusalReason
from firn_operator.kube.api import CLUSTERS, PODS, POOLS, WAREHOUSES

from tests.operator.conftest import Account, Raw, eventually
from tests.operator.test_operator_lifecycle import condition

pytestmark = pytest.mark.component


async def resumed(account: Account, size: str = "M", warm: int = 4) -> None:
    """A pool and a warehouse of many nodes whose head runs."""
    await account.add_pool(warm={"min": warm, "max": warm}, refill={"delaySeconds": 0.1, "maxBooting": 8})
    await account.add_warehouse("w", size=size)
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(warm)
    await account.report("w", queued=1)
    await account.phase("w", "Running")


async def complete(account: Account, nodes: int) -> Raw:
    """Wait until so many nodes of the cluster are ready, and no other is left."""

    async def look() -> Raw | None:
        raw = await account.api.get(CLUSTERS, "w-1")
        status = raw["status"]
        whole = status["readyNodes"] == status["desiredNodes"] == len(status["nodes"]) == nodes
        return raw if whole and condition(raw)["message"] == "" else None

    return dict(await eventually(look))


async def resize(account: Account, size: str) -> None:
    await account.api.patch(WAREHOUSES, "w", {"spec": {"size": size}})


def worker_names(raw: Raw) -> list[str]:
    return [n["name"] for n in raw["status"]["nodes"] if n["role"] == names.ROLE_WORKER]


async def test_the_head_serves_at_once_and_the_others_join(account: Account) -> None:
    account.nodes.joins.clear()
    await resumed(account)
    head, agent = await account.head_of("w-1")
    account.nodes.joins.set()
    raw = await complete(account, 4)
    workers = [a for a in account.nodes.agents.values() if a.role == names.ROLE_WORKER]
    assert {w.head_uid for w in workers} == {agent.uid}
    assert set(agent.members[-1]) == agent.joined == {w.uid for w in workers}
    assert agent.token not in str(raw)
    pods = [await account.api.get(PODS, name) for name in worker_names(raw)]
    notes = [p["metadata"]["annotations"] for p in pods]
    assert {n[names.ANNOTATION_HEAD_UID] for n in notes} == {head["metadata"]["uid"]}


async def test_a_lost_worker_is_replaced(account: Account) -> None:
    await resumed(account, "S")
    (worker,) = worker_names(await complete(account, 2))
    uid = (await account.api.get(PODS, worker))["metadata"]["uid"]
    await account.nodes.fail(worker)

    async def replaced() -> bool:
        status = (await account.api.get(CLUSTERS, "w-1"))["status"]
        return status["readyNodes"] == 2 and uid not in str(status["nodes"])

    await eventually(replaced)
    await complete(account, 2)


async def test_a_worker_that_refuses_is_replaced(account: Account) -> None:
    await account.add_pool(warm={"min": 3, "max": 3})
    await account.add_warehouse("w", size="S")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(3)
    ages = {p["metadata"]["uid"]: p["metadata"]["name"] for p in await account.pods()}
    second = next(a for a in account.nodes.agents.values() if ages[a.uid] == "default-2")
    second.refuse_bind = RefusalReason.WRONG_POD
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    raw = await complete(account, 2)
    assert second.uid not in str(raw["status"]["nodes"])


async def test_a_lost_head_is_replaced_with_all_its_nodes(account: Account) -> None:
    await resumed(account, "S")
    before = await complete(account, 2)
    await account.nodes.fail(before["status"]["head"])
    uids = {n["uid"] for n in before["status"]["nodes"]}

    async def anew() -> bool:
        status = (await account.api.get(CLUSTERS, "w-1"))["status"]
        return status["readyNodes"] == 2 and not uids & {n["uid"] for n in status["nodes"]}

    await eventually(anew)
    assert (await account.api.get(CLUSTERS, "w-1"))["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_restarted_operator_binds_nobody_again(account: Account) -> None:
    await resumed(account)
    before = await complete(account, 4)
    await account.operators[0].kill()
    await account.start_operator("operator-1")
    _, agent = await account.head_of("w-1")
    told = len(agent.members)
    await eventually(lambda: _told_again(account, told))
    assert (await complete(account, 4))["status"]["nodes"] == before["status"]["nodes"]
    assert {len(a.binds) for a in account.nodes.agents.values() if a.epoch} == {1}


async def _told_again(account: Account, told: int) -> bool:
    _, agent = await account.head_of("w-1")
    return len(agent.members) > told


@pytest.mark.parametrize("milliseconds", [20, 40, 60, 100])
async def test_killed_while_the_nodes_join(account: Account, milliseconds: int) -> None:
    account.nodes.joins.clear()
    await account.add_pool(warm={"min": 4, "max": 4}, refill={"maxBooting": 4})
    await account.add_warehouse("w", size="M")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(4)
    reporting = asyncio.create_task(account.report("w", queued=1))
    await asyncio.sleep(milliseconds / 1000)
    await account.operators[0].kill()
    await reporting
    account.nodes.joins.set()
    await account.start_operator("operator-1")
    await account.phase("w", "Running")
    await complete(account, 4)
    claimed = [p for p in await account.pods() if p["metadata"]["labels"][names.LABEL_STATE] == names.STATE_CLAIMED]
    assert len(claimed) == 4


async def test_a_resize_claims_the_difference_and_lets_go_what_is_free(account: Account) -> None:
    await resumed(account, "S", warm=3)
    (first,) = worker_names(await complete(account, 2))
    _, agent = await account.head_of("w-1")
    await resize(account, "M")
    await complete(account, 4)
    agent.work_on(*agent.joined)
    await resize(account, "S")

    async def leaving() -> bool:
        nodes = (await account.api.get(CLUSTERS, "w-1"))["status"]["nodes"]
        return [n["state"] for n in nodes].count("Leaving") == 2

    await eventually(leaving)
    assert len(agent.joined & set(account.nodes.agents)) == 3
    agent.work_on()
    assert worker_names(await complete(account, 2)) == [first]


async def test_a_drained_cluster_releases_all_its_nodes(account: Account) -> None:
    await resumed(account)
    await complete(account, 4)
    await account.report("w")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")

    async def none_claimed() -> bool:
        return all(p["metadata"]["labels"][names.LABEL_STATE] != names.STATE_CLAIMED for p in await account.pods())

    await eventually(none_claimed)


async def test_a_pool_of_another_memory_class_is_told(account: Account) -> None:
    await account.add_pool()
    await account.add_warehouse("w", type="SnowparkOptimized", size="M")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.report("w", queued=1)

    async def told() -> bool:
        return "memory class High" in condition(await account.api.get(CLUSTERS, "w-1"))["message"]

    await account.cluster_phase("w-1", "Pending")
    await eventually(told)
    await account.add_pool("large", node={"memoryClass": "High"})
    await account.add_warehouse("high", type="SnowparkOptimized", size="M", pool="large")
    await account.phase("high", "Suspended")
    await account.report("high", queued=1)
    raw = await account.cluster_phase("high-1", "Running")
    assert raw["status"]["desiredNodes"] == 1


async def test_a_cluster_of_old_nodes_that_loses_one_gives_way_to_a_cluster_of_new_ones(account: Account) -> None:
    await resumed(account, "S", warm=2)
    before = await complete(account, 2)
    _, agent = await account.head_of("w-1")
    agent.held = 1
    await account.api.patch(POOLS, "default", {"spec": {"image": "firn-node:next"}})
    await eventually(lambda: _are_of_image(account, "firn-node:next", names.STATE_WARM))
    await account.nodes.fail(worker_names(before)[0])
    await account.cluster_phase("w-2", "Running")
    await account.cluster_phase("w-1", "Draining")
    agent.finish()
    await account.gone(CLUSTERS, "w-1")
    await eventually(lambda: _are_of_image(account, "firn-node:next", names.STATE_CLAIMED))


async def _are_of_image(account: Account, image: str, state: str) -> bool:
    """Whether two nodes are in a state, and all that are so were made from this image."""
    pods = [p for p in await account.pods() if p["metadata"]["labels"][names.LABEL_STATE] == state]
    ready = [p for p in pods if any(c["type"] == "Ready" for c in p.get("status", {}).get("conditions", ()))]
    return len(ready) == len(pods) == 2 and all(p["spec"]["containers"][0]["image"] == image for p in pods)
