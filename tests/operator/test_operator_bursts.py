"""The operator against a real API server: burst nodes come when they are asked for, and go."""

from typing import Any

import pytest
from firn_model import names
from firn_operator.kube.api import CLUSTERS, POOLS, WAREHOUSES

from tests.operator.conftest import Account, Raw, eventually
from tests.operator.fake_nodes import FakeAgent
from tests.operator.test_operator_lifecycle import condition

pytestmark = pytest.mark.component

LEASE_SECONDS = 5
ACCELERATED: Raw = {"queryAcceleration": {"enabled": True, "leaseSeconds": LEASE_SECONDS}}
NO_ROOM = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}],
}


async def running(account: Account, warm: int = 4, **spec: Any) -> None:
    """A pool and a warehouse of one node that runs a statement."""
    await account.add_pool(warm={"min": warm, "max": warm}, refill={"delaySeconds": 0.1, "maxBooting": 8})
    await account.add_warehouse("w", **{**ACCELERATED, **spec})
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(warm)
    await account.report("w", queued=1)
    await account.phase("w", "Running")
    await account.report("w", running=1)


async def bursts(account: Account) -> list[Raw]:
    return [p for p in await account.pods() if p["metadata"]["labels"].get(names.LABEL_ROLE) == names.ROLE_BURST]


async def with_bursts(account: Account, count: int) -> Raw:
    """Wait until the cluster's status counts so many burst nodes and so many pods are such; return the cluster."""

    async def look() -> Raw | None:
        raw = await account.api.get(CLUSTERS, "w-1")
        same = raw["status"].get("burstNodes", 0) == len(await bursts(account)) == count
        return raw if same else None

    return dict(await eventually(look))


def agents(account: Account, pods: list[Raw]) -> list[FakeAgent]:
    return [account.nodes.agents[p["metadata"]["uid"]] for p in pods]


async def test_they_come_when_asked_for_and_go_with_their_lease(account: Account) -> None:
    await running(account)
    await account.report("w", running=1, burst=2)
    raw = await with_bursts(account, 2)
    _, head = await account.head_of("w-1")
    found = agents(account, await bursts(account))
    assert {a.head_uid for a in found} == {head.uid}
    assert set(head.members[-1]) == {a.uid for a in found}
    assert raw["status"]["readyNodes"] == raw["status"]["desiredNodes"] == 1
    assert condition(raw)["status"] == "True"

    async def seen() -> bool:
        warehouse, pool = await account.api.get(WAREHOUSES, "w"), await account.api.get(POOLS, "default")
        counts = warehouse["status"]["burstNodes"], pool["status"]["burst"], pool["status"]["claimed"]
        return counts == (2, 2, 1)

    await eventually(seen)
    head.work_on(*head.joined)
    await account.report("w", running=1)

    async def asked_without() -> bool:
        return head.members[-1] == ()

    await eventually(asked_without)
    assert len(await bursts(account)) == 2
    head.work_on()
    await with_bursts(account, 0)
    metering = (await account.api.get(CLUSTERS, "w-1"))["status"]["metering"]
    apart = [i for i in metering if i["burstNodes"]]
    assert apart
    assert all(i["endedAt"] for i in apart)
    assert [i["burstNodes"] for i in metering if "endedAt" not in i] == [0]


async def test_they_are_kept_while_asked_for_and_outlive_the_operator(account: Account) -> None:
    await running(account, queryAcceleration={"enabled": True, "leaseSeconds": 60})
    await account.report("w", running=1, burst=2)
    before = {p["metadata"]["uid"] for p in await _bursts_of(account, 2)}
    await account.operators[0].kill()
    await account.start_operator("operator-1")
    _, head = await account.head_of("w-1")
    told = len(head.members)

    async def told_again() -> bool:
        return len(head.members) > told

    await eventually(told_again)
    after = await bursts(account)
    assert {p["metadata"]["uid"] for p in after} == before
    assert {len(a.binds) for a in agents(account, after)} == {1}


