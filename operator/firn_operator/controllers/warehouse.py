"""Warehouses: start and drain clusters as decided, and say how the warehouse stands."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from firn_operator import metrics
from firn_operator.build.cluster import cluster_manifest, resize_patch, stamp
from firn_operator.build.metering import with_credits
from firn_operator.build.monitor import with_limit
from firn_operator.build.status import difference, warehouse_status
from firn_operator.controllers.loop import Gone, utc_now
from firn_operator.controllers.network import NetworkPolicies
from firn_operator.controllers.pool import PoolController
from firn_operator.decide.decision import earliest
from firn_operator.decide.metering import burn_rate
from firn_operator.decide.monitor import limit_of
from firn_operator.decide.observed import Warehouse
from firn_operator.decide.reason import Reason
from firn_operator.decide.scaling import NoteSpare
from firn_operator.decide.warehouse import Action, DrainCluster, Observed, ResizeCluster, StartCluster, decide
from firn_operator.errors import ConflictError, NotFoundError
from firn_operator.kube.api import CLUSTERS, WAREHOUSES, KubeApi, Raw
from firn_operator.kube.events import Events
from firn_operator.observe import parse
from firn_operator.observe.account import Account
from firn_operator.steps import Steps

log = structlog.get_logger()

QUIET = timedelta(seconds=1)
"""How long a warehouse's status waits for its new cluster: the API server's time belongs to the claim, and a resume
that takes less needs one write, not two."""
STATUS_GAP = timedelta(milliseconds=100)
"""Least time between two warehouses' statuses while claims come, which go first."""
CREDITS_PERIOD = timedelta(seconds=30)
"""How often the credits used are written when nothing else has changed."""
LOAD = frozenset({"load"})
Told = StartCluster | DrainCluster | ResizeCluster


