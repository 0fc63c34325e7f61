"""Letting old snapshots of a table go, and deleting the files in its folder that nothing needs any more."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from firn_model.statements import StatementError
from pyiceberg.table import Table

from firn_services.catalog.commits import copy_of
from firn_services.catalog.iceberg import IcebergCatalog
from firn_services.catalog.names import TableName
from firn_services.errors import StatementFailedError
from firn_services.objects import ObjectStore, translated


class Expiry:
    """Expires snapshots. What is younger than `keep` stays: statements that run may read or write it."""

    def __init__(self, catalog: IcebergCatalog, store: ObjectStore, keep: timedelta) -> None:
        self._catalog = catalog
        self._store = store
        self._keep = keep

    def expire(self, name: TableName, older_than: datetime | None, now: datetime) -> tuple[int, int]:
        """Return how many snapshots went and how many files were deleted. Blocks. Raises StatementFailedError."""
        bound = now - self._keep
        if older_than is not None and older_than > bound:
            hours = self._keep / timedelta(hours=1)
            message = f"snapshots are kept for {hours:g} hours, for statements that read them; name an earlier time"
            raise StatementFailedError(StatementError.UNSUPPORTED, message)
        limit = older_than or bound
        expired = 0

        def operation(table: Table) -> Table:
            nonlocal expired
            before = len(table.metadata.snapshots)
            current = table.metadata.current_snapshot_id
            old = [
                s.snapshot_id
                for s in table.metadata.snapshots
                if s.snapshot_id != current and s.timestamp_ms < limit.timestamp() * 1000
            ]
            if not old:
                return table
            own = copy_of(table)
            own.maintenance.expire_snapshots().by_ids(old).commit()
            expired = before - len(own.metadata.snapshots)
            return own

        table = self._catalog.alter(name, operation)
        deleted = translated(f"table {name}", lambda: self._delete_unreferenced(table, bound))
        return expired, deleted

    def _delete_unreferenced(self, table: Table, bound: datetime) -> int:
        """Delete what no snapshot names and what is older than the bound: a younger file may become a snapshot's."""
        needed = set(_referenced(table))
        leaving = [
            uri
            for uri, written_at in self._store.objects_below(table.location())
            if uri not in needed and written_at < bound
        ]
        for uri in leaving:
            self._store.files.delete_file(uri.removeprefix("s3://"))
        return len(leaving)


def _referenced(table: Table) -> Iterator[str]:
    """Yield every file that the table's snapshots need, data and metadata."""
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    yield from (value for key, value in table.properties.items() if key.startswith("firn.") and value.startswith("s3:"))
    seen: set[str] = set()
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                yield manifest.manifest_path
                yield from (entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io))
