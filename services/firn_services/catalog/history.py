"""A table's snapshots: which one a moment means, and which are to be kept."""

from datetime import UTC, datetime

from firn_model.statements import StatementError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from firn_services.catalog.commits import snapshot_of
from firn_services.catalog.names import Moment
from firn_services.errors import StatementFailedError


def snapshot_at(table: Table, moment: Moment) -> Snapshot:
    """Return the snapshot of a moment. Raises StatementFailedError when the table has none of it."""
    found: Snapshot | None
    if moment.statement is not None:
        found = snapshot_of(table, moment.statement)
        if found is None:
            raise _none(table, f"of statement {moment.statement}")
        if moment.before:
            parent = found.parent_snapshot_id
            found = table.snapshot_by_id(parent) if parent is not None else None
    elif moment.version is not None:
        found = table.snapshot_by_id(moment.version)
    else:
        milliseconds = int((moment.at or datetime.now(UTC)).timestamp() * 1000)
        found = table.snapshot_as_of_timestamp(milliseconds, inclusive=not moment.before)
        found = found and table.snapshot_by_id(found.snapshot_id)
    if found is None:
        raise _none(table, "of that time")
    return found


def _none(table: Table, which: str) -> StatementFailedError:
    snapshots = table.metadata.snapshots
    if not snapshots:
        return StatementFailedError(StatementError.UNKNOWN_TABLE, f"table {table.name()[-1]} has no snapshots yet")
    oldest = datetime.fromtimestamp(min(s.timestamp_ms for s in snapshots) / 1000, UTC)
    return StatementFailedError(
        StatementError.UNKNOWN_TABLE,
        f"table {table.name()[-1]} has no snapshot {which}: it was not there yet or its snapshot has expired; "
        f"the oldest is of {oldest.isoformat()}",
    )
