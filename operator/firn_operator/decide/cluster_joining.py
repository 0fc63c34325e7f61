"""How a node beside the head joins it, fails, and may go: the same for workers and burst nodes."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from firn_operator.decide.cluster_actions import Action, BindHeadAgain, BindNode
from firn_operator.decide.cluster_observed import Failures, Observed, Talk
from firn_operator.decide.decision import earliest
from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason

JOIN_BIND_PATIENCE = timedelta(seconds=20)
"""How long a node may fail to answer its bind, which ends when its Ray has joined, before it is replaced."""
JOIN_PATIENCE = timedelta(seconds=15)
"""How long after its bind the head may not know a node before it is replaced."""
JOIN_RETRY = timedelta(milliseconds=500)
FIRST_BACK_OFF = timedelta(seconds=1)
LONGEST_BACK_OFF = timedelta(seconds=60)


def has_joined(observed: Observed, node: Node) -> bool:
    """Whether the head has said that it may use this node."""
    return observed.answer is not None and node.uid in observed.answer.joined


def may_go(observed: Observed, node: Node) -> bool:
    """Whether the head, asked without this node, said that no statement holds it."""
    answer = observed.answer
    if answer is None or answer.outdated:
        return False
    return node.uid not in answer.told and node.uid not in answer.busy


def failure(observed: Observed, node: Node, now: datetime) -> Reason | None:
    """Return why a node is given up, or None. One that has joined works, whatever became of its bind's answer."""
    if node.is_dead:
        return Reason.NODE_FAILED
    said, answer = observed.said(node), observed.answer
    if said.bind_refused is not None:
        return Reason.BIND_FAILED
    if has_joined(observed, node):
        return None
    if said.bind_failing_since is not None and now >= said.bind_failing_since + JOIN_BIND_PATIENCE:
        return Reason.BIND_FAILED
    unknown = answer is not None and not answer.outdated and node.uid in answer.told - answer.joined
    return Reason.NOT_JOINED if unknown and said.bound_at and now >= said.bound_at + JOIN_PATIENCE else None


def binds(
    observed: Observed, head: Node, nodes: tuple[Node, ...], now: datetime
) -> tuple[list[Action], datetime | None]:
    """Bind who has not joined. Of a node that an earlier operator claimed the head is asked first."""
    waiting = [n for n in nodes if not has_joined(observed, n) and _is_to_be_bound(observed, n)]
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


def give_up_at(observed: Observed, nodes: Iterable[Node], now: datetime) -> datetime | None:
    """Return when the first node will have taken too long."""
    times = []
    for node in nodes:
        said = observed.said(node)
        if has_joined(observed, node):
            continue
        if said.bind_failing_since:
            times.append(said.bind_failing_since + JOIN_BIND_PATIENCE)
        if said.bound_at:
            times.append(said.bound_at + JOIN_PATIENCE)
    return earliest(t for t in times if t > now)


def back_off_until(failures: Failures) -> datetime | None:
    """Return before when no further node is claimed: one failure is bad luck, more are paced."""
    if failures.count < 2 or failures.last_at is None:
        return None
    pause = min(FIRST_BACK_OFF * (1 << min(failures.count - 2, 10)), LONGEST_BACK_OFF)
    return failures.last_at + pause
