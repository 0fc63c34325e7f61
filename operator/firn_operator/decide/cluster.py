"""The life of one warehouse cluster: claim a head, bind it, keep it, drain it, release it.

Source: design.md section 5 (claim and bind), section 3 ("Drain is a handshake": only the head's acknowledgement, or a
head proven dead, permits deletion), section 6 (a lost head is replaced). Its other nodes: cluster_workers.py.
"""

from datetime import datetime, timedelta

from firn_model import names
from firn_model.clusters import ClusterPhase

from firn_operator.decide.cluster_actions import (
    Action,
    BeginDrain,
    BindHead,
    ClaimHead,
    ClearHead,
    DeleteCluster,
    DrainHead,
    MarkDrained,
    ParkNode,
    ProbeHead,
    ReleaseNode,
    RemoveFinalizer,
)
from firn_operator.decide.cluster_joining import back_off_until
from firn_operator.decide.cluster_observed import Observed
from firn_operator.decide.cluster_workers import decide_workers, decide_workers_of_draining
from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.observed import Node, memory_class
from firn_operator.decide.reason import Reason

BIND_PATIENCE = timedelta(seconds=3)
"""How long a node may fail to answer its bind before another is claimed."""
SILENCE_LIMIT = timedelta(seconds=5)
"""How long a head that is not ready may stay silent before it is taken for dead."""
PROBE_PERIOD = timedelta(seconds=1)
BIND_RETRY = timedelta(milliseconds=100)


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
    spent = [n for n in observed.nodes if _is_spent(n, head, status.head_uid)]
    if spent:
        actions = tuple(ReleaseNode(n, _why_spent(n)) for n in spent)
        return Decision(actions, Reason.RELEASED, "releasing nodes that do not serve it")
    if head is None:
        return _decide_claim(observed, now)
    if status.endpoint is None or status.head_uid != head.uid:
        return _decide_bind(observed, head, now)
    return _decide_health(observed, head, now)


def _is_spent(node: Node, head: Node | None, head_uid: str | None) -> bool:
    """Whether a node serves this cluster no more: a second head, or a node of a head that is lost with its Ray."""
    if node.deleting or node is head:
        return False
    return node.role == names.ROLE_HEAD or head_uid is None or node.head_uid != head_uid


def _why_spent(node: Node) -> Reason:
    if node.is_dead:
        return Reason.NODE_FAILED
    return Reason.EXTRA_NODE if node.role == names.ROLE_HEAD else Reason.HEAD_LOST


def _loss(observed: Observed) -> str:
    """Say what became of the head in the status."""
    name, head = observed.cluster.status.head, observed.head
    if head is None:
        return f"head {name} is gone; claiming another"
    if head.is_dead:
        return f"head {name} ended ({head.phase}); claiming another"
    return f"head {name} is being deleted; claiming another"


def _decide_claim(observed: Observed, now: datetime) -> Decision[Action]:
    misfit = _misfit(observed)
    if misfit is not None:
        return misfit
    not_before = back_off_until(observed.failed_heads)
    if not_before and now < not_before:
        message = f"{observed.failed_heads.count} nodes in a row could not be bound; trying the next soon"
        return Decision((), Reason.BACK_OFF, message, wake_at=not_before)
    if observed.spares:
        node = observed.spares[0]
        return Decision((ClaimHead(node),), Reason.WARM_NODE, f"claiming {node.name}")
    return Decision((), Reason.NO_WARM_NODE, f"waits for a node: {observed.pool_words}")


def _misfit(observed: Observed) -> Decision[Action] | None:
    """Say why no node of the pool can serve this cluster, whatever the pool does; None when they can."""
    spec = observed.cluster.spec
    if observed.memory_class is None:
        return Decision((), Reason.POOL_MISSING, f"waits for a node: {observed.pool_words}")
    wanted = memory_class(spec.type)
    if observed.memory_class is wanted:
        return None
    message = (
        f"a {spec.type.value} warehouse needs a pool of memory class {wanted.value}, and pool {spec.pool} is of class "
        f"{observed.memory_class.value}; set the warehouse's spec.pool to one that fits"
    )
    return Decision((), Reason.WRONG_MEMORY_CLASS, message)


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
    """Return what the others need of a ready head; one that is not ready is asked, and lost when it stays silent."""
    if head.ready:
        return decide_workers(observed, head, now)
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
        parked = {n.uid for n in observed.to_park}
        parks = [ParkNode(n) for n in observed.to_park]
        releases = [ReleaseNode(n, Reason.RELEASED) for n in nodes if n.uid not in parked]
        return Decision((*parks, *releases), Reason.RELEASED, "releasing its nodes")
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
    bursts = decide_workers_of_draining(observed, head, now)
    if bursts.actions:
        return bursts
    if said.probed_at is not None and now < said.probed_at + PROBE_PERIOD:
        wake_at = earliest((said.probed_at + PROBE_PERIOD, bursts.wake_at))
        return Decision((), Reason.DRAINING, "finishing its statements", wake_at)
    return Decision((DrainHead(head),), Reason.DRAINING, "finishing its statements")
