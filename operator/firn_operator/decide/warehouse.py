"""When a warehouse starts and suspends, and how its clusters follow its size, type and pool.

Source: design.md "auto-suspend, auto-resume" and section 3 ("Unknown is not idle", "Drain is a handshake"); the hold
and the one-shot requests: section 4, VirtualWarehouse; AUTO_SUSPEND and AUTO_RESUME: Snowflake's CREATE WAREHOUSE;
section 6, "sizes and resize". How many clusters a started warehouse runs: scaling.py.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from firn_model.sizes import WarehouseSize
from firn_model.warehouses import ScalingStatus, WarehouseLoad, WarehouseSpec

from firn_operator.decide import scaling
from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.monitor import Limit
from firn_operator.decide.observed import Cluster, ServicesLease, Warehouse
from firn_operator.decide.reason import Reason
from firn_operator.decide.scaling import NoteSpare

SETTLING = timedelta(seconds=2)
"""How much older than a report without names a cluster's start must be for the report to be after it: the services see
the cluster by their watch, and report at most once a second."""
RENEWAL_PERIOD = timedelta(seconds=1)
"""How often a warehouse with clusters that lack nodes for good looks whether others could be made."""
NOTHING_REMEMBERED = ScalingStatus()


@dataclass(frozen=True, slots=True)
class Observed:
    """One warehouse with all its clusters, and who vouches for its load."""

    warehouse: Warehouse
    clusters: tuple[Cluster, ...]
    services: ServicesLease | None
    limit: Limit | None = None
    """What its resource monitor does to it."""
    taken: frozenset[int] = frozenset()
    """Indices whose names the clusters of an earlier warehouse of this name have still."""
    stranded: frozenset[str] = frozenset()
    """UIDs of clusters that lack nodes which their pool makes no more (templates.py)."""
    has_spare: bool = False
    """Whether the pool has a node of its present template for a head."""
    active: tuple[Cluster, ...] = field(init=False)
    """The clusters that are wanted, in the order of their index."""
    running_since: datetime | None = field(init=False)
    """Since when the warehouse is started; requests that are older do not concern this run. The decision to start is on
    the cluster itself, so that a restart before the status was written loses nothing."""
    is_complete: bool = field(init=False)
    """Whether all that are wanted serve, are what the spec says and lack nothing for good: only load changes them."""

    def __post_init__(self) -> None:
        spec, wanted = self.warehouse.spec, [c for c in self.clusters if not c.is_leaving]
        if len(wanted) > 1:
            wanted.sort(key=lambda c: c.spec.index)
        complete = not self.stranded and all(c.is_running and _is_of(c, spec) for c in wanted)
        object.__setattr__(self, "active", tuple(wanted))
        object.__setattr__(self, "running_since", min([c.run_since for c in wanted], default=None))
        object.__setattr__(self, "is_complete", complete)

    @property
    def present(self) -> tuple[Cluster, ...]:
        """The clusters that have nodes still, or wait for some; of the others only the name is in use."""
        return tuple(c for c in self.clusters if not c.is_released)

    def fresh_load(self, now: datetime) -> WarehouseLoad | None:
        """Return the load, if somebody vouches for it."""
        load = self.warehouse.load
        return load if self.services and self.services.vouches_for(load, now) else None


@dataclass(frozen=True, slots=True)
class StartCluster:
    """Create the cluster with this index; `automatic`: the scaling policy wants it, and paces such starts."""

    index: int
    reason: Reason
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class DrainCluster:
    """Have this cluster drain; never taken back."""

    name: str
    uid: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class ResizeCluster:
    """Give this cluster another size; its running statements keep their nodes."""

    name: str
    uid: str
    size: WarehouseSize
    reason: Reason


Action = StartCluster | DrainCluster | ResizeCluster | NoteSpare
SETTLED: Decision[Action] = Decision((), Reason.RUNNING, "")


def decide(observed: Observed, now: datetime) -> Decision[Action]:
    """Return which clusters to start or drain, and when idleness will be long enough.

    A request counts from its moment: one of a clock that is ahead waits for it, as it would suspend what starts until
    then again and again.
    """
    warehouse = observed.warehouse
    suspend, resume = warehouse.suspend_requested_at, warehouse.resume_requested_at
    early = [at for at in (suspend, resume) if at and at > now] if suspend or resume else []
    if not early:
        return _decide_now(observed, now)
    decision = _decide_now(replace(observed, warehouse=_without(warehouse, early)), now)
    return replace(decision, wake_at=earliest((decision.wake_at, *early)))


def _without(warehouse: Warehouse, early: Collection[datetime]) -> Warehouse:
    """Return the warehouse as if these requests had not been made."""
    suspend, resume = warehouse.suspend_requested_at, warehouse.resume_requested_at
    return replace(
        warehouse,
        suspend_requested_at=None if suspend in early else suspend,
        resume_requested_at=None if resume in early else resume,
    )


def _decide_now(observed: Observed, now: datetime) -> Decision[Action]:
    if observed.warehouse.deleting:
        return _drain_all(observed, Reason.WAREHOUSE_GONE, "the warehouse is being deleted")
    if observed.warehouse.spec.suspended:
        return _drain_all(observed, Reason.HELD, "spec.suspended holds it; set it to false to let statements resume it")
    if observed.limit:
        return _drain_all(observed, observed.limit.reason, observed.limit.message)
    if observed.active:
        return _decide_started(observed, now)
    return _decide_suspended(observed, now)


def _decide_suspended(observed: Observed, now: datetime) -> Decision[Action]:
    wish = _wish_to_resume(observed, now)
    if wish is None:
        return Decision((), Reason.SUSPENDED, _suspended_message(observed))
    indices = _free_indices(observed, observed.warehouse.spec.min_cluster_count)
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
            load.running > 0 and not observed.present and (suspended_at is None or load.observed_at > suspended_at)
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
    """Return the lowest indices that no cluster has; one that drains, or waits for the services, keeps its own."""
    used = observed.taken | {c.spec.index for c in observed.clusters}
    return [i for i in range(1, len(used) + count + 1) if i not in used][:count]


def _decide_started(observed: Observed, now: datetime) -> Decision[Action]:
    warehouse, since = observed.warehouse, observed.running_since
    requested = warehouse.suspend_requested_at
    if requested and since and requested > since:
        return _drain_all(observed, Reason.SUSPEND_REQUESTED, "suspending on request")
    load = observed.fresh_load(now)
    idle_at = _idle_at(warehouse, load, since)
    if idle_at is not None and now >= idle_at:
        return _drain_all(observed, Reason.IDLE, f"idle for {warehouse.spec.auto_suspend_seconds} s")
    if load and observed.is_complete and _is_settled(observed, load):
        return SETTLED if idle_at is None else Decision((), SETTLED.reason, SETTLED.message, idle_at)
    decision = replacement(observed) or resize(observed) or renewal(observed) or _scale(observed, load, now)
    reason, message = decision.reason, decision.message
    if not decision.actions and reason in (Reason.RUNNING, Reason.LOAD_UNKNOWN):
        reason, message = _words(observed, decision, load)
    renew_at = now + RENEWAL_PERIOD if observed.stranded else None
    return Decision(decision.actions, reason, message, earliest((decision.wake_at, idle_at, renew_at)))


def _is_of(cluster: Cluster, spec: WarehouseSpec) -> bool:
    """Whether a cluster has the warehouse's size, type and pool."""
    own = cluster.spec
    return own.size is spec.size and own.type is spec.type and own.pool == spec.pool


