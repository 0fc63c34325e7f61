"""The life of one warehouse cluster: claim a head, bind it, keep it, drain it, release it.

Source: design.md section 5 (claim and bind), section 3 ("Drain is a handshake": only the head's acknowledgement, or a
head proven dead, permits deletion), section 6 (a lost head is replaced).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.clusters import ClusterPhase

from firn_operator.decide.decision import Decision
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason

BIND_PATIENCE = timedelta(seconds=3)
"""How long a node may fail to answer its bind before another is claimed."""
SILENCE_LIMIT = timedelta(seconds=5)
"""How long a head that is not ready may stay silent before it is taken for dead."""
PROBE_PERIOD = timedelta(seconds=1)
BIND_RETRY = timedelta(milliseconds=100)
FIRST_BACK_OFF = timedelta(seconds=1)
LONGEST_BACK_OFF = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Talk:
    """What came of talking to one node's agent; times are of this operator's life and start anew after a restart."""

    uid: str
    bind_failing_since: datetime | None = None
    bind_tried_at: datetime | None = None
    bind_refused: str | None = None
    drained: bool = False
    silent_since: datetime | None = None
    probed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One cluster, the nodes claimed for its epoch, a node it could claim, and what its head said."""

    cluster: Cluster
    nodes: tuple[Node, ...]
    spare: Node | None
    talk: Talk | None
    pool_words: str
    pool_exists: bool
    warehouse_exists: bool
    failed_binds: int = 0
    last_failed_bind_at: datetime | None = None

    @property
    def head(self) -> Node | None:
        """The node that is head: the one in the status, else the first claimed one that is alive."""
        uid = self.cluster.status.head_uid
        if uid is not None:
            return next((n for n in self.nodes if n.uid == uid), None)
        alive = [n for n in self.nodes if n.is_alive]
        return min(alive, key=lambda n: (n.claimed_at or n.created_at, n.name), default=None)

    def said(self, node: Node) -> Talk:
        """Return what came of talking to this very node."""
        return self.talk if self.talk and self.talk.uid == node.uid else Talk(node.uid)


@dataclass(frozen=True, slots=True)
class ClaimHead:
    """Claim this node as head."""

    node: Node


@dataclass(frozen=True, slots=True)
class BindHead:
    """Bind this claimed node, and when it answers write the endpoint."""

    node: Node


@dataclass(frozen=True, slots=True)
class ProbeHead:
    """Ask the head whether it lives."""

    node: Node


@dataclass(frozen=True, slots=True)
class ClearHead:
    """Take the endpoint away: the head is lost and another will be claimed."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class BeginDrain:
    """Write the phase Draining."""


@dataclass(frozen=True, slots=True)
class DrainHead:
    """Ask the head to drain and wait for its acknowledgement."""

    node: Node


@dataclass(frozen=True, slots=True)
class MarkDrained:
    """Write the phase Drained: nothing is held any more."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    """Delete this node's pod."""

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True)
class DeleteCluster:
    """Delete the resource."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the resource go."""


Action = (
    ClaimHead
    | BindHead
    | ProbeHead
    | ClearHead
    | BeginDrain
    | DrainHead
    | MarkDrained
    | ReleaseNode
    | DeleteCluster
    | RemoveFinalizer
)


def decide(observed: Observed, now: datetime) -> Decision[Action]:
    """Return the next step in the cluster's life."""
    cluster = observed.cluster
    if not cluster.deleting and not observed.warehouse_exists:
        return Decision((DeleteCluster(Reason.WAREHOUSE_GONE),), Reason.WAREHOUSE_GONE, "its warehouse is gone")
    if cluster.is_leaving:
        return _decide_leaving(observed, now)
    return _decide_wanted(observed, now)


def _decide_wanted(observed: Observed, now: datetime) -> Decision[Action]:
    head, status = observed.head, observed.cluster.status
    if status.head_uid is not None and (head is None or not head.is_alive):
        message = _loss(observed)
        return Decision((ClearHead(Reason.HEAD_LOST, message),), Reason.HEAD_LOST, message)
    spent = [n for n in observed.nodes if n is not head and not n.deleting]
    if spent:
        actions = tuple(ReleaseNode(n, Reason.NODE_FAILED if n.is_dead else Reason.EXTRA_NODE) for n in spent)
        return Decision(actions, Reason.RELEASED, "releasing nodes that do not serve it")
    if head is None:
        return _decide_claim(observed, now)
    if status.endpoint is None or status.head_uid != head.uid:
        return _decide_bind(observed, head, now)
    return _decide_health(observed, head, now)


def _loss(observed: Observed) -> str:
    """Say what became of the head in the status."""
    name, head = observed.cluster.status.head, observed.head
    if head is None:
        return f"head {name} is gone; claiming another"
    if head.is_dead:
        return f"head {name} ended ({head.phase}); claiming another"
    return f"head {name} is being deleted; claiming another"


