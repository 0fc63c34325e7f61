"""How many clusters a started warehouse runs: the range, and the two scaling policies.

Source: seed article, "Multi-cluster auto-scaling policy tradeoffs around cost and responsiveness"; design.md section 6,
"multi-cluster". Plain numbers in, plain numbers out, so that the operator and the simulator run the same rules.

What the seed leaves open is decided like this. A cluster that has not been reported yet (it starts, or was ready after
the report was made) will take as many of the waiting statements as it may run: those start no further cluster. Every
report is a check for scale-down, and "n consecutive checks" means that all reports of n check intervals said that the
load fits on one cluster fewer; a look once a minute would not see what comes and goes between two of them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.warehouses import ScalingPolicy, WarehouseSpec

from firn_operator.decide.decision import Decision
from firn_operator.decide.reason import Reason

SCALE_DOWN_CHECKS = {ScalingPolicy.STANDARD: 2, ScalingPolicy.ECONOMY: 5}
"""The lower bounds of the article's "2 to 3" and "5 to 6" checks."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The range of clusters and the policy's settings. `concurrency` is what one cluster may run at once."""

    minimum: int = 1
    maximum: int = 1
    kind: ScalingPolicy = ScalingPolicy.STANDARD
    concurrency: int = 8
    pacing: timedelta = timedelta(seconds=20)
    check: timedelta = timedelta(seconds=60)
    checks: int = 2
    economy_load_seconds: float = 360

    @property
    def spare_for(self) -> timedelta:
        """For how long the load must fit on one cluster fewer before that one stops."""
        return self.checks * self.check


@dataclass(frozen=True, slots=True)
class Member:
    """One cluster that is wanted. `reported`: the load report knows that it takes statements."""

    index: int
    running: bool = True
    reported: bool = True
    concurrency: float = 0.0

    @property
    def burden(self) -> tuple[bool, float, int]:
        """What orders the clusters by how little their stop disturbs; of equal ones the youngest index goes."""
        return (self.running, self.concurrency, -self.index)


@dataclass(frozen=True, slots=True)
class Load:
    """What is reported: statements that wait, the seconds one cluster needs for them, and what runs in all."""

    queued: int = 0
    queued_seconds: float = 0.0
    concurrency: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered between decisions, as `ScalingStatus`."""

    last_start_at: datetime | None = None
    spares_since: datetime | None = None
    spares_of: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """The clusters that are wanted; `load` is None when nobody vouches for it."""

    members: tuple[Member, ...]
    load: Load | None = None
    memory: Memory = Memory()


@dataclass(frozen=True, slots=True)
class Start:
    """Start so many further clusters; `automatic`: by the policy, which is paced, and not for the range's sake."""

    count: int
    reason: Reason
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Have the cluster of this index drain."""

    index: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class NoteSpare:
    """Remember since when the load of `clusters` clusters fits on one fewer; None: it does not."""

    since: datetime | None
    clusters: int


Action = Start | Stop | NoteSpare
NOTHING: Decision[Action] = Decision((), Reason.RUNNING, "")


def policy_of(spec: WarehouseSpec) -> Policy:
    """Return the policy in a warehouse's spec."""
    settings = spec.scaling
    return Policy(
        minimum=spec.min_cluster_count,
        maximum=max(spec.max_cluster_count, spec.min_cluster_count),
        kind=spec.scaling_policy,
        concurrency=spec.max_concurrency_level,
        pacing=timedelta(seconds=settings.pacing_seconds),
        check=timedelta(seconds=settings.check_seconds),
        checks=settings.scale_down_checks or SCALE_DOWN_CHECKS[spec.scaling_policy],
        economy_load_seconds=settings.economy_load_seconds,
    )


