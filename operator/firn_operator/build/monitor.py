"""A resource monitor's status, and the patch that counts a cluster for it."""

from datetime import datetime
from typing import Any

from firn_model import names
from firn_model.clusters import MeterLedger
from firn_model.conditions import ConditionStatus
from firn_model.credits import to_credits
from firn_model.monitors import MonitorStatus
from firn_model.warehouses import WarehouseStatus

from firn_operator.build.status import ready_condition, with_condition
from firn_operator.decide.metering import Ledger
from firn_operator.decide.monitor import LIMITS, Limit, Period, Standing, ledger_in, words
from firn_operator.decide.observed import Monitor, Warehouse
from firn_operator.decide.reason import Reason


def monitor_status(monitor: Monitor, period: Period, standing: Standing, now: datetime) -> MonitorStatus:
    """Return the status of a monitor that counts."""
    reason = LIMITS[standing.limit] if standing.limit else Reason.WITHIN_QUOTA
    message, old = words(monitor.spec, standing, period), monitor.status
    ledger = ledger_in(monitor, period)
    return old.model_copy(
        update={
            "credits_used": to_credits(standing.credit_seconds),
            "period_start": period.start,
            "period_end": period.end,
            "limit": standing.limit,
            "reached": tuple(sorted({t.percent for t in standing.reached})),
            "metering": _metering(ledger) if ledger != Ledger() else None,
            "observed_generation": monitor.generation,
            "conditions": ready_condition(
                old.conditions, standing.limit is None, reason, message, monitor.generation, now
            ),
        }
    )


def waiting_status(monitor: Monitor, start: datetime, now: datetime) -> MonitorStatus:
    """Return the status of a monitor whose start is still to come."""
    message = f"counts from {start:%Y-%m-%d %H:%M} UTC on"
    conditions = ready_condition(monitor.status.conditions, True, Reason.NOT_STARTED, message, monitor.generation, now)
    return MonitorStatus(observed_generation=monitor.generation, conditions=conditions)


def counted_patch(monitor: Monitor, period: Period, ledger: Ledger) -> dict[str, Any]:
    """Return the merge patch that counts for a monitor as it was read; in a new period all else begins anew."""
    status: dict[str, Any] = {"metering": _metering(ledger).manifest()}
    if monitor.status.period_start != period.start:
        ends = {"periodStart": period.start.isoformat(), "periodEnd": period.end.isoformat() if period.end else None}
        status |= {**ends, "limit": None, "reached": [], "creditsUsed": None}
    return {"metadata": {"uid": monitor.uid, "resourceVersion": str(monitor.version)}, "status": status}


def with_limit(
    status: WarehouseStatus, warehouse: Warehouse, limit: Limit | None, known: bool, now: datetime
) -> WarehouseStatus:
    """Return a warehouse's status with the condition that tells of its monitor; without one ever, untouched.

    The services obey it: while it is True they refuse statements with its message, and with the reason
    MonitorSuspendImmediately they also cancel those that run.
    """
    name = warehouse.spec.resource_monitor
    told = any(c.type == names.CONDITION_MONITOR_LIMIT for c in status.conditions)
    if limit:
        state, reason, message = ConditionStatus.TRUE, limit.reason, limit.message
    elif name and not known:
        state, reason, message = ConditionStatus.UNKNOWN, Reason.MONITOR_MISSING, f"there is no ResourceMonitor {name}"
    elif told:
        state, reason, message = ConditionStatus.FALSE, Reason.WITHIN_QUOTA, ""
    else:
        return status
    conditions = with_condition(
        status.conditions, names.CONDITION_MONITOR_LIMIT, state, reason, message, warehouse.generation, now
    )
    return status.model_copy(update={"conditions": conditions})


def _metering(ledger: Ledger) -> MeterLedger:
    return MeterLedger(credit_seconds=ledger.credit_seconds, counted=ledger.counted)