def _decide_claim(observed: Observed, now: datetime) -> Decision[Action]:
    not_before = _back_off_until(observed)
    if not_before and now < not_before:
        message = f"{observed.failed_binds} nodes in a row could not be bound; trying the next soon"
        return Decision((), Reason.BACK_OFF, message, wake_at=not_before)
    if observed.spare is not None:
        return Decision((ClaimHead(observed.spare),), Reason.WARM_NODE, f"claiming {observed.spare.name}")
    reason = Reason.NO_WARM_NODE if observed.pool_exists else Reason.POOL_MISSING
    return Decision((), reason, f"waits for a node: {observed.pool_words}")


def _back_off_until(observed: Observed) -> datetime | None:
    """Return before when no further node is claimed: one failure is bad luck, more are paced."""
    if observed.failed_binds < 2 or observed.last_failed_bind_at is None:
        return None
    pause = min(FIRST_BACK_OFF * (1 << min(observed.failed_binds - 2, 10)), LONGEST_BACK_OFF)
    return observed.last_failed_bind_at + pause


def _decide_bind(observed: Observed, head: Node, now: datetime) -> Decision[Action]:
    said = observed.said(head)
    if said.bind_refused is not None:
        return _give_up(head, f"node {head.name} refused to be bound: {said.bind_refused}")
    if said.bind_failing_since is not None and now - said.bind_failing_since >= BIND_PATIENCE:
        return _give_up(head, f"node {head.name} did not answer its bind for {BIND_PATIENCE.seconds} s")
    if said.bind_tried_at is not None and now < said.bind_tried_at + BIND_RETRY:
        return Decision((), Reason.BINDING, f"binding {head.name}", wake_at=said.bind_tried_at + BIND_RETRY)
    return Decision((BindHead(head),), Reason.BINDING, f"binding {head.name}")


def _give_up(head: Node, message: str) -> Decision[Action]:
    return Decision((ReleaseNode(head, Reason.BIND_FAILED),), Reason.BIND_FAILED, f"{message}; claiming another")


def _decide_health(observed: Observed, head: Node, now: datetime) -> Decision[Action]:
    """Return nothing for a ready head; one that is not ready is asked, and lost when it stays silent."""
    if head.ready:
        return Decision((), Reason.HEAD_READY, "")
    said = observed.said(head)
    if said.silent_since is not None and now - said.silent_since >= SILENCE_LIMIT:
        message = f"head {head.name} is not ready and has been silent for {SILENCE_LIMIT.seconds} s; claiming another"
        actions = (ClearHead(Reason.HEAD_SILENT, message), ReleaseNode(head, Reason.HEAD_SILENT))
        return Decision(actions, Reason.HEAD_SILENT, message)
    if said.probed_at is None or now >= said.probed_at + PROBE_PERIOD:
        return Decision((ProbeHead(head),), Reason.HEAD_READY, "")
    return Decision((), Reason.HEAD_READY, "", wake_at=said.probed_at + PROBE_PERIOD)


def _decide_leaving(observed: Observed, now: datetime) -> Decision[Action]:
    cluster = observed.cluster
    if cluster.status.phase is not ClusterPhase.DRAINED and not cluster.status.drained:
        return _decide_drain(observed, now)
    if not cluster.deleting:
        return Decision((DeleteCluster(Reason.DRAINED),), Reason.DRAINED, "drained")
    nodes = tuple(n for n in observed.nodes if not n.deleting)
    if nodes:
        return Decision(tuple(ReleaseNode(n, Reason.RELEASED) for n in nodes), Reason.RELEASED, "releasing its nodes")
    if cluster.has_finalizer and not cluster.is_metered:
        return Decision((), Reason.RELEASED, "counting what it used")
    if cluster.has_finalizer:
        return Decision((RemoveFinalizer(),), Reason.RELEASED, "released")
    return Decision((), Reason.RELEASED, "released")


def _decide_drain(observed: Observed, now: datetime) -> Decision[Action]:
    head = observed.head
    if head is None or not head.is_alive:
        reason = Reason.DRAINED if observed.cluster.status.head_uid is None else Reason.HEAD_LOST
        return Decision((MarkDrained(reason),), reason, "no head holds anything")
    said = observed.said(head)
    if said.drained:
        return Decision((MarkDrained(Reason.DRAINED),), Reason.DRAINED, "the head holds nothing any more")
    if observed.cluster.status.phase is not ClusterPhase.DRAINING:
        return Decision((BeginDrain(),), Reason.DRAINING, "draining")
    if not head.ready and said.silent_since is not None and now - said.silent_since >= SILENCE_LIMIT:
        return Decision((MarkDrained(Reason.HEAD_SILENT),), Reason.HEAD_SILENT, f"head {head.name} is dead")
    if said.probed_at is not None and now < said.probed_at + PROBE_PERIOD:
        return Decision((), Reason.DRAINING, "finishing its statements", wake_at=said.probed_at + PROBE_PERIOD)
    return Decision((DrainHead(head),), Reason.DRAINING, "finishing its statements")
