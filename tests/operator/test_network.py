"""A warehouse of many nodes opens its nodes to each other, and to nobody else."""

import pytest
from firn_operator.build.network import warehouse_policy
from firn_operator.kube.api import NETWORK_POLICIES

from tests.operator.conftest import Account


@pytest.mark.component
async def test_only_a_warehouse_of_many_nodes_gets_a_policy(account: Account) -> None:
    await account.add_pool()
    await account.add_warehouse("large", size="S")
    await account.add_warehouse("small")
    await account.start_operator(network_policies=True)
    await account.pool_ready(2)
    await account.report("large", queued=1)
    await account.report("small", queued=1)
    await account.phase("large", "Running")
    await account.phase("small", "Running")
    (policy,) = (await account.api.list_all(NETWORK_POLICIES))["items"]
    assert policy["metadata"]["name"].startswith("firn-warehouse-large-")
    selector = policy["spec"]["podSelector"]
    assert selector["matchLabels"]["firn.dev/warehouse"] == "large"
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": selector}]}]


def test_a_warehouse_that_takes_anothers_name_gets_a_policy_of_its_own() -> None:
    first, second = (warehouse_policy("w", uid)["metadata"]["name"] for uid in ("0a1b2c3d-4e5f", "9f8e7d6c-5b4a"))
    assert first != second