class WarehouseController:
    """The loop body of warehouses."""

    def __init__(
        self,
        api: KubeApi,
        account: Account,
        events: Events,
        steps: Steps,
        network: NetworkPolicies,
        pools: PoolController,
    ) -> None:
        self._api = api
        self._account = account
        self._events = events
        self._steps = steps
        self._network = network
        self._pools = pools
        self._drained_at: dict[str, datetime] = {}
        self._credits_at: dict[str, datetime] = {}
        self._turns: dict[str, datetime] = {}
        self._last_turn = utc_now()

    def observe(self, warehouse: Warehouse) -> Observed:
        """Return what is known of a warehouse."""
        state = self._account.state
        monitor = state.monitors.get(warehouse.spec.resource_monitor or "")
        limit = limit_of(monitor) if monitor else None
        taken = state.indices_before(warehouse)
        clusters = state.clusters_of(warehouse.uid)
        stranded = frozenset(c.uid for c in clusters if self._pools.is_stranded(c))
        has_spare = bool(stranded) and self._pools.has_present(warehouse.spec.pool)
        return Observed(warehouse, clusters, state.services, limit, taken, stranded, has_spare)

    async def reconcile(self, name: str) -> datetime | None:
        """Observe, decide, apply."""
        warehouse = self._account.state.warehouses.get(name)
        if warehouse is None:
            self._drained_at.pop(name, None)
            self._credits_at.pop(name, None)
            self._turns.pop(name, None)
            raise Gone
        now = utc_now()
        observed = self.observe(warehouse)
        decision = decide(observed, now)
        for action in decision.actions:
            await self._apply(observed, action, now)
        if decision.actions:
            return utc_now()
        if warehouse.load and warehouse.load.burst:
            await self._network.ensure(warehouse)
        waits_until = self._quiet_until(observed, now)
        if waits_until:
            return waits_until
        show_at = await self._write_status(observed, decision.reason, decision.message)
        return earliest((decision.wake_at, show_at))

    def _quiet_until(self, observed: Observed, now: datetime) -> datetime | None:
        young = [c.requested_at + QUIET for c in observed.active if not c.is_running]
        return min((t for t in young if t > now), default=None)

    async def _apply(self, observed: Observed, action: Action, now: datetime) -> None:
        warehouse = observed.warehouse
        match action:
            case StartCluster():
                await self._start(warehouse, action, observed.running_since or now, now)
            case DrainCluster():
                await self._drain(warehouse, action, now)
            case ResizeCluster():
                await self._resize(warehouse, action, now)
            case NoteSpare(since, clusters):
                await self._remember(warehouse, {"sparesSince": since and stamp(since), "sparesOf": clusters})

    async def _start(self, warehouse: Warehouse, action: StartCluster, resumed_at: datetime, now: datetime) -> None:
        """Create the cluster; its own loop claims a head at once, from the answer and not from the watch."""
        manifest = cluster_manifest(warehouse, action.index, action.automatic, now, resumed_at)
        name = manifest["metadata"]["name"]
        self._steps.begin(name, "warehouse_event", now)
        try:
            raw = await self._api.create(CLUSTERS, manifest)
        except ConflictError:
            raw = await self._api.get(CLUSTERS, name)
        self._steps.mark(name, "cluster_created", utc_now())
        cluster = self._account.learn_cluster(raw)
        if cluster.warehouse_uid != warehouse.uid:
            raise ConflictError(f"cluster {name} is still that of an earlier warehouse of this name")
        self._drained_at.pop(warehouse.name, None)
        self._tell(warehouse, action, f"cluster {name} starts")
        await self._network.ensure(warehouse)

    async def _drain(self, warehouse: Warehouse, action: DrainCluster, now: datetime) -> None:
        """Have a cluster drain, if a fresh look at the warehouse decides the same."""
        try:
            fresh = self._account.learn_warehouse(await self._api.get(WAREHOUSES, warehouse.name))
        except NotFoundError:
            fresh = replace(warehouse, deleting=True)
        if fresh.uid == warehouse.uid and action not in decide(self.observe(fresh), utc_now()).actions:
            log.info("drain withdrawn", warehouse=warehouse.name, cluster=action.name)
            return
        patch: list[Raw] = [
            {"op": "test", "path": "/metadata/uid", "value": action.uid},
            {"op": "add", "path": "/spec/drain", "value": True},
        ]
        try:
            self._account.learn_cluster(await self._api.patch(CLUSTERS, action.name, patch))
        except NotFoundError:
            self._account.state.clusters.remove(action.name, action.uid)
        self._drained_at[warehouse.name] = now
        self._tell(warehouse, action, f"cluster {action.name} drains")

    async def _resize(self, warehouse: Warehouse, action: ResizeCluster, now: datetime) -> None:
        """Change the cluster's size; its own loop claims or releases nodes."""
        try:
            raw = await self._api.patch(CLUSTERS, action.name, resize_patch(action.uid, action.size, now))
        except (NotFoundError, ConflictError):
            self._account.state.clusters.remove(action.name, action.uid)
            return
        self._account.learn_cluster(raw)
        self._tell(warehouse, action, f"cluster {action.name} becomes {action.size.value}")

    async def _remember(self, warehouse: Warehouse, scaling: Raw) -> None:
        """Write what the scaling policy remembers."""
        patch = {"metadata": {"uid": warehouse.uid}, "status": {"scaling": scaling}}
        try:
            self._account.learn_warehouse(await self._api.patch(WAREHOUSES, warehouse.name, patch, "status"))
        except (NotFoundError, ConflictError):
            self._account.state.warehouses.remove(warehouse.name, warehouse.uid)

    def _tell(self, warehouse: Warehouse, action: Told, message: str) -> None:
        kind = type(action).__name__
        metrics.ACTIONS.labels("warehouse", kind, action.reason.value).inc()
        log.info("warehouse", action=kind, warehouse=warehouse.name, reason=action.reason.value, message=message)
        self._events.tell("VirtualWarehouse", warehouse.name, warehouse.uid, action.reason, message)

    def _turn(self, warehouse: Warehouse, now: datetime) -> datetime:
        """Return when a warehouse's status may be written: one after the other while the pool's claims come."""
        if not self._pools.claims_come(warehouse.spec.pool):
            self._turns.pop(warehouse.name, None)
            return now
        turn = self._turns.get(warehouse.name)
        if turn is None:
            turn = self._turns[warehouse.name] = self._last_turn = max(now, self._last_turn + STATUS_GAP)
        if turn <= now:
            del self._turns[warehouse.name]
        return turn

    def _knows_monitor(self, warehouse: Warehouse) -> bool:
        return self._account.state.monitors.get(warehouse.spec.resource_monitor or "") is not None

    async def _write_status(self, observed: Observed, reason: Reason, message: str) -> datetime | None:
        """Write what has changed, with the credits of this moment; return when these are worth a write of their own."""
        warehouse = observed.warehouse
        now = utc_now()
        first = warehouse.created_at if warehouse.status.suspended_at is None and not observed.present else now
        suspended_at = self._drained_at.get(warehouse.name, first)
        after = warehouse_status(observed, reason, message, suspended_at, now)
        after = with_limit(after, warehouse, observed.limit, self._knows_monitor(warehouse), now)
        shown = with_credits(after, observed, now)
        burns = burn_rate(observed.clusters, now) > 0
        due_at = self._credits_at.get(warehouse.name, now) + CREDITS_PERIOD if burns else now
        changed = difference(warehouse.status, after, LOAD)
        patch = difference(warehouse.status, shown, LOAD)
        if patch is None or warehouse.deleting or (changed is None and now < due_at):
            return due_at if burns else None
        turn = self._turn(warehouse, now)
        if now < turn:
            return turn
        patch["metadata"] = {"uid": warehouse.uid}
        try:
            raw = await self._api.patch(WAREHOUSES, warehouse.name, patch, "status")
        except (NotFoundError, ConflictError):
            return None
        self._credits_at[warehouse.name] = now
        self._account.state.warehouses.put(parse.warehouse(raw))
        if after.phase is not warehouse.status.phase:
            text = f"now {after.phase.value}"
            self._events.tell("VirtualWarehouse", warehouse.name, warehouse.uid, reason, text)
        return now + CREDITS_PERIOD if burns else None
