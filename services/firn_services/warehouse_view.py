"""Warehouses as users see them, from what the watches observed and the queues hold."""

from firn_model.api import WarehouseReply
from firn_model.warehouses import WarehousePhase

from firn_services.account import Account
from firn_services.observed import ObservedWarehouse


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
        pool=spec.pool,
        comment=spec.comment,
        created_at=warehouse.created_at,
        resumed_at=status.resumed_at,
        message=None if is_up else warehouse.holding_back(),
    )
