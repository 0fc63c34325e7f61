"""What a statement that writes needs to know of its target."""

import base64
from dataclasses import dataclass

import pyarrow as pa
from firn_model.statements import StatementError
from firn_model.writes import WriteTarget
from sqlglot import exp

from firn_services.catalog.names import CatalogTable
from firn_services.catalog.reader import CatalogReader
from firn_services.errors import StatementFailedError
from firn_services.sql.resolve import Defaults, canonical, load_table


@dataclass(frozen=True, slots=True)
class Scope:
    """The user's text, the catalog, and where unqualified names are."""

    text: str
    catalog: CatalogReader
    defaults: Defaults

    def load(self, mention: exp.Table) -> CatalogTable:
        """Return the table that is mentioned. Raises StatementFailedError (unknown_table) with position."""
        return load_table(mention, self.catalog, self.defaults)


def files_of(root: str, schema: pa.Schema, ids: tuple[int, ...], sort_by: tuple[str, ...]) -> WriteTarget:
    """Return where a table's new files go."""
    fields = [
        field.with_metadata({b"PARQUET:field_id": str(number).encode()})
        for field, number in zip(schema, ids, strict=True)
    ]
    ipc = base64.b64encode(pa.schema(fields).serialize().to_pybytes()).decode()
    return WriteTarget(location=f"{root}/data", schema_ipc_base64=ipc, sort_by=sort_by)


def target_of(table: CatalogTable) -> WriteTarget:
    """Return where new files of a table go."""
    return files_of(table.root, table.schema, table.field_ids, table.sort_by)


def field_of(table: CatalogTable, name: exp.Expr) -> pa.Field:
    """Return the table's column of a name. Raises StatementFailedError."""
    wanted = canonical(name.this if isinstance(name, exp.Column) else name)
    found = [field for field in table.schema if wanted in (field.name, field.name.upper())]
    if not found:
        raise StatementFailedError(
            StatementError.UNKNOWN_COLUMN, f"column {wanted} does not exist in table {table.name}"
        )
    return found[0]


def refuse_missing(field: pa.Field) -> None:
    """Raise StatementFailedError when a column that is NOT NULL gets no value."""
    if not field.nullable:
        raise StatementFailedError(StatementError.CONSTRAINT, f"column {field.name} is NOT NULL and gets no value")


def quoted(name: str) -> exp.Identifier:
    """Return an identifier that is spelt as it is."""
    return exp.to_identifier(name, quoted=True)
