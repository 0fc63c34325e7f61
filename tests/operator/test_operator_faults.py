"""The operator against a real API server: killed, raced, refused, without room."""

import asyncio

import pytest
from firn_model import names
from firn_model.messages import RefusalReason
from firn_operator.build.pod import node_name
from firn_operator.errors import LostLeaseError
from firn_operator.kube.api import CLUSTERS, LEASES, PODS, POOLS, WAREHOUSES, KubeApi
from firn_operator.uninstall import uninstall

from tests.operator.conftest import Account, Raw, eventually
from tests.operator.test_operator_lifecycle import condition, resumed

pytestmark = pytest.mark.component


@pytest.mark.parametrize("milliseconds", [0, 5, 10, 15, 20, 25, 30, 40])
async def test_killed_in_the_middle_of_a_resume(account: Account, milliseconds: int) -> None:
    await account.add_pool()
    await account.add_warehouse("w")
    first = await account.start_operator("operator-1")
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    reporting = asyncio.create_task(account.report("w", queued=1))
    await asyncio.sleep(milliseconds / 1000)
    await first.kill()
    await reporting
    await account.start_operator("operator-1")
    await account.phase("w", "Running")
    claimed = [p for p in await account.pods() if p["metadata"]["labels"][names.LABEL_STATE] == names.STATE_CLAIMED]
    assert len(claimed) == 1
    assert [c["metadata"]["name"] for c in await account.clusters()] == ["w-1"]
    bound = [agent for agent in account.nodes.agents.values() if agent.epoch]
    assert len(bound) == 1
    assert len(set(bound[0].binds)) == 1
    await account.report("w")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")


async def test_a_running_cluster_survives_a_restart_untouched(account: Account) -> None:
    await resumed(account)
    _, agent = await account.head_of("w-1")
    before = await account.api.get(CLUSTERS, "w-1")
    await account.operators[0].stop()
    await account.start_operator("operator-2")
    await account.pool_ready(2)
    after = await account.api.get(CLUSTERS, "w-1")
    assert after["status"] == before["status"]
    assert len(agent.binds) == 1


async def test_killed_while_draining(account: Account) -> None:
    await resumed(account)
    _, agent = await account.head_of("w-1")
    agent.held = 1
    await account.report("w")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.cluster_phase("w-1", "Draining")
    await account.operators[0].kill()
    agent.finish()
    await account.start_operator("operator-1")
    await account.phase("w", "Suspended")
    await account.gone(CLUSTERS, "w-1")


async def test_a_node_claimed_for_an_epoch_that_is_gone_is_deleted(account: Account) -> None:
    await account.add_pool()
    first = await account.start_operator()
    await account.pool_ready(2)
    await first.stop()
    labels = {names.LABEL_STATE: names.STATE_CLAIMED, names.LABEL_CLUSTER: "gone-1", names.LABEL_EPOCH: "gone"}
    await account.api.patch(PODS, "default-1", {"metadata": {"labels": labels}})
    uid = (await account.api.get(PODS, "default-1"))["metadata"]["uid"]
    await account.start_operator()

    async def replaced() -> bool:
        pod = await account.get(PODS, "default-1")
        return pod is None or pod["metadata"]["uid"] != uid

    await eventually(replaced)
    await account.pool_ready(2)


async def test_only_the_holder_of_the_lease_acts(account: Account) -> None:
    await account.add_pool()
    first = await account.start_operator("operator-1", lease_seconds=2)
    await account.pool_ready(2)
    second = await account.start_operator("operator-2", lease_seconds=2)
    lease = await account.api.get(LEASES, names.LEASE_OPERATOR)
    assert lease["spec"]["holderIdentity"] == "operator-1"
    await first.kill()
    await eventually(lambda: _holds(account, "operator-2"))
    await account.add_warehouse("w")
    await account.phase("w", "Suspended")
    await second.stop()
    assert await _holds(account, "")


async def _holds(account: Account, identity: str) -> bool:
    lease = await account.api.get(LEASES, names.LEASE_OPERATOR)
    return bool(lease["spec"].get("holderIdentity", "") == identity)


async def test_losing_the_lease_ends_the_process(account: Account) -> None:
    operator = await account.start_operator("operator-1", lease_seconds=2)
    await eventually(lambda: _holds_quietly(account, "operator-1"))
    lease = await account.api.get(LEASES, names.LEASE_OPERATOR)
    await account.api.patch(LEASES, names.LEASE_OPERATOR, {"spec": {**lease["spec"], "holderIdentity": "thief"}})
    assert operator.task
    with pytest.raises(LostLeaseError):
        await operator.task
    operator.task = None
    assert await _holds(account, "thief")


async def _holds_quietly(account: Account, identity: str) -> bool:
    return await account.get(LEASES, names.LEASE_OPERATOR) is not None and await _holds(account, identity)


async def test_a_node_that_refuses_to_be_bound_is_replaced(account: Account) -> None:
    await account.add_pool()
    await account.add_warehouse("w")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    refusing = next(a for a in account.nodes.agents.values() if _slot(account, a.uid) == 1)
    refusing.refuse_bind = RefusalReason.WRONG_EPOCH
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    _, agent = await account.head_of("w-1")
    assert agent.uid != refusing.uid


def _slot(account: Account, uid: str) -> int:
    return list(account.nodes.agents).index(uid) + 1


