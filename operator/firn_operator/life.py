"""The operator's parts put together, and its life: Lease, lists, watches, loops, and back."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.signing import public_text

from firn_operator import health
from firn_operator.agents import Agents, agent_session
from firn_operator.config import Settings
from firn_operator.controllers.account import Wiring
from firn_operator.controllers.background import Background
from firn_operator.controllers.cluster import ClusterController
from firn_operator.controllers.loop import Loops
from firn_operator.controllers.metering import MeteringController
from firn_operator.controllers.monitor import MonitorController, MonitorWiring
from firn_operator.controllers.network import NetworkPolicies
from firn_operator.controllers.pool import PoolController
from firn_operator.controllers.warehouse import WarehouseController
from firn_operator.errors import UnavailableError
from firn_operator.kube.api import KubeApi
from firn_operator.kube.events import Events
from firn_operator.kube.lease import OperatorLease
from firn_operator.kube.watch import Watches
from firn_operator.observe.account import Account
from firn_operator.steps import Steps

log = structlog.get_logger()
LIST_RETRY_SECONDS = 0.5


class Operator:
    """One operator of one account."""

    def __init__(self, settings: Settings, api: KubeApi, agents: Agents) -> None:
        self._settings = settings
        self._account = Account(public_text(agents.key))
        steps = Steps()
        self._events = Events(api, settings.identity)
        self._pools = PoolController(api, self._account, self._events)
        network = NetworkPolicies(api, settings.network_policies)
        warehouses = WarehouseController(api, self._account, self._events, steps, network, self._pools)
        self._pool_loops = Loops("pool", self._pools.reconcile, self._pools.pace)
        self._warehouse_loops = Loops("warehouse", warehouses.reconcile)
        self._cluster_loops = Loops("cluster", self._reconcile_cluster)
        self._background = Background()
        self._clusters = ClusterController(
            api,
            self._account,
            agents,
            self._events,
            steps,
            self._pools,
            self._background,
            self._cluster_loops.interrupted,
            self._cluster_loops.wake,
        )
        self._metering_loops = Loops("metering", MeteringController(api, self._account).reconcile)
        self._wiring = Wiring(
            self._account.state,
            self._pools.reservations,
            self._warehouse_loops,
            self._cluster_loops,
            self._pool_loops,
            self._metering_loops,
        )
        self._monitor_loops = Loops("monitor", MonitorController(api, self._account, self._events).reconcile)
        self._monitor_wiring = MonitorWiring(self._account.state, self._monitor_loops, self._warehouse_loops.wake)
        self._lease = OperatorLease(api, settings.identity, settings.lease_seconds)
        self._watches = Watches(api, self._account, settings.resync_seconds, self._wiring.all_warehouses)
        self._leading = False
        self._forsaken = False

    async def _reconcile_cluster(self, name: str) -> Any:
        return await self._clusters.reconcile(name)

    def staleness(self) -> str | None:
        """Return what is wrong, or None; a standby that waits for the Lease is well."""
        return self._watches.staleness() if self._leading else None

    async def run(self, stop: asyncio.Event) -> None:
        """Lead until stopped. Raises LostLeaseError, and whatever a loop did not expect."""
        runner = await health.serve(self._settings.health_host, self._settings.health_port, self.staleness)
        try:
            if await self._acquire(stop):
                await self._lead(stop)
        finally:
            await runner.cleanup()

    async def _acquire(self, stop: asyncio.Event) -> bool:
        """Wait for the Lease; return False when stopped before."""
        acquiring, stopping = asyncio.create_task(self._lease.acquire()), asyncio.create_task(stop.wait())
        await asyncio.wait({acquiring, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not acquiring.done():
            acquiring.cancel()
            return False
        acquiring.result()
        return True

    async def _lead(self, stop: asyncio.Event) -> None:
        """Know everything first, then act: no decision is taken before the first complete lists."""
        keeping = asyncio.create_task(self._lease.keep(), name="lease")
        loops = (
            self._cluster_loops,
            self._pool_loops,
            self._warehouse_loops,
            self._metering_loops,
            self._monitor_loops,
        )
        lost = False
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._list_all()
            for loop in loops:
                loop.start()
            self._background.begin()
            self._wiring.all()
            self._monitor_wiring.all()
            self._leading = True
            tasks = [_task(self._watches.run()), _task(self._watches.resync()), _task(self._events.run())]
            failures = [part.failed for part in (*loops, self._background) if part.failed is not None]
            stopping = _task(_until(stop))
            done, _ = await asyncio.wait({keeping, stopping, *tasks, *failures}, return_when=asyncio.FIRST_COMPLETED)
            lost = keeping in done
            tasks.append(stopping)
            for ended in done:
                ended.result()
        finally:
            log.info("stopping", lost_lease=lost)
            for loop in loops:
                await loop.stop()
            await self._background.stop()
            await _cancel([*tasks, keeping])
            if not lost and not self._forsaken:
                await self._lease.release()

    async def _list_all(self) -> None:
        """List everything; an API server that is just starting, or whose CRDs are new, refuses that for a moment."""
        while True:
            try:
                return await self._watches.list_all()
            except UnavailableError as error:
                log.warning("cannot list yet", error=str(error))
                await asyncio.sleep(LIST_RETRY_SECONDS)

    def forsake_lease(self) -> None:
        """Leave the Lease held at the end, as a killed process does."""
        self._forsaken = True


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _task(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(coroutine)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings, key: Ed25519PrivateKey, stop: asyncio.Event) -> None:
    """Connect and lead until stopped."""
    async with contextlib.AsyncExitStack() as stack:
        api = await KubeApi.connect(settings.namespace)
        stack.push_async_callback(api.close)
        session = await stack.enter_async_context(agent_session())
        await Operator(settings, api, Agents(key, session)).run(stop)
