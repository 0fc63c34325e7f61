"""A cluster's nodes beside its head: claimed, joined, replaced when lost, and let go when a resize needs fewer.

Source: design.md section 5 step 3 (the first statement runs on the head while the others join), section 6 (a cluster
claims the difference or drains it; a lost worker is replaced). A node is let go only when the head, asked without it,
says that no running statement holds it. Its burst nodes, which count apart: cluster_bursts.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from firn_model import names

from firn_operator.decide.cluster_actions import Action, ClaimNodes, ReleaseNode, TellMembers
from firn_operator.decide.cluster_bursts import decide_bursts, decide_leaving_bursts
from firn_operator.decide.cluster_joining import back_off_until, binds, failure, give_up_at, has_joined, may_go
from firn_operator.decide.cluster_observed import Observed
from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason

CLAIMS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Crew:
    """The nodes beside the head, by what becomes of them."""

    kept: tuple[Node, ...]
    leaving: tuple[Node, ...]
    failed: tuple[tuple[Node, Reason], ...]
    missing: int


def decide_workers(observed: Observed, head: Node, now: datetime) -> Decision[Action]:
    """Return what the nodes beside a ready head need. Burst nodes are claimed when nothing else is to be done."""
    crew, bursts = take_crew(observed, now), decide_bursts(observed, now)
    kept = (*crew.kept, *bursts.kept)
    claims, claim_at = _claims(observed, crew, now)
    joins, bind_at = binds(observed, head, kept, now)
    actions = (
        *(ReleaseNode(n, reason) for n, reason in crew.failed),
        *(ReleaseNode(n, Reason.RESIZED) for n in crew.leaving if may_go(observed, n)),
        *claims,
        *bursts.actions,
        *_tell(observed, head, kept),
        *joins,
    )
    reason, message = _words(observed, crew, now)
    wake_at = earliest((claim_at, bind_at, give_up_at(observed, kept, now), bursts.wake_at))
    return Decision(actions or bursts.claims, reason, message, wake_at)


def decide_workers_of_draining(observed: Observed, head: Node, now: datetime) -> Decision[Action]:
    """Return how a draining cluster gets rid of its burst nodes; its own nodes stay until it is drained."""
    bursts = decide_leaving_bursts(observed, now)
    if not any(n.role == names.ROLE_BURST for n in observed.nodes):
        return Decision((), Reason.DRAINING, "")
    telling = _tell(observed, head, take_crew(observed, now).kept)
    return Decision((*bursts.actions, *telling), Reason.DRAINING, "letting its burst nodes go", bursts.wake_at)


def take_crew(observed: Observed, now: datetime) -> Crew:
    """Sort the nodes beside the head; those being deleted count nowhere."""
    wanted = observed.cluster.desired_nodes - 1
    workers = [n for n in observed.nodes if n.role == names.ROLE_WORKER and not n.deleting]
    if not workers:
        return Crew((), (), (), wanted)
    failed = [(n, reason) for n in workers if (reason := failure(observed, n, now))]
    gone = {n.uid for n, _ in failed}
    sound = [n for n in workers if n.uid not in gone]
    order = sorted(sound, key=lambda n: _stays_first(observed, n))
    return Crew(tuple(order[:wanted]), tuple(order[wanted:]), tuple(failed), max(0, wanted - len(sound)))


def _stays_first(observed: Observed, node: Node) -> tuple[bool, bool, bool, datetime, str]:
    """Sort key: who does not leave already, who has joined, who has work, the oldest."""
    answer = observed.answer
    leaves = node.uid in observed.left or (observed.telling is not None and node.uid not in observed.telling)
    idle = answer is None or node.uid not in answer.busy
    return (leaves, not has_joined(observed, node), idle, node.claimed_at or node.created_at, node.name)


def _claims(observed: Observed, crew: Crew, now: datetime) -> tuple[list[Action], datetime | None]:
    not_before = back_off_until(observed.failed_joins)
    if not crew.missing or (not_before and now < not_before):
        return [], not_before if crew.missing else None
    nodes = observed.spares[: min(crew.missing, CLAIMS_AT_ONCE)]
    return ([ClaimNodes(nodes, names.ROLE_WORKER)] if nodes else []), None


def _tell(observed: Observed, head: Node, kept: Iterable[Node]) -> list[Action]:
    """Tell the head of its members when they are others than it was told; a lonely head is not troubled."""
    members = tuple(sorted((n for n in kept if n.address), key=lambda n: n.name))
    uids = frozenset(n.uid for n in members)
    lonely = not any(n is not head and not n.deleting for n in observed.nodes)
    silent = observed.telling is None and lonely
    return [] if silent or uids == observed.telling else [TellMembers(head, members)]


def _words(observed: Observed, crew: Crew, now: datetime) -> tuple[Reason, str]:
    """Say what the cluster lacks; nothing when it is complete."""
    wanted = observed.cluster.desired_nodes
    ready = 1 + sum(has_joined(observed, n) for n in crew.kept)
    if ready >= wanted:
        return Reason.HEAD_READY, ""
    so_far = f"{ready} of {wanted} nodes ready"
    not_before = back_off_until(observed.failed_joins)
    if crew.missing and not_before and now < not_before:
        return Reason.BACK_OFF, f"{so_far}; {observed.failed_joins.count} nodes in a row could not join"
    if crew.missing and not observed.spares:
        return Reason.NO_WARM_NODE, f"{so_far}; waits for more: {observed.pool_words}"
    return Reason.NODES_JOINING, f"{so_far}; the others are joining"
