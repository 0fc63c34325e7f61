"""How a pool keeps its warm nodes: refill, replacement, surplus.

Source: design.md section 5: a pool refills at once but rate-capped, claim before refill; it counts creations in flight
so that it never over-creates; a pod that still boots is never claimed. The pause after a claim leaves it the processor:
without it, nodes that boot alongside doubled the time of a resume. A pool that is half empty does not pause: claims
that keep coming would keep it from refilling. It does while nodes join their cluster, which booting beside them delays
by half, but not for long.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from firn_model import names

from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.demand import Demand, next_look
from firn_operator.decide.demand import target as demanded
from firn_operator.decide.observed import Node, Pool, TroubleKind, has_no_room
from firn_operator.decide.parking import Parking, give_up
from firn_operator.decide.reason import Reason

FIRST_BACK_OFF = timedelta(seconds=10)
LONGEST_BACK_OFF = timedelta(minutes=5)
SLACK_SHARE = 10
MOST_PAUSES = 5
"""So many pauses in a row: claims that follow each other closely do not keep a pool from refilling."""
REFUSED_PAUSE = timedelta(seconds=10)
"""How long to wait after the API server refused to create a pod, by quota or by policy."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One pool, its nodes (warm and claimed), and what is under way."""

    pool: Pool
    nodes: tuple[Node, ...]
    creating: frozenset[int] = frozenset()
    """Slots whose creation was sent and is not yet seen: the expectations against over-creation."""
    reserved: frozenset[str] = frozenset()
    """UIDs of nodes that a claim is under way for."""
    parking: Parking | None = None
    """The parked nodes; None when there are none."""
    waiting: int = 0
    """Clusters that wait for a node of this pool."""
    joining: bool = False
    """Whether nodes of this pool were claimed and still join their cluster."""
    known_epochs: Collection[str] = frozenset()
    last_claim_at: datetime | None = None
    claims_since: datetime | None = None
    """When the run of claims began of which none came later than a pause after the one before."""
    refused_at: datetime | None = None
    refusal: str = ""
    demand: Demand | None = None
    """What was learnt of its claims; None: nothing."""


@dataclass(frozen=True, slots=True)
class CreateNode:
    """Create the node of this slot; `boot_failures` is how many before it failed in a row."""

    slot: int
    reason: Reason
    boot_failures: int = 0


@dataclass(frozen=True, slots=True)
class DeleteNode:
    """Delete this node, if it is still what was observed."""

    node: Node
    reason: Reason


Action = CreateNode | DeleteNode


@dataclass(frozen=True, slots=True)
class Census:
    """The pool's nodes by what they are good for."""

    ready: tuple[Node, ...] = ()
    booting: tuple[Node, ...] = ()
    failed: tuple[Node, ...] = ()
    outdated: tuple[Node, ...] = ()
    claimed: tuple[Node, ...] = ()
    parked: tuple[Node, ...] = ()
    reserved: frozenset[str] = field(default=frozenset())
    free: tuple[Node, ...] = field(init=False)
    """The ready nodes that no claim is under way for."""

    def __post_init__(self) -> None:
        free = self.ready
        if self.reserved:
            free = tuple([n for n in free if n.uid not in self.reserved])
        object.__setattr__(self, "free", free)

    @property
    def bursts(self) -> tuple[Node, ...]:
        """The claimed nodes that are leased as burst nodes."""
        return tuple(n for n in self.claimed if n.role == names.ROLE_BURST)


def take_census(observed: Observed, now: datetime) -> Census:
    """Sort the pool's nodes; those being deleted count nowhere."""
    template = observed.pool.template
    timeout = timedelta(seconds=observed.pool.spec.refill.boot_timeout_seconds)
    ready: list[Node] = []
    booting: list[Node] = []
    failed: list[Node] = []
    outdated: list[Node] = []
    claimed: list[Node] = []
    parked: list[Node] = []
    for node in observed.nodes:
        if node.deleting:
            continue
        if not node.is_warm:
            (parked if node.is_parked else claimed).append(node)
        elif failed_since(node, timeout, now) is not None:
            failed.append(node)
        elif node.template != template:
            outdated.append(node)
        else:
            (ready if node.ready else booting).append(node)
    return Census(
        tuple(ready),
        tuple(booting),
        tuple(failed),
        tuple(outdated),
        tuple(claimed),
        tuple(parked),
        observed.reserved,
    )


def failed_since(node: Node, boot_timeout: timedelta, now: datetime) -> datetime | None:
    """Return since when a warm node counts as failed, or None.

    A pod without room is not failed: the scheduler keeps trying, and a new pod would find no more room. Its time
    to boot begins when it is scheduled.
    """
    if node.is_dead or node.phase == "Unknown":
        return node.failed_at or node.created_at
    if node.ready or has_no_room(node):
        return None
    late = node.boots_since + boot_timeout
    return late if now >= late else None


