"""Statuses and patches of what was used."""

from datetime import datetime
from typing import Any

from firn_model.clusters import MeterInterval, MeterLedger
from firn_model.credits import to_credits
from firn_model.warehouses import WarehouseStatus

from firn_operator.decide.metering import Ledger, used
from firn_operator.decide.observed import Cluster, Warehouse
from firn_operator.decide.warehouse import Observed


def ledger_of(warehouse: Warehouse) -> Ledger:
    """Return what a warehouse's status says was counted."""
    metering = warehouse.status.metering
    return Ledger(metering.credit_seconds, metering.counted) if metering else Ledger()


def with_credits(status: WarehouseStatus, observed: Observed, now: datetime) -> WarehouseStatus:
    """Return a warehouse's status with the credits that it has used by now; without any, untouched."""
    amount = used(ledger_of(observed.warehouse), observed.clusters, now)
    return status.model_copy(update={"credits_used": to_credits(amount)}) if amount else status


def metering_patch(cluster: Cluster, intervals: tuple[MeterInterval, ...]) -> dict[str, Any]:
    """Return the merge patch of the status with a cluster's intervals."""
    return {"metadata": {"uid": cluster.uid}, "status": {"metering": [i.manifest() for i in intervals]}}


def ledger_patch(warehouse: Warehouse, ledger: Ledger) -> dict[str, Any]:
    """Return the merge patch of the status with a warehouse's ledger, for the warehouse as it was read."""
    metering = MeterLedger(credit_seconds=ledger.credit_seconds, counted=ledger.counted)
    return {
        "metadata": {"uid": warehouse.uid, "resourceVersion": str(warehouse.version)},
        "status": {"metering": metering.manifest()},
    }
