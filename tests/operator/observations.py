"""Observed objects with the defaults of a quiet account, for tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterSpec, ClusterStatus
from firn_model.pools import PoolSpec, PoolStatus
from firn_model.warehouses import WarehouseLoad, WarehouseSpec, WarehouseStatus
from firn_operator.decide.observed import Cluster, Node, Pool, ServicesLease, Warehouse

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REPORTER = "services-0"
TEMPLATE = "t1"
ALIVE = ServicesLease(1, REPORTER, NOW, timedelta(hours=1))
DEAD = ServicesLease(1, REPORTER, NOW - timedelta(hours=2), timedelta(seconds=10))


def ago(seconds: float) -> datetime:
    """Return a time before NOW."""
    return NOW - timedelta(seconds=seconds)


def load(queued: int = 0, running: int = 0, idle: float | None = None, reporter: str = REPORTER) -> WarehouseLoad:
    """Return a load report; `idle` is for how many seconds nothing has run."""
    since = None if idle is None else ago(idle)
    return WarehouseLoad(queued=queued, running=running, idle_since=since, observed_at=NOW, reporter=reporter)


def warehouse(
    spec: dict[str, Any] | None = None,
    report: WarehouseLoad | None = None,
    resumed: float | None = None,
    suspended: float | None = None,
    **fields: Any,
) -> Warehouse:
    """Return a warehouse; `resumed` and `suspended` are seconds ago."""
    status = WarehouseStatus(
        load=report,
        resumed_at=None if resumed is None else ago(resumed),
        suspended_at=None if suspended is None else ago(suspended),
    )
    plain = Warehouse("w", "w-uid", 1, 1, False, ago(9000), WarehouseSpec(**(spec or {})), status)
    return replace(plain, **fields)


def cluster(index: int = 1, running: bool = True, drain: bool = False, age: float = 3600, **fields: Any) -> Cluster:
    """Return a cluster of the warehouse, with head node `default-1` when it runs."""
    status = ClusterStatus()
    if running:
        status = ClusterStatus(
            phase=ClusterPhase.RUNNING, endpoint="http://10.0.0.1:7070", head="default-1", head_uid="u1", ready_nodes=1
        )
    spec = ClusterSpec(warehouse="w", index=index, drain=drain)
    plain = Cluster(f"w-{index}", f"e{index}", 1, 1, False, True, "w-uid", ago(age), ago(age), spec, status)
    return replace(plain, **fields)


def node(slot: int = 1, ready: bool = True, epoch: str | None = None, age: float = 600, **fields: Any) -> Node:
    """Return a node of the pool: warm, or claimed for an epoch."""
    plain = Node(
        name=f"default-{slot}",
        uid=f"u{slot}",
        version=1,
        pool="default",
        slot=slot,
        state=names.STATE_CLAIMED if epoch else names.STATE_WARM,
        template=TEMPLATE,
        phase="Running" if ready else "Pending",
        ready=ready,
        deleting=False,
        created_at=ago(age),
        address=f"10.0.0.{slot}" if ready else None,
        epoch=epoch,
        role=names.ROLE_HEAD if epoch else None,
        claimed_at=ago(age / 2) if epoch else None,
    )
    return replace(plain, **fields)


def worker(slot: int, head: str = "u1", **fields: Any) -> Node:
    """Return a node that was claimed for epoch e1 to join the head of this UID."""
    return node(slot, epoch="e1", **{"role": names.ROLE_WORKER, "head_uid": head, **fields})


def pool(minimum: int = 2, maximum: int = 10, **refill: Any) -> Pool:
    """Return a pool with these bounds of warm nodes."""
    spec = PoolSpec.model_validate(
        {
            "image": "node",
            "warm": {"min": minimum, "max": maximum},
            "refill": {"delaySeconds": 2, "maxBooting": 2, **refill},
        }
    )
    return Pool("default", "p", 1, 1, False, spec, PoolStatus(), TEMPLATE)