def decide(observed: Observed, policy: Policy, now: datetime) -> Decision[Action]:
    """Return which clusters to start or stop, and when the clock alone may change that."""
    members, count = observed.members, len(observed.members)
    if count < policy.minimum:
        start = Start(policy.minimum - count, Reason.MINIMUM)
        return Decision((start,), Reason.MINIMUM, f"starting its {policy.minimum} clusters")
    if count > policy.maximum:
        extra = sorted(members, key=lambda m: m.burden)[: count - policy.maximum]
        stops = tuple(Stop(m.index, Reason.TOO_MANY_CLUSTERS) for m in extra)
        return Decision(stops, Reason.TOO_MANY_CLUSTERS, "draining extra clusters")
    if policy.minimum == policy.maximum:
        return NOTHING
    if observed.load is None:
        message = "its load is unknown: the services do not report, so its clusters stay as they are"
        return Decision(_note(observed, None), Reason.LOAD_UNKNOWN, message)
    if observed.load.queued > 0 or observed.load.concurrency > count * policy.concurrency:
        return _decide_more(observed, observed.load, policy, now)
    return _decide_fewer(observed, observed.load, policy, now)


def _decide_more(observed: Observed, load: Load, policy: Policy, now: datetime) -> Decision[Action]:
    note, count = _note(observed, None), len(observed.members)
    wish = _wish(observed, load, policy)
    if wish is not Reason.STATEMENT_QUEUED:
        words = f"its queue is {load.queued_seconds:.0f} s of work; Economy starts a cluster for more"
        return Decision(note, wish, words if wish is Reason.SHORT_BURST else "")
    if count >= policy.maximum:
        return Decision(note, Reason.MAXIMUM, f"{load.queued} statements wait; all {count} clusters are started")
    last = observed.memory.last_start_at
    if last is not None and now < last + policy.pacing:
        seconds = f"{policy.pacing.total_seconds():g}"
        return Decision(note, Reason.PACED, f"the next cluster starts {seconds} s after the last", last + policy.pacing)
    start = Start(1, Reason.STATEMENT_QUEUED, automatic=True)
    return Decision((start, *note), Reason.STATEMENT_QUEUED, f"starting cluster {count + 1} of {policy.maximum}")


def _wish(observed: Observed, load: Load, policy: Policy) -> Reason:
    """Return STATEMENT_QUEUED when the policy wants a further cluster, else why it wants none.

    Standard: "either a query is queued or there's one more query than the currently running clusters can execute".
    Economy: "only if there's enough query load to keep the cluster busy for at least 6 minutes", and so for each of
    those that come already.
    """
    coming = sum(1 for m in observed.members if not (m.running and m.reported))
    if policy.kind is ScalingPolicy.ECONOMY:
        enough = load.queued > 0 and load.queued_seconds >= policy.economy_load_seconds * (coming + 1)
        return Reason.STATEMENT_QUEUED if enough else Reason.SHORT_BURST
    crowded = load.concurrency > len(observed.members) * policy.concurrency
    more = crowded or load.queued > coming * policy.concurrency
    return Reason.STATEMENT_QUEUED if more else Reason.RUNNING


def _decide_fewer(observed: Observed, load: Load, policy: Policy, now: datetime) -> Decision[Action]:
    members, memory = observed.members, observed.memory
    least = min(members, key=lambda m: m.burden)
    serving = sum(1 for m in members if m.running and m.reported and m is not least)
    if len(members) <= policy.minimum or load.concurrency > serving * policy.concurrency:
        return Decision(_note(observed, None), Reason.RUNNING, "")
    since = memory.spares_since if memory.spares_of == len(members) else None
    if since is None:
        return Decision(_note(observed, now), Reason.RUNNING, "", now + policy.spare_for)
    if now < since + policy.spare_for:
        return Decision((), Reason.RUNNING, "", since + policy.spare_for)
    words = f"its load has fitted on {len(members) - 1} clusters for {policy.spare_for.total_seconds():g} s"
    return Decision((Stop(least.index, Reason.LOAD_FITS),), Reason.LOAD_FITS, words)


def _note(observed: Observed, since: datetime | None) -> tuple[NoteSpare, ...]:
    """Return the note to take, if what is remembered says another thing or is of another number of clusters."""
    memory, count = observed.memory, len(observed.members)
    if memory.spares_since == since and (since is None or memory.spares_of == count):
        return ()
    return (NoteSpare(since, count),)
