"""Statuses as merge patches: what is true, in fields and in words, and only what has changed."""

from datetime import datetime
from typing import Any

from firn_model.base import Resource
from firn_model.conditions import Condition, ConditionStatus, set_condition
from firn_model.names import AGENT_PORT
from firn_model.pools import PoolStatus
from firn_model.warehouses import ClusterSummary, ScalingStatus, WarehousePhase, WarehouseStatus

from firn_operator.decide import pool as pool_decisions
from firn_operator.decide import warehouse as warehouse_decisions
from firn_operator.decide.decision import Decision
from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason

READY = "Ready"
STARTED = frozenset({WarehousePhase.RESUMING, WarehousePhase.RUNNING})


def difference(before: Resource, after: Resource, skip: frozenset[str] = frozenset()) -> dict[str, Any] | None:
    """Return the merge patch of a status that turns `before` into `after`, or None when no field but `skip` differs."""
    differing = {f for f in type(after).model_fields if f not in skip and getattr(before, f) != getattr(after, f)}
    if not differing:
        return None
    old, new = before.manifest(differing), after.manifest(differing)
    changed = {k: new.get(k) for k in (*old, *new) if old.get(k) != new.get(k)}
    return {"status": changed} if changed else None


def ready_condition(
    conditions: tuple[Condition, ...], ready: bool, reason: Reason, message: str, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions with Ready in its place."""
    status = ConditionStatus.TRUE if ready else ConditionStatus.FALSE
    return with_condition(conditions, READY, status, reason, message, generation, now)


def with_condition(
    conditions: tuple[Condition, ...],
    type_: str,
    status: ConditionStatus,
    reason: Reason,
    message: str,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Return the conditions with one in its place, its message cut to what the schema takes."""
    new = Condition(
        type=type_,
        status=status,
        reason=reason.value,
        message=message[:4096],
        last_transition_time=now.replace(microsecond=0),
        observed_generation=generation,
    )
    return set_condition(conditions, new)


def endpoint_of(node: Node) -> str:
    """Return the URL of a node's agent."""
    host = f"[{node.address}]" if node.address and ":" in node.address else node.address
    return f"http://{host}:{AGENT_PORT}"


def warehouse_phase(observed: warehouse_decisions.Observed) -> WarehousePhase:
    """Return where a warehouse is, from its clusters."""
    if any(c.is_running for c in observed.active):
        return WarehousePhase.RUNNING
    if observed.active:
        return WarehousePhase.RESUMING
    return WarehousePhase.SUSPENDING if observed.present else WarehousePhase.SUSPENDED


def warehouse_status(
    observed: warehouse_decisions.Observed, reason: Reason, message: str, suspended_at: datetime, now: datetime
) -> WarehouseStatus:
    """Return the warehouse's status, `load` untouched.

    `suspended_at` is when the suspension was decided: a resume request that is younger still counts, however long the
    last statements take.
    """
    warehouse, phase = observed.warehouse, warehouse_phase(observed)
    old = warehouse.status
    newly_suspended = phase not in STARTED and (old.phase in STARTED or old.suspended_at is None)
    clusters = sorted(observed.present, key=lambda c: c.spec.index)
    running = [c for c in clusters if c.is_running]
    words = (_waiting_words(observed) if phase is WarehousePhase.RESUMING else "") or message
    return old.model_copy(
        update={
            "phase": phase,
            "clusters": tuple(
                ClusterSummary(
                    name=c.name, index=c.spec.index, phase=c.status.phase.value, ready_nodes=c.status.ready_nodes
                )
                for c in clusters
            ),
            "started_clusters": len(running),
            "burst_nodes": sum(c.status.burst_nodes for c in clusters),
            "resumed_at": observed.running_since or old.resumed_at,
            "suspended_at": suspended_at if newly_suspended else old.suspended_at,
            "endpoint": running[0].status.endpoint if running else None,
            "scaling": _scaling_status(observed),
            "observed_generation": warehouse.generation,
            "conditions": ready_condition(
                old.conditions, phase is WarehousePhase.RUNNING, reason, words, warehouse.generation, now
            ),
        }
    )


def _scaling_status(observed: warehouse_decisions.Observed) -> ScalingStatus | None:
    """Return what the scaling policy remembers, with the last start that its clusters tell of."""
    old = observed.warehouse.status.scaling
    starts = [c.requested_at for c in observed.clusters if c.automatic]
    if not starts:
        return old
    last = max([*starts, *([old.last_start_at] if old and old.last_start_at else [])])
    return (old or ScalingStatus()).model_copy(update={"last_start_at": last})


def _waiting_words(observed: warehouse_decisions.Observed) -> str:
    """Return what the first cluster that is not ready says it waits for."""
    for cluster in observed.active:
        for condition in cluster.status.conditions:
            if condition.type == READY and condition.status is not ConditionStatus.TRUE:
                return condition.message
    return ""


def pool_status(
    observed: pool_decisions.Observed,
    census: pool_decisions.Census,
    counted: PoolStatus,
    decision: Decision[pool_decisions.Action],
    now: datetime,
) -> PoolStatus:
    """Return the pool's status; `counted` is it with its claims."""
    target = pool_decisions.target_of(observed, now)
    pool = observed.pool
    trouble = pool_decisions.trouble_reason(observed, census)
    full = len(census.free) >= target
    told = trouble if trouble and not full else decision.reason
    return counted.model_copy(
        update={
            "ready": len(census.ready) + sum(n.ready for n in census.outdated),
            "warming": len(census.booting),
            "claimed": len(census.claimed) - len(census.bursts),
            "burst": len(census.bursts),
            "parked": len(census.parked),
            "target": target,
            "observed_generation": pool.generation,
            "conditions": ready_condition(pool.status.conditions, full, told, decision.message, pool.generation, now),
        }
    )
