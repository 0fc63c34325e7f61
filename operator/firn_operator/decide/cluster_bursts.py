"""A cluster's burst nodes: leased and joined beside its own nodes, renewed while they are asked for, and let go.

Source: design.md section 6, "burst nodes" (a lease request with a time to live, never while draining; a node may serve
the next scans for up to 60 s after its last). How many: burst.py. The end of each lease is on its pod, so that it ends
whoever restarts. A node goes when the head, asked without it, says that no statement holds it, or when a statement has
held it for too long after the lease: to the statement it is then a lost node, whose tasks run again elsewhere.
"""

from dataclasses import dataclass
from datetime import datetime

from firn_model import names

from firn_operator.decide.burst import LEAVE_PATIENCE
from firn_operator.decide.cluster_actions import Action, ClaimNodes, ReleaseNode, SetLease
from firn_operator.decide.cluster_joining import back_off_until, failure, has_joined, may_go
from firn_operator.decide.cluster_observed import Observed
from firn_operator.decide.decision import earliest
from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason


@dataclass(frozen=True, slots=True)
class Bursts:
    """The burst nodes whose lease goes on, what is to be done about the others, and when to look again."""

    kept: tuple[Node, ...] = ()
    actions: tuple[Action, ...] = ()
    claims: tuple[Action, ...] = ()
    """What to do when there is nothing else: how many are allowed is known of this very moment only."""
    wake_at: datetime | None = None


def decide_bursts(observed: Observed, now: datetime) -> Bursts:
    """Return what the burst nodes of a cluster that takes work need."""
    terms = observed.burst
    if not terms.wanted and not observed.burst_spares and not _bursts(observed):
        return Bursts(wake_at=terms.wish_ends_at)
    leased, ended = _sorted(observed, now)
    gone, release_at = _releases(observed, ended, now)
    over = leased[len(leased) - terms.give_up :] if terms.give_up else []
    renewed = [n for n in leased[: terms.keep] if n not in over] if terms.wanted else []
    due = [n for n in renewed if _lease_end(n) - terms.lease / 2 <= now]
    actions: list[Action] = [*_failures(observed, now), *gone]
    if over:
        actions.append(SetLease(tuple(over), now, terms.reason))
    if due:
        actions.append(SetLease(tuple(due), now + terms.lease, Reason.BURST_LEASED))
    claims, claim_at = _claims(observed, now)
    ends = (_lease_end(n) for n in leased if n not in renewed)
    renewals = (_lease_end(n) - terms.lease / 2 for n in renewed)
    wake_at = earliest((*ends, *renewals, release_at, claim_at, terms.wish_ends_at))
    return Bursts(tuple(leased), tuple(actions), claims, wake_at)


def _claims(observed: Observed, now: datetime) -> tuple[tuple[Action, ...], datetime | None]:
    """Return the claims of further nodes, and when to try again after several in a row could not join."""
    nodes, not_before = observed.burst_spares[: observed.burst.claim], back_off_until(observed.failed_bursts)
    if not nodes:
        return (), None
    if not_before and now < not_before:
        return (), not_before
    return (ClaimNodes(nodes, names.ROLE_BURST),), None


def decide_leaving_bursts(observed: Observed, now: datetime) -> Bursts:
    """Return what the burst nodes of a draining cluster need: their leases end at once."""
    leased, ended = _sorted(observed, now)
    gone, release_at = _releases(observed, ended, now)
    ending = (SetLease(tuple(leased), now, Reason.DRAINING),) if leased else ()
    return Bursts((), (*_failures(observed, now), *gone, *ending), (), release_at)


def _bursts(observed: Observed) -> list[Node]:
    return [n for n in observed.nodes if n.role == names.ROLE_BURST and not n.deleting]


def _failures(observed: Observed, now: datetime) -> list[Action]:
    return [ReleaseNode(n, reason) for n in _bursts(observed) if (reason := failure(observed, n, now))]


def _sorted(observed: Observed, now: datetime) -> tuple[list[Node], list[Node]]:
    """Return the sound nodes whose lease goes on, those to keep first in front, and those whose lease has ended."""
    sound = [n for n in _bursts(observed) if not failure(observed, n, now)]
    leased = sorted((n for n in sound if now < _lease_end(n)), key=lambda n: _stays_first(observed, n))
    return leased, [n for n in sound if now >= _lease_end(n)]


def _stays_first(observed: Observed, node: Node) -> tuple[bool, bool, datetime, str]:
    """Sort key: who has work, who has joined, the oldest."""
    idle = observed.answer is None or node.uid not in observed.answer.busy
    return (idle, not has_joined(observed, node), node.claimed_at or node.created_at, node.name)


def _releases(observed: Observed, ended: list[Node], now: datetime) -> tuple[list[Action], datetime | None]:
    """Release the nodes that nothing holds, or that are held for too long; return when the next is."""
    gone = [n for n in ended if may_go(observed, n) or now >= _lease_end(n) + LEAVE_PATIENCE]
    releases: list[Action] = [ReleaseNode(n, Reason.LEASE_ENDED) for n in gone]
    return releases, earliest(_lease_end(n) + LEAVE_PATIENCE for n in ended if n not in gone)


def _lease_end(node: Node) -> datetime:
    """Return when a lease ends; one that cannot be read has ended when it began."""
    return node.leased_until or node.claimed_at or node.created_at


def burst_words(observed: Observed, now: datetime) -> tuple[bool, Reason, str]:
    """Say how many burst nodes speed up the cluster's scans, and what keeps it from having more."""
    terms = observed.burst
    leased, _ = _sorted(observed, now)
    ready = sum(has_joined(observed, n) for n in leased)
    reason = Reason.BURST_LEASED if leased else Reason.BURST_NOT_WANTED
    words = [f"{ready} burst {'node' if ready == 1 else 'nodes'}"] if ready else []
    if terms.wanted > ready:
        reason, why = _why_waiting(observed, len(leased) > ready)
        words.append(why)
    return ready > 0, reason, "; ".join(words)


def _why_waiting(observed: Observed, joining: bool) -> tuple[Reason, str]:
    if joining:
        return Reason.NODES_JOINING, "more are joining"
    match observed.burst.reason:
        case Reason.SCALE_FACTOR:
            return Reason.SCALE_FACTOR, "spec.queryAcceleration.maxScaleFactor allows no more"
        case Reason.BURST_SHARE:
            return Reason.BURST_SHARE, "the pool's burstShare is used up, or fairly shared with other warehouses"
        case Reason.ROOM_NEEDED:
            return Reason.ROOM_NEEDED, "clusters wait for nodes, which come first"
    return Reason.NO_WARM_NODE, "waits for a node that the pool can spare"
