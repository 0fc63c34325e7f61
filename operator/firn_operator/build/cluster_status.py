"""The status of a cluster: its phase, its nodes, and what it waits for."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from firn_model.clusters import ClusterPhase, ClusterStatus, ClusterStep, NodeState, NodeStatus
from firn_model.conditions import Condition, ConditionStatus
from firn_model.names import CONDITION_BURST, ROLE_BURST, ROLE_HEAD

from firn_operator.build.status import ready_condition, with_condition
from firn_operator.decide.cluster_bursts import burst_words
from firn_operator.decide.cluster_observed import Observed
from firn_operator.decide.metering import metered, opened
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason


def cluster_running(
    cluster: Cluster, head: Node, endpoint: str, steps: Mapping[str, datetime], now: datetime
) -> ClusterStatus:
    """Return the status of a cluster whose head has just been bound."""
    node = NodeStatus(name=head.name, uid=head.uid, address=head.address or "", role=ROLE_HEAD, state=NodeState.READY)
    return cluster.status.model_copy(
        update={
            "phase": ClusterPhase.RUNNING,
            "endpoint": endpoint,
            "head": head.name,
            "head_uid": head.uid,
            "nodes": (node,),
            "ready_nodes": 1,
            "desired_nodes": cluster.desired_nodes,
            "drained": False,
            "started_at": cluster.status.started_at or now,
            "metering": cluster.status.metering or (opened(metered(cluster), now),),
            "steps": tuple(ClusterStep(step=step, at=at) for step, at in steps.items()),
            "observed_generation": cluster.generation,
            "conditions": ready_condition(
                cluster.status.conditions, True, Reason.HEAD_READY, "", cluster.generation, now
            ),
        }
    )


def cluster_without_head(cluster: Cluster, reason: Reason, message: str, now: datetime) -> ClusterStatus:
    """Return the status of a cluster that has lost its head, or never had one."""
    return cluster_words(cluster, reason, message, now).model_copy(
        update={
            "phase": ClusterPhase.PENDING,
            "endpoint": None,
            "head": None,
            "head_uid": None,
            "nodes": (),
            "ready_nodes": 0,
            "burst_nodes": 0,
        }
    )


def cluster_now(observed: Observed, reason: Reason, message: str, now: datetime) -> ClusterStatus:
    """Return the status with what has become of the cluster's nodes, and with what it waits for."""
    cluster = observed.cluster
    nodes = node_statuses(observed) if cluster.is_running else cluster.status.nodes
    after = cluster_words(cluster, reason, message, now)
    return after.model_copy(
        update={
            "nodes": nodes,
            "burst_nodes": _burst_nodes(nodes),
            "conditions": _with_bursts(observed, after.conditions, now),
            "ready_nodes": sum(n.state is NodeState.READY and n.role != ROLE_BURST for n in nodes),
            "desired_nodes": cluster.desired_nodes,
        }
    )


def cluster_draining(observed: Observed) -> ClusterStatus:
    """Return the status of a draining cluster with the burst nodes that it still has."""
    status = observed.cluster.status
    there = {n.uid for n in observed.nodes if n.is_alive}
    nodes = tuple(n for n in status.nodes if n.role != ROLE_BURST or n.uid in there)
    return status.model_copy(update={"nodes": nodes, "burst_nodes": _burst_nodes(nodes)})


def _burst_nodes(nodes: Iterable[NodeStatus]) -> int:
    """Count the burst nodes that are billed: those that have joined, until they are gone."""
    return sum(n.role == ROLE_BURST and n.state in (NodeState.READY, NodeState.LEAVING) for n in nodes)


def _with_bursts(observed: Observed, conditions: tuple[Condition, ...], now: datetime) -> tuple[Condition, ...]:
    """Return the conditions with that of the burst nodes, once any was asked for."""
    is_sped_up, reason, words = burst_words(observed, now)
    if reason is Reason.BURST_NOT_WANTED and all(c.type != CONDITION_BURST for c in conditions):
        return conditions
    status = ConditionStatus.TRUE if is_sped_up else ConditionStatus.FALSE
    return with_condition(conditions, CONDITION_BURST, status, reason, words, observed.cluster.generation, now)


def node_statuses(observed: Observed) -> tuple[NodeStatus, ...]:
    """Return a running cluster's nodes: the head first, then the others by name."""
    head, others = observed.head, [n for n in observed.nodes if n.role != ROLE_HEAD]
    shown = [*filter(None, [head]), *sorted(others, key=lambda n: n.name)]
    return tuple(
        NodeStatus(name=n.name, uid=n.uid, address=n.address or "", role=n.role or "", state=_node_state(observed, n))
        for n in shown
    )


def _node_state(observed: Observed, node: Node) -> NodeState:
    if not node.is_alive:
        return NodeState.LOST
    if node.role == ROLE_HEAD:
        return NodeState.READY
    if observed.telling is not None and node.uid not in observed.telling:
        return NodeState.LEAVING
    if observed.answer is None:
        before = (n.state for n in observed.cluster.status.nodes if n.uid == node.uid)
        return next(before, NodeState.CLAIMED)
    return NodeState.READY if node.uid in observed.answer.joined else NodeState.CLAIMED


def cluster_words(cluster: Cluster, reason: Reason, message: str, now: datetime) -> ClusterStatus:
    """Return the status with what the cluster waits for."""
    ready = cluster.is_running
    conditions = ready_condition(cluster.status.conditions, ready, reason, message, cluster.generation, now)
    return cluster.status.model_copy(update={"conditions": conditions, "observed_generation": cluster.generation})


def cluster_phase(cluster: Cluster, phase: ClusterPhase, reason: Reason, message: str, now: datetime) -> ClusterStatus:
    """Return the status of a cluster that drains or has drained."""
    conditions = ready_condition(cluster.status.conditions, False, reason, message, cluster.generation, now)
    drained = phase is ClusterPhase.DRAINED
    update: dict[str, Any] = {
        "phase": phase,
        "drained": drained,
        "conditions": conditions,
        "observed_generation": cluster.generation,
    }
    if drained:
        update |= {"endpoint": None, "ready_nodes": 0, "burst_nodes": 0, "drained_at": cluster.status.drained_at or now}
    return cluster.status.model_copy(update=update)