def target_of(observed: Observed, now: datetime) -> int:
    """Return how many warm nodes are wanted: the minimum, until a forecast raises it up to the maximum."""
    warm, refill = observed.pool.spec.warm, observed.pool.spec.refill
    if not warm.forecast or observed.demand is None:
        return min(warm.min, warm.max)
    pause = timedelta(seconds=refill.delay_seconds)
    needed = demanded(observed.demand, warm.hit_rate / 100, pause, refill.max_booting, warm.max, now)
    return min(max(warm.min, needed), warm.max)


def decide(observed: Observed, now: datetime, census: Census | None = None) -> Decision[Action]:
    """Return the nodes to create and delete, and when to look again.

    A cluster that waits while nodes are free takes one of those: what replaces it is made when it is claimed.
    """
    census = census or take_census(observed, now)
    orphans = _orphans(observed, census)
    if observed.pool.deleting:
        return Decision(tuple(orphans), Reason.SURPLUS, "the pool is being deleted")
    target = target_of(observed, now)
    wanted = target + observed.waiting
    replaced, replace_at = _expired_failures(census, observed, now)
    lacking = target + max(0, observed.waiting - len(census.free))
    creations, reason, create_at = _creations(observed, census, lacking, replaced, now)
    given_up, give_up_at = give_up(observed.parking, now) if observed.parking else ([], None)
    deletions = [
        *(DeleteNode(n, reason) for n, reason in given_up),
        *orphans,
        *_failed_deletions(census, replaced, observed, now),
        *_outdated_deletions(observed, census, wanted),
        *_surplus(observed, census, wanted + _slack(observed, target)),
    ]
    message = words(observed, now, census)
    wake_at = earliest((create_at, replace_at, give_up_at, _next_timeout(observed, census), _look_at(observed, now)))
    return Decision((*creations, *deletions), reason, message, wake_at)


def _orphans(observed: Observed, census: Census) -> list[DeleteNode]:
    """Nodes claimed for an epoch that does not exist (the cluster went while a claim was under way)."""
    lost = (n for n in census.claimed if n.epoch not in observed.known_epochs)
    return [DeleteNode(n, Reason.ORPHANED) for n in lost]


def _back_off(node: Node) -> timedelta:
    return min(FIRST_BACK_OFF * (1 << min(node.boot_failures, 10)), LONGEST_BACK_OFF)


def _expired_failures(census: Census, observed: Observed, now: datetime) -> tuple[list[Node], datetime | None]:
    """Return the failed nodes that may be replaced now, and when the next one may.

    A failed node keeps its place until its back-off has passed, so a pool of nodes that always fail makes few.
    """
    if not census.failed:
        return [], None
    timeout = timedelta(seconds=observed.pool.spec.refill.boot_timeout_seconds)
    due = [(n, (failed_since(n, timeout, now) or now) + _back_off(n)) for n in census.failed]
    outdated = observed.pool.template
    expired = [n for n, at in due if now >= at or n.template != outdated]
    return expired, earliest(at for n, at in due if n not in expired)


def _creations(
    observed: Observed, census: Census, wanted: int, replaced: list[Node], now: datetime
) -> tuple[list[CreateNode], Reason, datetime | None]:
    refill = observed.pool.spec.refill
    held = len(census.failed) - len(replaced)
    unseen = observed.creating - {n.slot for n in observed.nodes} if observed.creating else ()
    booting = len(census.booting) + len(unseen)
    missing = wanted - len(census.ready) - booting - held  # a promised node is replaced when it is known to be claimed
    if missing <= 0:
        met = len(census.free) >= wanted
        return [], Reason.TARGET_MET if met else Reason.BOOTING, None
    if observed.refused_at and now < observed.refused_at + REFUSED_PAUSE:
        return [], Reason.CREATE_REFUSED, observed.refused_at + REFUSED_PAUSE
    plenty = 2 * (len(census.free) + booting) >= wanted
    pause_until = _pause_until(observed, plenty)
    urgent = observed.waiting > len(census.free) + booting
    if pause_until and now < pause_until and not urgent:
        return [], Reason.REFILL_PAUSED, pause_until
    count = min(missing, refill.max_booting - booting)
    if count <= 0:
        return [], Reason.BOOTING, None
    reason = Reason.ON_DEMAND if urgent else Reason.REFILL
    failures = max((n.boot_failures + 1 for n in replaced if n.template == observed.pool.template), default=0)
    return [CreateNode(slot, reason, failures) for slot in _free_slots(observed, count)], reason, None


def _pause_until(observed: Observed, plenty: bool) -> datetime | None:
    """Return until when a pool leaves the processor to the resumes, a few pauses after the first of a run at most.

    That is a pause after the last claim if nodes are left, and as long as some join their cluster.
    """
    last, since = observed.last_claim_at, observed.claims_since
    if last is None or not (plenty or observed.joining):
        return None
    pause = timedelta(seconds=observed.pool.spec.refill.delay_seconds)
    longest = (since or last) + MOST_PAUSES * pause
    return longest if observed.joining else min(last + pause, longest)


