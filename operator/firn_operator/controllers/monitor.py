"""Resource monitors: count what their warehouses use, tell, and set the limit that the warehouses' loops obey."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from firn_model.monitors import MonitorStatus

from firn_operator import metrics
from firn_operator.build.monitor import monitor_status, waiting_status
from firn_operator.build.status import difference
from firn_operator.controllers.loop import Gone, Loops, utc_now
from firn_operator.decide.decision import earliest
from firn_operator.decide.metering import burn_rate, used
from firn_operator.decide.monitor import LIMITS, Standing, ledger_in, news, period_at, stand, start_of, words
from firn_operator.decide.observed import Cluster, Monitor, Warehouse
from firn_operator.decide.reason import Reason
from firn_operator.errors import NotFoundError
from firn_operator.kube.api import MONITORS, KubeApi
from firn_operator.kube.events import Events
from firn_operator.observe.account import Account
from firn_operator.observe.state import State

log = structlog.get_logger()

SHOW_PERIOD = timedelta(seconds=30)
"""How often the credits used are written when nothing else has changed."""
SHOWN_ONLY = frozenset({"creditsUsed", "conditions"})


class MonitorController:
    """The loop body of resource monitors."""

    def __init__(self, api: KubeApi, account: Account, events: Events) -> None:
        self._api = api
        self._account = account
        self._events = events
        self._shown_at: dict[str, datetime] = {}

    async def reconcile(self, name: str) -> datetime | None:
        """Observe, decide, apply."""
        monitor = self._account.state.monitors.get(name)
        if monitor is None:
            self._shown_at.pop(name, None)
            raise Gone
        now = utc_now()
        start = start_of(monitor)
        period = period_at(monitor.spec.frequency, start, now)
        if period is None:
            await self._write(monitor, waiting_status(monitor, start, now))
            return start
        clusters = clusters_of(self._account.state, monitor)
        rate = burn_rate(clusters, now)
        amount = used(ledger_in(monitor, period), clusters, now, period.start)
        standing = stand(monitor.spec, period, amount, rate, now)
        after = monitor_status(monitor, period, standing, now)
        show_at = self._shown_at.get(name, now) + SHOW_PERIOD if rate else now
        if now < show_at and difference(monitor.status, after, SHOWN_ONLY) is None:
            return earliest((standing.wake_at, show_at))
        told = monitor.status.reached if monitor.status.period_start == period.start else ()
        if await self._write(monitor, after):
            self._shown_at[name] = now
            self._tell(monitor, standing, told, words(monitor.spec, standing, period))
        return earliest((standing.wake_at, now + SHOW_PERIOD if rate else None))

    async def _write(self, monitor: Monitor, after: MonitorStatus) -> bool:
        """Write what has changed, if the monitor is still as it was read; return whether it was there to write to."""
        patch = difference(monitor.status, after)
        if patch is None:
            return True
        patch["metadata"] = {"uid": monitor.uid, "resourceVersion": str(monitor.version)}
        try:
            self._account.learn_monitor(await self._api.patch(MONITORS, monitor.name, patch, "status"))
        except NotFoundError:
            return False
        return True

    def _tell(self, monitor: Monitor, standing: Standing, told: tuple[int, ...], message: str) -> None:
        for trigger in news(standing, told):
            reason = LIMITS.get(trigger.action, Reason.MONITOR_NOTIFY)
            metrics.ACTIONS.labels("monitor", trigger.action.value, reason.value).inc()
            log.info("monitor", action=trigger.action.value, monitor=monitor.name, percent=trigger.percent)
            text = f"{trigger.percent} % of the quota reached: {message}"
            self._events.tell("ResourceMonitor", monitor.name, monitor.uid, reason, text)


def clusters_of(state: State, monitor: Monitor) -> list[Cluster]:
    """Return the clusters of the warehouses that name a monitor, and those that are left of such warehouses."""
    found = [
        cluster
        for warehouse in state.warehouses.values()
        if warehouse.spec.resource_monitor == monitor.name
        for cluster in state.clusters_of(warehouse.uid)
    ]
    left = (c for c in state.clusters.values() if c.monitor == monitor.name and _is_left(state, c))
    return [*found, *left]


def _is_left(state: State, cluster: Cluster) -> bool:
    warehouse = state.warehouses.get(cluster.spec.warehouse)
    return warehouse is None or warehouse.uid != cluster.warehouse_uid


class MonitorWiring:
    """Wakes monitors when what they count changes, and warehouses when their monitor's limit does."""

    def __init__(self, state: State, monitors: Loops, wake_warehouse: Callable[[str], None]) -> None:
        self._state = state
        self._monitors = monitors
        self._wake_warehouse = wake_warehouse
        state.listeners.append(self.changed)

    def all(self) -> None:
        """Wake all monitors, as after a start."""
        for monitor in self._state.monitors.values():
            self._monitors.wake(monitor.name)

    def changed(self, before: object | None, after: object | None) -> None:
        """Wake whom the change of one object concerns."""
        thing = after or before
        if isinstance(thing, Monitor):
            self._monitors.wake(thing.name)
            if not (isinstance(before, Monitor) and isinstance(after, Monitor)) or _limit(before) != _limit(after):
                self._wake_named(thing.name)
        elif isinstance(thing, Cluster):
            if _metering(before) != _metering(after):
                warehouse = self._state.warehouses.get(thing.spec.warehouse)
                self._wake(warehouse.spec.resource_monitor if warehouse else thing.monitor)
        elif isinstance(thing, Warehouse):
            names = {w.spec.resource_monitor for w in (before, after) if isinstance(w, Warehouse)}
            if len(names) > 1 or before is None or after is None:
                for name in names:
                    self._wake(name)

    def _wake(self, name: str | None) -> None:
        if name and self._state.monitors.get(name):
            self._monitors.wake(name)

    def _wake_named(self, monitor: str) -> None:
        for warehouse in self._state.warehouses.values():
            if warehouse.spec.resource_monitor == monitor:
                self._wake_warehouse(warehouse.name)


def _limit(monitor: Monitor) -> tuple[object, ...]:
    return (monitor.status.limit, monitor.status.period_end, monitor.spec.credit_quota, monitor.deleting)


def _metering(cluster: object | None) -> object:
    return (cluster.status.metering, cluster.status.drained) if isinstance(cluster, Cluster) else None
