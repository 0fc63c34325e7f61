"""A cluster's nodes beside its head: claimed, joined, replaced when lost, and let go when a resize needs fewer.

Source: design.md section 5 step 3 (the first statement runs on the head while the others join), section 6 (a cluster
claims the difference or drains it; a lost worker is replaced). A node is let go only when the head, asked without it,
says that no running statement holds it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model import names

from firn_operator.decide.cluster_actions import (
    Action,
    BindHeadAgain,
    BindNode,
    ClaimNodes,
    ReleaseNode,
    TellMembers,
)
from firn_operator.decide.cluster_observed import Failures, Observed, Talk
from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason

JOIN_BIND_PATIENCE = timedelta(seconds=20)
"""How long a node may fail to answer its bind, which ends when its Ray has joined, before it is replaced."""
JOIN_PATIENCE = timedelta(seconds=15)
"""How long after its bind the head may not know a node before it is replaced."""
JOIN_RETRY = timedelta(milliseconds=500)
CLAIMS_AT_ONCE = 16
FIRST_BACK_OFF = timedelta(seconds=1)
LONGEST_BACK_OFF = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Crew:
    """The nodes beside the head, by what becomes of them."""

    kept: tuple[Node, ...]
    leaving: tuple[Node, ...]
    failed: tuple[tuple[Node, Reason], ...]
    missing: int


def decide_workers(observed: Observed, head: Node, now: datetime) -> Decision[Action]:
    """Return what the nodes beside a ready head need."""
    crew = take_crew(observed, now)
    claims, claim_at = _claims(observed, crew, now)
    binds, bind_at = _binds(observed, head, crew.kept, now)
    actions = (
        *(ReleaseNode(n, reason) for n, reason in crew.failed),
        *(ReleaseNode(n, Reason.RESIZED) for n in crew.leaving if may_go(observed, n)),
        *claims,
        *_tell(observed, head, crew),
        *binds,
    )
    reason, message = _words(observed, crew, now)
    return Decision(actions, reason, message, earliest((claim_at, bind_at, _give_up_at(observed, crew, now))))


def take_crew(observed: Observed, now: datetime) -> Crew:
    """Sort the nodes beside the head; those being deleted count nowhere."""
    workers = [n for n in observed.nodes if n.role == names.ROLE_WORKER and not n.deleting]
    failed = [(n, reason) for n in workers if (reason := _failure(observed, n, now))]
    gone = {n.uid for n, _ in failed}
    sound = [n for n in workers if n.uid not in gone]
    wanted = observed.cluster.desired_nodes - 1
    order = sorted(sound, key=lambda n: _stays_first(observed, n))
    return Crew(tuple(order[:wanted]), tuple(order[wanted:]), tuple(failed), max(0, wanted - len(sound)))


def _stays_first(observed: Observed, node: Node) -> tuple[bool, bool, bool, datetime, str]:
    """Sort key: who does not leave already, who has joined, who has work, the oldest."""
    answer = observed.answer
    leaves = node.uid in observed.left or (observed.telling is not None and node.uid not in observed.telling)
    idle = answer is None or node.uid not in answer.busy
    return (leaves, not _has_joined(observed, node), idle, node.claimed_at or node.created_at, node.name)


def _has_joined(observed: Observed, node: Node) -> bool:
    return observed.answer is not None and node.uid in observed.answer.joined


def may_go(observed: Observed, node: Node) -> bool:
    """Whether the head, asked without this node, said that no statement holds it."""
    answer = observed.answer
    if answer is None or answer.outdated:
        return False
    return node.uid not in answer.told and node.uid not in answer.busy


def _failure(observed: Observed, node: Node, now: datetime) -> Reason | None:
    """Return why a node is given up, or None."""
    if node.is_dead:
        return Reason.NODE_FAILED
    said, answer = observed.said(node), observed.answer
    if said.bind_refused is not None:
        return Reason.BIND_FAILED
    if said.bind_failing_since is not None and now >= said.bind_failing_since + JOIN_BIND_PATIENCE:
        return Reason.BIND_FAILED
    unknown = answer is not None and not answer.outdated and node.uid in answer.told - answer.joined
    return Reason.NOT_JOINED if unknown and said.bound_at and now >= said.bound_at + JOIN_PATIENCE else None


def _claims(observed: Observed, crew: Crew, now: datetime) -> tuple[list[Action], datetime | None]:
    not_before = back_off_until(observed.failed_joins)
    if not crew.missing or (not_before and now < not_before):
        return [], not_before if crew.missing else None
    nodes = observed.spares[: min(crew.missing, CLAIMS_AT_ONCE)]
    return ([ClaimNodes(nodes, names.ROLE_WORKER)] if nodes else []), None


def _tell(observed: Observed, head: Node, crew: Crew) -> list[Action]:
    """Tell the head of its members when they are others than it was told; a head without any is not troubled."""
    members = tuple(sorted((n for n in crew.kept if n.address), key=lambda n: n.name))
    uids = frozenset(n.uid for n in members)
    silent = observed.telling is None and not members and not crew.leaving
    return [] if silent or uids == observed.telling else [TellMembers(head, members)]


def _binds(
    observed: Observed, head: Node, nodes: tuple[Node, ...], now: datetime
) -> tuple[list[Action], datetime | None]:
    """Bind who has not joined. Of a node that an earlier operator claimed the head is asked first."""
    waiting = [n for n in nodes if not _has_joined(observed, n) and _is_to_be_bound(observed, n)]
    if waiting and not observed.has_token:
        retry_at = _retry_at(observed.said(head))
        return ([BindHeadAgain(head)], None) if retry_at is None or now >= retry_at else ([], retry_at)
    retries = [(n, _retry_at(observed.said(n))) for n in waiting]
    due: list[Action] = [BindNode(n) for n, at in retries if at is None or now >= at]
    return due, earliest(at for _, at in retries if at is not None and now < at)


def _is_to_be_bound(observed: Observed, node: Node) -> bool:
    said = observed.talks.get(node.uid)
    if said is None:
        return observed.answer is not None
    return not said.binding and said.bound_at is None


def _retry_at(said: Talk) -> datetime | None:
    return said.bind_tried_at + JOIN_RETRY if said.bind_tried_at else None


def _give_up_at(observed: Observed, crew: Crew, now: datetime) -> datetime | None:
    """Return when the first node will have taken too long."""
    times = []
    for node in crew.kept:
        said = observed.said(node)
        if _has_joined(observed, node):
            continue
        if said.bind_failing_since:
            times.append(said.bind_failing_since + JOIN_BIND_PATIENCE)
        if said.bound_at:
            times.append(said.bound_at + JOIN_PATIENCE)
    return earliest(t for t in times if t > now)


def _words(observed: Observed, crew: Crew, now: datetime) -> tuple[Reason, str]:
    """Say what the cluster lacks; nothing when it is complete."""
    wanted = observed.cluster.desired_nodes
    ready = 1 + sum(_has_joined(observed, n) for n in crew.kept)
    if ready >= wanted:
        return Reason.HEAD_READY, ""
    so_far = f"{ready} of {wanted} nodes ready"
    not_before = back_off_until(observed.failed_joins)
    if crew.missing and not_before and now < not_before:
        return Reason.BACK_OFF, f"{so_far}; {observed.failed_joins.count} nodes in a row could not join"
    if crew.missing and not observed.spares:
        return Reason.NO_WARM_NODE, f"{so_far}; waits for more: {observed.pool_words}"
    return Reason.NODES_JOINING, f"{so_far}; the others are joining"


def back_off_until(failures: Failures) -> datetime | None:
    """Return before when no further node is claimed: one failure is bad luck, more are paced."""
    if failures.count < 2 or failures.last_at is None:
        return None
    pause = min(FIRST_BACK_OFF * (1 << min(failures.count - 2, 10)), LONGEST_BACK_OFF)
    return failures.last_at + pause