def claims_since(since: datetime | None, last: datetime | None, pause_seconds: float, now: datetime) -> datetime:
    """Return when the run of claims began that one at `now` belongs to; `last` is the claim before it."""
    goes_on = since is not None and last is not None and now <= last + timedelta(seconds=pause_seconds)
    return since if goes_on and since else now


def _free_slots(observed: Observed, count: int) -> list[int]:
    """Return the lowest slots that no pod has and no creation is under way for."""
    used = {n.slot for n in observed.nodes} | observed.creating
    return [s for s in range(1, len(used) + count + 1) if s not in used][:count]


def _failed_deletions(census: Census, replaced: list[Node], observed: Observed, now: datetime) -> list[DeleteNode]:
    reason = {True: Reason.NODE_FAILED, False: Reason.BOOT_TIMEOUT}
    return [DeleteNode(n, reason[n.is_dead]) for n in replaced]


def _outdated_deletions(observed: Observed, census: Census, wanted: int) -> list[DeleteNode]:
    """Outdated nodes serve until current ones stand in their places, and make room where those find none."""
    if not census.outdated:
        return []
    unclaimed = [n for n in census.outdated if n.uid not in observed.reserved]
    serving = sorted((n for n in unclaimed if n.ready), key=lambda n: n.slot)
    needed = max(0, wanted - len(census.free) - sum(has_no_room(n) for n in census.booting))
    replaced = serving[: max(0, len(serving) - needed)]
    return [DeleteNode(n, Reason.OUTDATED) for n in (*(n for n in unclaimed if not n.ready), *replaced)]


def _surplus(observed: Observed, census: Census, wanted: int) -> list[DeleteNode]:
    """Nodes above the target go, those that still boot first, then the youngest."""
    extra = len(census.free) + len(census.booting) - wanted
    if extra <= 0:
        return []
    order = [*sorted(census.booting, key=lambda n: -n.slot), *sorted(census.free, key=lambda n: -n.slot)]
    return [DeleteNode(n, Reason.SURPLUS) for n in order[:extra]]


def _slack(observed: Observed, target: int) -> int:
    """How many nodes above a forecast target are kept: it falls as rates fade, and may rise again the next moment."""
    return max(1, target // SLACK_SHARE) if observed.pool.spec.warm.forecast else 0


def _look_at(observed: Observed, now: datetime) -> datetime | None:
    return next_look(observed.demand, now) if observed.demand and observed.pool.spec.warm.forecast else None


def _next_timeout(observed: Observed, census: Census) -> datetime | None:
    """Return when the first node that boots now will have taken too long."""
    timeout = timedelta(seconds=observed.pool.spec.refill.boot_timeout_seconds)
    waits = [n.boots_since for n in census.booting if not has_no_room(n)]
    return min(waits) + timeout if waits else None


def words(observed: Observed, now: datetime, census: Census | None = None) -> str:
    """Say how the pool stands, and what keeps it from being full."""
    census = census or take_census(observed, now)
    name = observed.pool.name
    parts = [f"pool {name} has {len(census.free) or 'none'} ready"]
    stuck: dict[TroubleKind, list[Node]] = {}
    for node in (*census.booting, *census.failed):
        if node.trouble:
            stuck.setdefault(node.trouble.kind, []).append(node)
    sentences = {
        TroubleKind.UNSCHEDULABLE: "cannot be scheduled",
        TroubleKind.IMAGE: "cannot get the image",
        TroubleKind.FAILED: "failed to start",
    }
    for kind, nodes in stuck.items():
        first = nodes[0].trouble
        parts.append(f"{_count(len(nodes))} {sentences[kind]}: {first.message if first else ''}")
    troubled = sum(len(nodes) for nodes in stuck.values())
    late = [n for n in census.failed if not n.trouble]
    if late:
        parts.append(f"{_count(len(late))} did not become ready in time")
    boots = len(census.booting) + len(census.failed) - troubled - len(late) + len(observed.creating)
    if boots > 0:
        parts.append(f"{_count(boots)} booting")
    if census.outdated:
        parts.append(f"{_count(len(census.outdated))} of an older template")
    if observed.refused_at:
        parts.append(f"a pod could not be created: {observed.refusal}")
    return "; ".join(parts)


def _count(number: int) -> str:
    return f"{number} pod" if number == 1 else f"{number} pods"


def trouble_reason(observed: Observed, census: Census) -> Reason | None:
    """Return the reason for the pool's condition when something keeps it from being full, or None."""
    kinds = {n.trouble.kind for n in (*census.booting, *census.failed) if n.trouble}
    if observed.refused_at:
        return Reason.CREATE_REFUSED
    if TroubleKind.UNSCHEDULABLE in kinds:
        return Reason.UNSCHEDULABLE
    if TroubleKind.IMAGE in kinds:
        return Reason.IMAGE_NOT_PULLED
    return Reason.BOOT_FAILED if census.failed else None
