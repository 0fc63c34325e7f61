"""The operator against a real API server: a suspended warehouse's nodes wait for its next resume and no other's."""

import pytest
from firn_model import names
from firn_operator.kube.api import CLUSTERS, POOLS, WAREHOUSES

from tests.operator.conftest import Account, Raw, eventually
from tests.operator.fake_nodes import FakeAgent
from tests.operator.test_operator_nodes import complete, resumed

pytestmark = pytest.mark.component


async def suspended(account: Account) -> tuple[Raw, FakeAgent]:
    """Suspend the warehouse; return its head as it was."""
    pod, agent = await account.head_of("w-1")
    await account.report("w")
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.phase("w", "Suspended")
    await account.gone(CLUSTERS, "w-1")
    return pod, agent


async def parked(account: Account) -> list[Raw]:
    return [p for p in await account.pods() if p["metadata"]["labels"][names.LABEL_STATE] == names.STATE_PARKED]


async def parked_nodes(account: Account, count: int) -> list[Raw]:
    async def look() -> bool:
        return len(await parked(account)) == count

    await eventually(look)
    return await parked(account)


async def test_the_next_resume_takes_the_parked_head_and_its_workers(account: Account) -> None:
    await resumed(account, "S")
    before = await complete(account, 2)
    pod, agent = await suspended(account)
    waiting = await parked_nodes(account, 2)
    assert agent.parked_for == pod["metadata"]["annotations"][names.ANNOTATION_WAREHOUSE_UID]
    assert all(names.LABEL_EPOCH not in p["metadata"]["labels"] for p in waiting)
    assert {p["metadata"]["ownerReferences"][0]["kind"] for p in waiting} == {"WarehousePool"}

    await account.report("w", queued=1)
    await account.phase("w", "Running")
    after = await complete(account, 2)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert {n["uid"] for n in after["status"]["nodes"]} == {n["uid"] for n in before["status"]["nodes"]}
    assert after["status"]["headUid"] == before["status"]["headUid"]
    assert await parked(account) == []


async def test_another_warehouse_takes_a_warm_node(account: Account) -> None:
    await resumed(account, "XS", warm=2)
    pod, _ = await suspended(account)
    await parked_nodes(account, 1)
    await account.add_warehouse("other")
    await account.phase("other", "Suspended")
    await account.report("other", queued=1)
    await account.phase("other", "Running")
    head, _ = await account.head_of("other-1")
    assert head["metadata"]["uid"] != pod["metadata"]["uid"]
    assert [p["metadata"]["uid"] for p in await parked(account)] == [pod["metadata"]["uid"]]


async def test_a_pool_that_parks_nothing_deletes_the_nodes(account: Account) -> None:
    await account.add_pool(parked={"maxNodes": 0})
    await account.add_warehouse("w")
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(2)
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    pod, agent = await suspended(account)
    assert agent.parked_for is None
    assert pod["metadata"]["uid"] not in {p["metadata"]["uid"] for p in await account.pods()}


async def test_a_node_that_will_not_be_parked_is_deleted(account: Account) -> None:
    await resumed(account, "XS", warm=2)
    _, agent = await account.head_of("w-1")
    agent.refuse_park = True
    pod, _ = await suspended(account)
    assert pod["metadata"]["uid"] not in {p["metadata"]["uid"] for p in await account.pods()}


async def test_a_parked_node_goes_with_its_warehouse_and_with_time(account: Account) -> None:
    await resumed(account, "XS", warm=2)
    await suspended(account)
    await parked_nodes(account, 1)
    await account.api.patch(POOLS, "default", {"spec": {"parked": {"keepSeconds": 0}}})
    await parked_nodes(account, 0)

    await account.api.patch(POOLS, "default", {"spec": {"parked": {"keepSeconds": 600}}})
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    await suspended(account)
    await parked_nodes(account, 1)
    raw = await account.api.get(WAREHOUSES, "w")
    await account.api.delete(WAREHOUSES, "w", raw["metadata"]["uid"])
    await parked_nodes(account, 0)


async def test_parked_nodes_outlive_the_operator(account: Account) -> None:
    await resumed(account, "XS", warm=2)
    pod, _ = await suspended(account)
    await parked_nodes(account, 1)
    await account.operators[0].kill()
    await account.start_operator("operator-1")
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    head, _ = await account.head_of("w-1")
    assert head["metadata"]["uid"] == pod["metadata"]["uid"]