def _idle_at(warehouse: Warehouse, load: WarehouseLoad | None, since: datetime | None) -> datetime | None:
    """Return when idleness is long enough; None: never, not idle, or nobody vouches for it."""
    if warehouse.spec.auto_suspend_seconds == 0 or load is None:
        return None
    if load.queued > 0 or load.running > 0 or load.idle_since is None:
        return None
    idle_from = max(load.idle_since, since) if since else load.idle_since
    return idle_from + timedelta(seconds=warehouse.spec.auto_suspend_seconds)


def _words(observed: Observed, decision: Decision[Action], load: WarehouseLoad | None) -> tuple[Reason, str]:
    """Return how a warehouse stands that waits for nothing but its load."""
    running = any(c.is_running for c in observed.active)
    quiet = (Reason.RUNNING, "") if running else (Reason.RESUMING, "starting")
    if observed.warehouse.spec.auto_suspend_seconds > 0 and load is None:
        reason = Reason.LOAD_UNKNOWN if running else quiet[0]
        return reason, "its load is unknown: the services do not report, so it is not suspended"
    return (decision.reason, decision.message) if running and decision.reason is Reason.LOAD_UNKNOWN else quiet


def replacement(observed: Observed) -> Decision[Action] | None:
    """Return how clusters of another type or pool are replaced; None when there are none.

    As many new ones are started as there are old ones, and an old one drains when a new one runs in its place: for that
    while there are more clusters than the range says, so that no capacity is lost and no statement fails.
    """
    spec = observed.warehouse.spec
    old = [c for c in observed.active if c.spec.type is not spec.type or c.spec.pool != spec.pool]
    if not old:
        return None
    new = [c for c in observed.active if c not in old]
    target = min(max(len(old), len(new), spec.min_cluster_count), spec.max_cluster_count)
    starts = [StartCluster(i, Reason.NODES_CHANGED) for i in _free_indices(observed, max(0, target - len(new)))]
    kept = max(0, target - sum(1 for c in new if c.is_running))
    serving = [c for c in old if c.is_running]
    spent = [
        *(c for c in old if not c.is_running),
        *sorted(serving, key=_burden(observed))[: max(0, len(serving) - kept)],
    ]
    drains = [DrainCluster(c.name, c.uid, Reason.NODES_CHANGED) for c in spent]
    message = "its clusters are replaced by such of its new type and pool"
    return Decision((*starts, *drains), Reason.NODES_CHANGED, message)


