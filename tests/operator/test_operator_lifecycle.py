"""The operator against a real API server: the life of a warehouse."""

import statistics
from datetime import UTC, datetime, timedelta

import pytest
from firn_model import names
from firn_operator.kube.api import CLUSTERS, POOLS

from tests.operator.conftest import Account, eventually

pytestmark = pytest.mark.component


async def test_a_statement_resumes_and_idleness_suspends(account: Account) -> None:
    await account.add_pool()
    await account.add_warehouse("w", autoSuspendSeconds=1)
    await account.start_operator()
    await account.phase("w", "Suspended")
    await account.pool_ready(2)

    await account.report("w", queued=1)
    running = await account.phase("w", "Running")
    cluster = await account.cluster_phase("w-1", "Running")
    pod, agent = await account.head_of("w-1")
    assert cluster["status"]["endpoint"] == f"http://{agent.address}:7070"
    assert cluster["status"]["headUid"] == pod["metadata"]["uid"]
    assert [s["step"] for s in cluster["status"]["steps"]] == [
        "warehouse_event",
        "cluster_created",
        "node_claimed",
        "node_bound",
    ]
    assert agent.binds == [cluster["metadata"]["uid"]]
    assert pod["metadata"]["labels"][names.LABEL_EPOCH] == cluster["metadata"]["uid"]
    assert running["status"]["startedClusters"] == 1

    await account.report("w", running=0)
    suspended = await account.phase("w", "Suspended")
    await account.gone(CLUSTERS, "w-1")
    assert suspended["status"]["resumedAt"] < suspended["status"]["suspendedAt"]
    assert agent.draining
    await account.pool_ready(2)