async def _bursts_of(account: Account, count: int) -> list[Raw]:
    await with_bursts(account, count)
    return await bursts(account)


async def test_a_lease_is_renewed(account: Account) -> None:
    await running(account)
    await account.report("w", running=1, burst=1)
    (pod,) = await _bursts_of(account, 1)
    first = pod["metadata"]["annotations"][names.ANNOTATION_LEASED_UNTIL]

    async def renewed() -> bool:
        (again,) = await bursts(account)
        assert again["metadata"]["uid"] == pod["metadata"]["uid"]
        return bool(again["metadata"]["annotations"][names.ANNOTATION_LEASED_UNTIL] > first)

    await eventually(renewed)


async def test_not_more_than_the_scale_factor_allows(account: Account) -> None:
    await running(account, queryAcceleration={"enabled": True, "maxScaleFactor": 1})
    await account.report("w", running=1, burst=4)

    async def told() -> bool:
        raw = await with_bursts(account, 1)
        conditions = {c["type"]: c for c in raw["status"]["conditions"]}
        return "maxScaleFactor allows no more" in conditions[names.CONDITION_BURST]["message"]

    await eventually(told)
    await account.api.patch(WAREHOUSES, "w", {"spec": {"queryAcceleration": {"enabled": False}}})
    await with_bursts(account, 0)


async def test_a_lost_one_is_simply_gone(account: Account) -> None:
    await running(account)
    await account.report("w", running=1, burst=1)
    (pod,) = await _bursts_of(account, 1)
    await account.report("w", running=1)
    await account.nodes.fail(pod["metadata"]["name"])
    await with_bursts(account, 0)
    assert condition(await account.api.get(CLUSTERS, "w-1"))["status"] == "True"


async def test_a_suspended_warehouse_has_none(account: Account) -> None:
    await running(account, queryAcceleration={"enabled": True, "leaseSeconds": 600})
    await account.report("w", running=1, burst=2)
    await with_bursts(account, 2)
    _, head = await account.head_of("w-1")
    head.held = 1
    await account.annotate("w", names.ANNOTATION_SUSPEND_REQUESTED_AT)
    await account.cluster_phase("w-1", "Draining")
    raw = await with_bursts(account, 0)
    assert raw["status"]["phase"] == "Draining"
    await account.report("w")
    head.finish()
    await account.phase("w", "Suspended")
    await account.gone(CLUSTERS, "w-1")


async def test_a_cluster_that_waits_for_room_gets_theirs(account: Account) -> None:
    await running(account, queryAcceleration={"enabled": True, "leaseSeconds": 600})
    await account.report("w", running=1, burst=2)
    await with_bursts(account, 2)
    await account.pool_ready(4)
    account.nodes.trouble = NO_ROOM
    await account.add_warehouse("other", size="L")
    await account.phase("other", "Suspended")
    await account.report("other", queued=1)
    await account.phase("other", "Running")

    async def none() -> bool:
        return await bursts(account) == []

    await eventually(none)


async def test_two_warehouses_share_what_there_is(account: Account) -> None:
    lasting = {"queryAcceleration": {"enabled": True, "leaseSeconds": 600}}
    await running(account, warm=2, **lasting)
    await account.report("w", running=1, burst=9)
    await with_bursts(account, 2)
    await account.add_warehouse("x", **lasting)
    await account.phase("x", "Suspended")
    await account.report("x", queued=1)
    await account.phase("x", "Running")

    async def more() -> bool:
        return len(await bursts(account)) == 3

    await eventually(more)
    await account.report("x", running=1, burst=9)

    async def shared() -> bool:  # half of two heads, two warm nodes and three burst nodes
        both = [await account.api.get(CLUSTERS, name) for name in ("w-1", "x-1")]
        return [raw["status"].get("burstNodes", 0) for raw in both] == [2, 1]

    await eventually(shared)