def renewal(observed: Observed) -> Decision[Action] | None:
    """Return how a cluster that lacks nodes for good gives way to one of nodes that its pool makes; None: it does not.

    One at a time, and only when the other's head is there: the statements that run finish where they are.
    """
    stranded = [c for c in observed.active if c.uid in observed.stranded]
    if not stranded or not observed.has_spare or not all(c.is_running for c in observed.active):
        return None
    old = min(stranded, key=_burden(observed))
    drain = DrainCluster(old.name, old.uid, Reason.OUTDATED)
    starts = (StartCluster(i, Reason.OUTDATED) for i in _free_indices(observed, 1))
    message = f"cluster {old.name} lacks nodes of a template that is made no more, and is replaced"
    return Decision((drain, *starts), Reason.OUTDATED, message)


def _burden(observed: Observed) -> Callable[[Cluster], tuple[float, int]]:
    """Return what orders clusters by how little runs on them, as far as is known."""
    load = observed.warehouse.load
    by_name = {c.name: c.concurrency for c in load.clusters} if load else {}
    return lambda cluster: (by_name.get(cluster.name, 0.0), -cluster.spec.index)


def resize(observed: Observed) -> Decision[Action] | None:
    """Return the clusters that get another size, all at once; None when there are none."""
    size = observed.warehouse.spec.size
    others = [c for c in observed.active if c.spec.size is not size]
    if not others:
        return None
    actions = tuple(ResizeCluster(c.name, c.uid, size, Reason.SIZE_CHANGED) for c in others)
    return Decision(actions, Reason.SIZE_CHANGED, f"resizing to {size.value}")


def _scale(observed: Observed, load: WarehouseLoad | None, now: datetime) -> Decision[Action]:
    """Return what the scaling policy decides, for these very clusters."""
    decision = scaling.decide(_scaling_observed(observed, load), scaling.policy_of(observed.warehouse.spec), now)
    actions: list[Action] = []
    for action in decision.actions:
        match action:
            case scaling.Start(count, reason, automatic):
                actions += [StartCluster(i, reason, automatic) for i in _free_indices(observed, count)]
            case scaling.Stop(index, reason):
                actions += [DrainCluster(c.name, c.uid, reason) for c in observed.active if c.spec.index == index]
            case NoteSpare():
                actions.append(action)
    return Decision(tuple(actions), decision.reason, decision.message, decision.wake_at)


def _is_settled(observed: Observed, load: WarehouseLoad) -> bool:
    """Whether no policy wants another number of clusters, which is the usual case and told without asking one.

    There are as few as may be, nothing waits, what runs has room, and no spare cluster is remembered.
    """
    spec, count, memory = observed.warehouse.spec, len(observed.active), observed.warehouse.status.scaling
    if load.queued or count != spec.min_cluster_count or (memory and memory.spares_since):
        return False
    concurrency = sum([c.concurrency for c in load.clusters]) if load.clusters else load.running
    return concurrency <= count * spec.max_concurrency_level


def _scaling_observed(observed: Observed, load: WarehouseLoad | None) -> scaling.Observed:
    """Return the clusters and the load in the plain numbers of the scaling policy."""
    by_name = {c.name: c.concurrency for c in load.clusters} if load else {}
    members = [
        scaling.Member(c.spec.index, c.is_running, _is_reported(c, load, by_name), by_name.get(c.name, 0.0))
        for c in observed.active
    ]
    known, status = None, observed.warehouse.status.scaling or NOTHING_REMEMBERED
    if load:
        concurrency = sum([m.concurrency for m in members]) if load.clusters else load.running
        known = scaling.Load(load.queued, load.queued_seconds, concurrency)
    starts = [c.requested_at for c in observed.clusters if c.automatic]
    last = max(starts, default=status.last_start_at)
    if status.last_start_at and last and status.last_start_at > last:
        last = status.last_start_at
    return scaling.Observed(tuple(members), known, scaling.Memory(last, status.spares_since, status.spares_of))


def _is_reported(cluster: Cluster, load: WarehouseLoad | None, by_name: Mapping[str, float]) -> bool:
    """Whether the report tells of statements that this cluster could have taken.

    A report names the clusters that the services give statements to; of one that names none its age tells.
    """
    if load is None or cluster.name in by_name:
        return True
    ready_at = cluster.status.started_at or cluster.requested_at
    return load.observed_at >= ready_at + SETTLING


def _drain_all(observed: Observed, reason: Reason, message: str) -> Decision[Action]:
    return Decision(tuple(DrainCluster(c.name, c.uid, reason) for c in observed.active), reason, message)


def _suspended_message(observed: Observed) -> str:
    if observed.present:
        return "draining its last statements"
    if not observed.warehouse.spec.auto_resume:
        return "suspended; spec.autoResume is off, so only a resume request starts it"
    return "suspended; the next statement resumes it"
