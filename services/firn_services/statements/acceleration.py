"""SYSTEM$ESTIMATE_QUERY_ACCELERATION: from the stored statistics of a past statement."""

import json
from datetime import datetime, timedelta

from firn_model.sizes import WarehouseType, node_count
from firn_model.statements import StatementState
from firn_model.warehouses import WarehouseSpec

from firn_services.decide.acceleration import Estimate, Obstacle, Past, estimate
from firn_services.decide.burst import BurstTerms, thresholds
from firn_services.statements.record import StatementRecord
from firn_services.store.statements import StatementStore
from firn_services.warehouses.account import Account

REMEMBERED = timedelta(days=14)
"""Source: snowflake-surface.md; a statement that ran before is as if it never was."""


class Acceleration:
    """Answers the function. A cluster's size is the warehouse's of now; one that is gone counts as of one node."""

    def __init__(self, store: StatementStore, account: Account, terms: BurstTerms, cores: int) -> None:
        self._store = store
        self._account = account
        self._terms = terms
        self._cores = cores

    def estimate(self, statement_id: str, now: datetime) -> str:
        """Return the JSON object. Blocks."""
        found = self.of(self._store.read(statement_id), now)
        answer = {
            "estimatedQueryTimes": {str(factor): round(seconds, 1) for factor, seconds in found.times.items()},
            "ineligibleReason": found.obstacle,
            "originalQueryTime": round(found.seconds, 3),
            "queryUUID": statement_id,
            "status": found.status,
            "upperLimitScaleFactor": found.upper_limit,
        }
        return json.dumps(answer)

    def of(self, record: StatementRecord | None, now: datetime) -> Estimate:
        """Return what burst nodes would have done for a statement."""
        spec = self._spec(record)
        return estimate(self._past(record, spec, now), *thresholds(spec, self._terms))

    def _spec(self, record: StatementRecord | None) -> WarehouseSpec:
        resource = record.warehouse_resource if record is not None else None
        return next((w.spec for w in self._account.warehouses() if w.resource == resource), WarehouseSpec())

    def _past(self, record: StatementRecord | None, spec: WarehouseSpec, now: datetime) -> Past | None:
        if record is None or record.ended_at is None or record.ended_at + REMEMBERED < now:
            return None
        used = record.statistics
        began = record.started_at or record.ended_at
        return Past(
            seconds=(record.ended_at - began).total_seconds(),
            scan_seconds=used.scan_seconds if used else 0.0,
            scan_bytes=used.bytes_scanned if used else 0,
            nodes=node_count(spec.size, spec.type),
            cores=self._cores,
            burst_tasks=used.burst_tasks if used else 0,
            obstacle=_obstacle(record, spec),
        )


def _obstacle(record: StatementRecord, spec: WarehouseSpec) -> Obstacle | None:
    if record.state is not StatementState.SUCCEEDED:
        return Obstacle.NOT_SUCCEEDED
    if spec.type is not WarehouseType.STANDARD:
        return Obstacle.WAREHOUSE_TYPE
    if record.statistics is not None and record.statistics.rows_written:
        return Obstacle.WRITES
    return None
