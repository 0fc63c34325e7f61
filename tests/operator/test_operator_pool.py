"""What a pool's status and Events tell of its claims, on a real API server."""

from typing import Any

import pytest
from firn_operator.kube.api import EVENTS, POOLS

from tests.operator.conftest import Account, eventually

pytestmark = pytest.mark.component


async def resumed(account: Account) -> None:
    await account.add_warehouse("w")
    await account.phase("w", "Suspended")
    await account.report("w", queued=1)
    await account.cluster_phase("w-1", "Running")


async def counted(account: Account) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        status = (await account.api.get(POOLS, "default")).get("status", {})
        return status if status.get("hits", 0) + status.get("misses", 0) == 1 else None

    return dict(await eventually(look))


async def test_a_miss_is_told_with_its_reason(account: Account) -> None:
    await account.add_pool(warm={"min": 0, "max": 2})
    await account.start_operator()
    await resumed(account)
    status = await counted(account)
    assert (status["hits"], status["misses"], status["missesByReason"]) == (0, 1, {"NotKept": 1})
    assert status["demand"]["slow"] > 0

    async def told() -> bool:
        events = (await account.api.list_all(EVENTS))["items"]
        return any(e["involvedObject"]["kind"] == "WarehousePool" and e["reason"] == "NotKept" for e in events)

    await eventually(told)


async def test_a_pool_with_a_forecast_keeps_what_its_claims_need_and_remembers_them(account: Account) -> None:
    warm = {"min": 1, "max": 3, "forecast": True}
    await account.add_pool(warm=warm, refill={"delaySeconds": 5, "maxBooting": 2})
    first = await account.start_operator()
    await account.pool_ready(1)
    await resumed(account)
    status = await counted(account)
    assert (status["hits"], status["hitRate"], status["target"]) == (1, "100.0", 2)
    await first.stop()
    await account.start_operator("operator-2")
    await account.pool_ready(2)