async def test_a_node_that_does_not_answer_its_bind_is_replaced(account: Account) -> None:
    await account.add_pool()
    await account.add_warehouse("w")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    for agent in account.nodes.agents.values():
        await agent.stop()
    await account.report("w", queued=1)
    await account.phase("w", "Running")


async def test_an_image_that_cannot_be_pulled_is_told_and_waited_for(account: Account) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image no/such:image"}
    account.nodes.trouble = {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "node",
                "image": "no/such:image",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": waiting},
            }
        ],
    }
    await _waits_with(account, "ImageNotPulled", "cannot get the image: Back-off pulling image no/such:image")


async def test_no_room_is_told_and_waited_for(account: Account) -> None:
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/2 nodes are available: 2 Insufficient memory.",
    }
    account.nodes.trouble = {"phase": "Pending", "conditions": [unschedulable]}
    await _waits_with(account, "Unschedulable", "2 pods cannot be scheduled: 0/2 nodes are available")


async def _waits_with(account: Account, reason: str, words: str) -> None:
    await account.add_pool()
    await account.add_warehouse("w")
    await account.start_operator()
    await account.phase("w", "Suspended")

    async def pool_told() -> bool:
        pool = await account.api.get(POOLS, "default")
        return "status" in pool and condition(pool)["reason"] == reason and words in condition(pool)["message"]

    await eventually(pool_told)
    await account.report("w", queued=1)

    async def warehouse_told() -> bool:
        raw = await account.api.get(WAREHOUSES, "w")
        return words in condition(raw)["message"] and "waits for a node: pool default has none ready" in str(raw)

    await eventually(warehouse_told)
    account.nodes.trouble = None
    await account.phase("w", "Running")


async def test_a_quota_is_told(account: Account) -> None:
    quota: Raw = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "1"}},
        "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}},
    }
    path = f"/api/v1/namespaces/{account.api.namespace}/resourcequotas"
    await account.api.request("POST", path, quota)
    status = {"status": {"hard": {"pods": "1"}, "used": {"pods": "1"}}}
    await account.api.request("PATCH", f"{path}/none/status", status, "application/merge-patch+json")
    await account.add_pool()
    await account.start_operator()

    async def told() -> bool:
        pool = await account.api.get(POOLS, "default")
        return "status" in pool and "exceeded quota" in condition(pool)["message"]

    await eventually(told)
    assert condition(await account.api.get(POOLS, "default"))["reason"] == "CreateRefused"


async def test_a_warehouse_without_its_pool_says_so(account: Account) -> None:
    await account.add_warehouse("w", pool="nowhere")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.report("w", queued=1)

    async def told() -> bool:
        raw = await account.api.get(WAREHOUSES, "w")
        return "there is no WarehousePool nowhere" in condition(raw)["message"]

    await eventually(told)
    await account.add_pool("nowhere")
    await account.phase("w", "Running")


async def test_a_changed_template_replaces_warm_nodes_and_leaves_claimed_ones(account: Account) -> None:
    await resumed(account)
    head, _ = await account.head_of("w-1")
    await account.pool_ready(2)
    await account.api.patch(POOLS, "default", {"spec": {"image": "firn-node:next"}})

    async def replaced() -> bool:
        warm = [p for p in await account.pods() if p["metadata"]["labels"][names.LABEL_STATE] == names.STATE_WARM]
        return len(warm) == 2 and all(p["spec"]["containers"][0]["image"] == "firn-node:next" for p in warm)

    await eventually(replaced)
    still = await account.api.get(PODS, head["metadata"]["name"])
    assert still["metadata"]["uid"] == head["metadata"]["uid"]


async def test_a_warm_node_that_dies_is_replaced_after_a_pause(account: Account) -> None:
    await account.add_pool()
    await account.start_operator()
    await account.pool_ready(2)
    await account.nodes.fail(node_name("default", 1))
    await account.pool_ready(1)
    await eventually(lambda: _count_ready(account, 2), seconds=30)


async def _count_ready(account: Account, count: int) -> bool:
    pool = await account.api.get(POOLS, "default")
    return bool(pool["status"]["ready"] == count)


async def test_a_claim_of_a_node_that_another_took_takes_another(account: Account) -> None:
    """The pod is taken behind the watch's back: the guard refuses, the pod is read, and the next one is claimed."""
    await account.add_pool()
    await account.add_warehouse("w")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    labels = {names.LABEL_STATE: names.STATE_CLAIMED, names.LABEL_CLUSTER: "x-1", names.LABEL_EPOCH: "x"}
    await asyncio.gather(
        account.api.patch(PODS, "default-1", {"metadata": {"labels": labels}}), account.report("w", queued=1)
    )
    raw = await account.cluster_phase("w-1", "Running")
    assert raw["status"]["head"] != "default-1"


async def test_uninstall_leaves_nothing_stuck(account: Account) -> None:
    account.storing.clear()
    await resumed(account)
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")
    await account.report("w", queued=1)
    await account.cluster_phase("w-2", "Running")
    operator = account.operators[0]
    settings = operator.settings_of()
    api = await KubeApi.connect(settings.namespace)
    stopping = asyncio.create_task(operator.stop())
    await uninstall(settings, api)
    await stopping
    assert (await account.api.list_all(CLUSTERS))["items"] == []
    assert await account.pods() == []
    assert await account.get(WAREHOUSES, "w")
    await api.close()
