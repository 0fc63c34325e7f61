"""The operator against a real API server: what is counted is written while the services write beside it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from firn_model.signing import public_text
from firn_operator.build.cluster import cluster_manifest, stamp
from firn_operator.controllers.loop import utc_now
from firn_operator.controllers.metering import MeteringController
from firn_operator.errors import ConflictError
from firn_operator.kube.api import CLUSTERS, MONITORS, WAREHOUSES, KubeApi
from firn_operator.observe.account import Account as Memory

from tests.operator.conftest import Account, Raw

pytestmark = pytest.mark.component
HOUR = timedelta(hours=1)


class Raced(KubeApi):
    """Calls of an operator whose every read is followed by somebody else's write, a few times."""

    writes = 0

    async def get(self, resource: str, name: str) -> Raw:
        found = await super().get(resource, name)
        if self.writes and resource in (WAREHOUSES, MONITORS):
            self.writes -= 1
            notes = {"metadata": {"annotations": {"written": str(self.writes)}}}
            await self.request("PATCH", self._path(resource, name), notes, "application/merge-patch+json")
        return found


async def drained(account: Account, memory: Memory) -> None:
    """A cluster that ran for an hour and is drained, of a warehouse with a monitor."""
    await account.add_monitor("m", creditQuota=100)
    await account.add_warehouse("w", resourceMonitor="m")
    memory.learn_monitor(await account.api.get(MONITORS, "m"))
    warehouse = memory.learn_warehouse(await account.api.get(WAREHOUSES, "w"))
    start = utc_now() - HOUR
    await account.api.create(CLUSTERS, cluster_manifest(warehouse, 1, False, start, start))
    status = {"phase": "Drained", "drained": True, "startedAt": stamp(start), "drainedAt": stamp(start + HOUR)}
    memory.learn_cluster(await account.api.patch(CLUSTERS, "w-1", {"status": status}, "status"))


async def test_who_writes_beside_is_read_again(account: Account) -> None:
    memory = Memory(public_text(account.key))
    await drained(account, memory)
    api = await Raced.connect(account.api.namespace)
    assert isinstance(api, Raced)
    try:
        api.writes = 5
        await MeteringController(api, memory).reconcile("w-1")
    finally:
        await api.close()
    assert api.writes == 0
    raw = await account.api.get(WAREHOUSES, "w")
    assert Decimal(raw["status"]["metering"]["creditSeconds"]) == 3600
    assert raw["metadata"]["annotations"]["written"]
    (interval,) = (await account.api.get(CLUSTERS, "w-1"))["status"]["metering"]
    assert interval["endedAt"]


async def test_who_never_gets_to_write_backs_off_and_has_sealed_nothing(account: Account) -> None:
    memory = Memory(public_text(account.key))
    await drained(account, memory)
    api = await Raced.connect(account.api.namespace)
    assert isinstance(api, Raced)
    try:
        api.writes = 100
        with pytest.raises(ConflictError):
            await MeteringController(api, memory).reconcile("w-1")
    finally:
        await api.close()
    assert (await account.api.get(CLUSTERS, "w-1"))["status"]["metering"] == []
