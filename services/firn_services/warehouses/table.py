"""SHOW and DESCRIBE WAREHOUSE as tables.

Source: snowflake-surface.md, the columns of SHOW WAREHOUSES in their order, as far as Firn has them.
"""

from datetime import datetime

import pyarrow as pa

from firn_services.warehouses.account import Account
from firn_services.warehouses.observed import ObservedWarehouse
from firn_services.warehouses.view import view

TIME = pa.timestamp("us", tz="UTC")


def show(account: Account, warehouses: list[ObservedWarehouse], current: str | None) -> pa.Table:
    """Return warehouses as a table; `current` is the name of the session's."""
    rows = [view(account, w) for w in warehouses]
    nodes = [account.queue(w.resource).nodes() for w in warehouses]
    accelerations = [r.query_acceleration for r in rows]
    return pa.table(
        {
            "name": pa.array([r.name for r in rows], pa.string()),
            "state": pa.array([r.state.upper() for r in rows], pa.string()),
            "type": pa.array([r.type for r in rows], pa.string()),
            "size": pa.array([r.size for r in rows], pa.string()),
            "min_cluster_count": pa.array([r.min_cluster_count for r in rows], pa.int64()),
            "max_cluster_count": pa.array([r.max_cluster_count for r in rows], pa.int64()),
            "started_clusters": pa.array([r.started_clusters for r in rows], pa.int64()),
            "running": pa.array([r.running for r in rows], pa.int64()),
            "queued": pa.array([r.queued for r in rows], pa.int64()),
            "is_current": pa.array(["Y" if r.name == current else "N" for r in rows], pa.string()),
            "auto_suspend": pa.array([r.auto_suspend_seconds for r in rows], pa.int64()),
            "auto_resume": pa.array([r.auto_resume for r in rows], pa.bool_()),
            "available": pa.array([n.share(n.ready) for n in nodes], pa.string()),
            "provisioning": pa.array([n.share(n.coming) for n in nodes], pa.string()),
            "quiescing": pa.array([n.share(n.leaving) for n in nodes], pa.string()),
            "created_on": _times([r.created_at for r in rows]),
            "resumed_on": _times([r.resumed_at for r in rows]),
            "comment": pa.array([r.comment for r in rows], pa.string()),
            "enable_query_acceleration": pa.array([a.enabled for a in accelerations], pa.bool_()),
            "query_acceleration_max_scale_factor": pa.array([a.max_scale_factor for a in accelerations], pa.int64()),
            "resource_monitor": pa.array([r.resource_monitor for r in rows], pa.string()),
            "uuid": pa.array([w.uid for w in warehouses], pa.string()),
            "scaling_policy": pa.array([r.scaling_policy.upper() for r in rows], pa.string()),
        }
    )


def describe(warehouse: ObservedWarehouse) -> pa.Table:
    """Return one warehouse as DESCRIBE does."""
    return pa.table({"created_on": _times([warehouse.created_at]), "name": [warehouse.name], "kind": ["WAREHOUSE"]})


def _times(values: list[datetime | None]) -> pa.Array:
    return pa.array(values, TIME)
