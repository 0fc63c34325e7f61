"""When a warehouse starts and suspends.

Source: design.md "auto-suspend, auto-resume" and section 3 ("Unknown is not idle", "Drain is a handshake"); the hold
and the one-shot requests: section 4, VirtualWarehouse; AUTO_SUSPEND and AUTO_RESUME: Snowflake's CREATE WAREHOUSE.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.warehouses import WarehouseLoad

from firn_operator.decide.decision import Decision
from firn_operator.decide.observed import Cluster, ServicesLease, Warehouse
from firn_operator.decide.reason import Reason


@dataclass(frozen=True, slots=True)
class Observed:
    """One warehouse with all its clusters, and who vouches for its load."""

    warehouse: Warehouse
    clusters: tuple[Cluster, ...]
    services: ServicesLease | None

    @property
    def active(self) -> tuple[Cluster, ...]:
        """The clusters that are wanted, in the order of their index."""
        return tuple(sorted((c for c in self.clusters if not c.is_leaving), key=lambda c: c.spec.index))

    @property
    def running_since(self) -> datetime | None:
        """Since when the warehouse is started; requests that are older do not concern this run.

        The decision to start is on the cluster itself, so that a restart before the status was written loses nothing.
        """
        if not self.active:
            return None
        oldest = min(c.requested_at for c in self.active)
        return max(oldest, self.warehouse.status.resumed_at or oldest)


@dataclass(frozen=True, slots=True)
class StartCluster:
    """Create the cluster with this index."""

    index: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class DrainCluster:
    """Have this cluster drain; never taken back."""

    name: str
    uid: str
    reason: Reason


Action = StartCluster | DrainCluster


def decide(observed: Observed, now: datetime) -> Decision[Action]:
    """Return which clusters to start or drain, and when idleness will be long enough."""
    if observed.warehouse.deleting:
        return _drain_all(observed, Reason.WAREHOUSE_GONE, "the warehouse is being deleted")
    if observed.warehouse.spec.suspended:
        return _drain_all(observed, Reason.HELD, "spec.suspended holds it; set it to false to let statements resume it")
    if observed.active:
        return _decide_started(observed, now)
    return _decide_suspended(observed, now)


def clusters_wanted(observed: Observed) -> int:
    """Return how many clusters a started warehouse runs. One, until cluster ranges are built."""
    return 1


def _decide_suspended(observed: Observed, now: datetime) -> Decision[Action]:
    wish = _wish_to_resume(observed, now)
    if wish is None:
        return Decision((), Reason.SUSPENDED, _suspended_message(observed))
    indices = _free_indices(observed, clusters_wanted(observed))
    return Decision(tuple(StartCluster(i, wish) for i in indices), wish, "starting")


def _wish_to_resume(observed: Observed, now: datetime) -> Reason | None:
    """Return why a warehouse without wanted clusters should start, or None.

    Statements that run while a cluster still drains are that cluster's; without any cluster they were lost with it,
    if the report is younger than the suspension.
    """
    warehouse = observed.warehouse
    load = warehouse.load
    if warehouse.spec.auto_resume and load and observed.services and observed.services.vouches_for(load, now):
        suspended_at = warehouse.status.suspended_at
        stranded = (
            load.running > 0 and not observed.clusters and (suspended_at is None or load.observed_at > suspended_at)
        )
        if (load.queued > 0 and _is_after_suspend_request(warehouse, load)) or stranded:
            return Reason.STATEMENT_QUEUED
    requested = warehouse.resume_requested_at
    before = (warehouse.status.suspended_at, warehouse.status.resumed_at, warehouse.suspend_requested_at)
    if requested and all(moment is None or requested > moment for moment in before):
        return Reason.RESUME_REQUESTED
    return None


def _is_after_suspend_request(warehouse: Warehouse, load: WarehouseLoad) -> bool:
    """Whether a report tells of what waits now: an older one may tell of a statement that has run since.

    The services report again what still waits when they see the request.
    """
    requested = warehouse.suspend_requested_at
    return requested is None or load.observed_at > requested


def _free_indices(observed: Observed, count: int) -> list[int]:
    """Return the lowest indices that no cluster has; one that drains keeps its own."""
    used = {c.spec.index for c in observed.clusters}
    return [i for i in range(1, len(used) + count + 1) if i not in used][:count]


def _decide_started(observed: Observed, now: datetime) -> Decision[Action]:
    warehouse, since = observed.warehouse, observed.running_since
    requested = warehouse.suspend_requested_at
    if requested and since and requested > since:
        return _drain_all(observed, Reason.SUSPEND_REQUESTED, "suspending on request")
    wanted = clusters_wanted(observed)
    if len(observed.active) > wanted:
        extra = observed.active[wanted:]
        reason = Reason.TOO_MANY_CLUSTERS
        return Decision(tuple(DrainCluster(c.name, c.uid, reason) for c in extra), reason, "draining extra clusters")
    if len(observed.active) < wanted:
        indices = _free_indices(observed, wanted - len(observed.active))
        return Decision(tuple(StartCluster(i, Reason.RESUMING) for i in indices), Reason.RESUMING, "starting")
    return _decide_idleness(observed, now)


def _decide_idleness(observed: Observed, now: datetime) -> Decision[Action]:
    warehouse = observed.warehouse
    running = any(c.is_running for c in observed.active)
    quiet = (Reason.RUNNING, "") if running else (Reason.RESUMING, "starting")
    if warehouse.spec.auto_suspend_seconds == 0:
        return Decision((), *quiet)
    load = warehouse.load
    if load is None or observed.services is None or not observed.services.vouches_for(load, now):
        reason = Reason.LOAD_UNKNOWN if running else quiet[0]
        return Decision((), reason, "its load is unknown: the services do not report, so it is not suspended")
    if load.queued > 0 or load.running > 0 or load.idle_since is None:
        return Decision((), *quiet)
    since = observed.running_since
    idle_from = max(load.idle_since, since) if since else load.idle_since
    due = idle_from + timedelta(seconds=warehouse.spec.auto_suspend_seconds)
    if now < due:
        return Decision((), *quiet, wake_at=due)
    return _drain_all(observed, Reason.IDLE, f"idle for {warehouse.spec.auto_suspend_seconds} s")


def _drain_all(observed: Observed, reason: Reason, message: str) -> Decision[Action]:
    return Decision(tuple(DrainCluster(c.name, c.uid, reason) for c in observed.active), reason, message)


def _suspended_message(observed: Observed) -> str:
    if observed.clusters:
        return "draining its last statements"
    if not observed.warehouse.spec.auto_resume:
        return "suspended; spec.autoResume is off, so only a resume request starts it"
    return "suspended; the next statement resumes it"
