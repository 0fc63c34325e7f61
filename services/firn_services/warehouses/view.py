"""Warehouses as users see them, from what the watches observed and the queues hold."""

from firn_model.api import AccelerationOptions, ScalingOptions, WarehouseReply
from firn_model.warehouses import WarehousePhase

from firn_services.warehouses.account import Account
from firn_services.warehouses.observed import ObservedWarehouse


def view(account: Account, warehouse: ObservedWarehouse) -> WarehouseReply:
    """Return one warehouse."""
    spec, status = warehouse.spec, warehouse.status
    queued, running = account.queue(warehouse.resource).counts
    is_up = status.phase is WarehousePhase.RUNNING
    return WarehouseReply(
        name=warehouse.name,
        resource=warehouse.resource,
        state=status.phase.value,
        size=spec.size.value,
        type=spec.type.value,
        min_cluster_count=spec.min_cluster_count,
        max_cluster_count=spec.max_cluster_count,
        started_clusters=status.started_clusters,
        running=running,
        queued=queued,
        auto_suspend_seconds=spec.auto_suspend_seconds,
        auto_resume=spec.auto_resume,
        suspended=spec.suspended,
        scaling_policy=spec.scaling_policy,
        scaling=ScalingOptions.model_validate(spec.scaling.model_dump()),
        max_concurrency_level=spec.max_concurrency_level,
        statement_timeout_seconds=spec.statement_timeout_seconds,
        statement_queued_timeout_seconds=spec.statement_queued_timeout_seconds,
        query_acceleration=AccelerationOptions.model_validate(spec.query_acceleration.model_dump()),
        resource_monitor=spec.resource_monitor,
        pool=spec.pool,
        comment=spec.comment,
        credits_used=status.credits_used,
        created_at=warehouse.created_at,
        resumed_at=status.resumed_at,
        message=None if is_up else warehouse.holding_back(),
    )
