"""Iceberg snapshots of statements that write: one each, with the statement's id and counts in its summary."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from firn_model.writes import ColumnStatistics, WrittenFile
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CreateTableTransaction, StagedTable, Table, Transaction
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.typedef import Record
from sqlalchemy import update
from sqlalchemy.orm import Session

from firn_services.catalog.names import NewTable

STATEMENT = "firn.statement"
COUNTS = "firn.counts"
SORT_BY = "firn.sort-by"
PROPERTIES = {
    "write.metadata.metrics.default": "full",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}

Counts = Mapping[str, int | str]
"""What a statement did, by the name of its result's column."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one statement does to a table's files. `removed` None: all that there are.

    `removed` must still be in the table, else somebody else has changed or removed a file that the statement read.
    """

    statement_id: str
    counts: Counts
    added: tuple[WrittenFile, ...] = ()
    removed: frozenset[str] | None = frozenset()
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, str]:
        """Return what the snapshot says of its statement."""
        return {STATEMENT: self.statement_id, COUNTS: json.dumps(dict(self.counts))}


class ConflictingChangeError(Exception):
    """A file that the statement read is no longer in the table: it has to run again."""


def counts_of(table: Table, statement_id: str) -> Counts | None:
    """Return what a statement has done to a table, if it has; the newest snapshots are looked at first."""
    found = snapshot_of(table, statement_id)
    if found is None or found.summary is None:
        return None
    counts: Counts = json.loads(found.summary[COUNTS] or "{}")
    return counts


def snapshot_of(table: Table, statement_id: str) -> Snapshot | None:
    """Return the snapshot that a statement made."""
    for snapshot in reversed(table.metadata.snapshots):
        if snapshot.summary is not None and snapshot.summary.get(STATEMENT) == statement_id:
            return snapshot
    return None


def copy_of(table: Table) -> Table:
    """Return a table that changes by itself: others may still read the one it is of."""
    return Table(table.name(), table.metadata, table.metadata_location, table.io, table.catalog)


def commit(table: Table, change: Change) -> Table:
    """Make one snapshot of a change; return the table with it. Blocks. Raises ConflictingChangeError."""
    own = copy_of(table)
    try:
        with own.transaction() as transaction:
            _apply(transaction, own, change)
    except (CommitFailedException, NoSuchTableError) as error:
        raise ConflictingChangeError("the table was replaced or dropped meanwhile") from error
    return own


def _apply(transaction: Transaction, table: Table, change: Change) -> None:
    if change.properties:
        transaction.set_properties(dict(change.properties))
    leaving = _leaving(table, change.removed)
    update_snapshot = transaction.update_snapshot(snapshot_properties=change.summary)
    producer = update_snapshot.overwrite() if leaving else update_snapshot.merge_append()
    with producer as snapshot:
        for old in leaving:
            snapshot.delete_data_file(old)
        for new in change.added:
            snapshot.append_data_file(data_file(table, new))


def _leaving(table: Table, removed: frozenset[str] | None) -> list[DataFile]:
    if removed is not None and not removed:
        return []
    present = {task.file.file_path: task.file for task in table.scan(row_filter=AlwaysTrue()).plan_files()}
    if removed is None:
        return list(present.values())
    if missing := removed - present.keys():
        raise ConflictingChangeError(f"{len(missing)} of its files were replaced meanwhile")
    return [present[uri] for uri in sorted(removed)]


def data_file(table: Table, written: WrittenFile) -> DataFile:
    """Return a written file as Iceberg has it."""
    ids = {name: table.schema().find_field(name).field_id for name in table.schema().column_names}
    columns = {ids[column.name]: column for column in written.columns if column.name in ids}
    made = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=written.uri,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=written.rows,
        file_size_in_bytes=written.size_bytes,
        column_sizes={key: column.size_bytes for key, column in columns.items()},
        value_counts={key: column.values for key, column in columns.items()},
        null_value_counts={key: column.nulls for key, column in columns.items() if column.nulls is not None},
        nan_value_counts={},
        lower_bounds=_bounds(columns, "lower"),
        upper_bounds=_bounds(columns, "upper"),
        key_metadata=None,
        split_offsets=list(written.split_offsets),
        equality_ids=None,
        sort_order_id=None,
    )
    made.spec_id = table.metadata.default_spec_id
    return made


def _bounds(columns: Mapping[int, ColumnStatistics], side: str) -> dict[int, bytes]:
    found = {key: getattr(column, side) for key, column in columns.items()}
    return {key: base64.b64decode(bound) for key, bound in found.items() if bound is not None}


def properties_of(new: NewTable) -> dict[str, str]:
    """Return the properties of a table to be made."""
    return {**PROPERTIES, **({SORT_BY: json.dumps(new.sort_by)} if new.sort_by else {})}


def sort_by(table: Table) -> tuple[str, ...]:
    """Return the columns by which the table's files are sorted."""
    return tuple(json.loads(table.properties.get(SORT_BY, "[]")))


def create_with_files(catalog: SqlCatalog, new: NewTable, change: Change, *, replace: bool) -> None:
    """Make a table with its first snapshot in one write to the catalog. Raises TableAlreadyExistsError.

    With `replace` it takes the place of the one that has its name, also in one write.
    """
    staged = _staged(catalog, new)
    transaction = CreateTableTransaction(staged)
    _apply(transaction, staged, change)
    if replace:
        _replace(catalog, staged, transaction)
    else:
        transaction.commit_transaction()


def _staged(catalog: SqlCatalog, new: NewTable) -> StagedTable:
    """Return a table that is not in the catalog yet. The catalog's own way takes no namespace of two levels."""
    schema = catalog._convert_schema_if_needed(new.schema)
    properties = properties_of(new)
    metadata = new_table_metadata(
        schema=schema,
        partition_spec=UNPARTITIONED_PARTITION_SPEC,
        sort_order=UNSORTED_SORT_ORDER,
        location=new.root,
        properties=properties,
    )
    location = load_location_provider(new.root, properties).new_table_metadata_file_location()
    return StagedTable(new.identifier, metadata, location, catalog._load_file_io(properties, location), catalog)


def _replace(catalog: SqlCatalog, staged: StagedTable, transaction: Transaction) -> None:
    """Write the new table's metadata, then let the name point to it."""
    whole = catalog._update_and_stage_table(None, staged.name(), (), transaction._updates)
    catalog._write_metadata(whole.metadata, whole.io, whole.metadata_location)
    database, schema, name = staged.name()
    with Session(catalog.engine) as session:
        result = session.execute(
            update(IcebergTables)
            .where(
                IcebergTables.catalog_name == catalog.name,
                IcebergTables.table_namespace == f"{database}.{schema}",
                IcebergTables.table_name == name,
            )
            .values(metadata_location=whole.metadata_location, previous_metadata_location=None)
        )
        if result.rowcount != 1:  # type: ignore[attr-defined]
            raise CommitFailedException(f"table {name} is gone")
        session.commit()
