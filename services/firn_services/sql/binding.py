"""Binding a parsed query to the catalog: names resolved, types checked, files pruned, text in the engine's dialect."""

from dataclasses import dataclass

import pyarrow as pa
from firn_model.messages import TableSnapshot
from sqlglot import exp

from firn_services.catalog.names import Bound as Limit
from firn_services.catalog.names import CatalogTable
from firn_services.catalog.reader import CatalogReader
from firn_services.sql.aliases import expand_aliases
from firn_services.sql.check import check, empty
from firn_services.sql.columns import name_columns
from firn_services.sql.exact import keep_exact
from firn_services.sql.meanings import keep_meanings
from firn_services.sql.memberships import keep_unknown
from firn_services.sql.outer_joins import keep_missing_apart
from firn_services.sql.pivots import set_pivots_apart, write_pivots
from firn_services.sql.predicates import bounds
from firn_services.sql.refused import engine_text, refuse_clauses, refuse_options
from firn_services.sql.relations import reshape
from firn_services.sql.resolve import Defaults, rename_to_engine, resolve_tables
from firn_services.sql.roles import FILE, ROW, WITH_ROWS
from firn_services.sql.semi_joins import pick_rows_before_joins
from firn_services.sql.spans import refuse_spans
from firn_services.sql.totals import keep_conditions_above_totals


@dataclass(frozen=True, slots=True)
class Bound:
    """A query in the engine's dialect, its result's schema, and its tables by their name in it."""

    sql: str
    schema: pa.Schema
    tables: dict[str, CatalogTable]
    snapshots: tuple[TableSnapshot, ...]

    def named(self, role: str) -> str:
        """Return the engine's name of the table that is mentioned in a role; empty when none is."""
        return next((name for name, table in self.tables.items() if table.role == role), "")

    def snapshot(self, role: str) -> TableSnapshot:
        """Return the table that is mentioned in a role."""
        return next(snapshot for snapshot in self.snapshots if snapshot.name == self.named(role))


def bind(
    statement: exp.Expr, text: str, catalog: CatalogReader, defaults: Defaults, *, naming: str | None = None
) -> Bound:
    """Bind a query, which is rewritten in place. Raises StatementFailedError with its position in the user's text.

    `naming`: the query's own text, from which its columns get their names.
    """
    is_pivoted = set_pivots_apart(statement, text)
    statement = reshape(statement, defaults)
    refuse_clauses(statement, text)
    references = resolve_tables(statement, catalog, defaults)
    limits = bounds(references)
    tables = rename_to_engine(statement, references)
    if naming is not None:
        name_columns(statement, naming)
    context = empty(tables)
    if is_pivoted:
        write_pivots(statement, context, text)
    expand_aliases(statement, context, text)
    refuse_spans(statement, tables, context)
    keep_conditions_above_totals(statement)
    keep_unknown(statement)
    keep_meanings(statement, tables)
    keep_exact(statement, tables, context)
    statement = pick_rows_before_joins(statement, tables)
    statement = keep_missing_apart(statement, tables)
    refuse_options(statement, text)
    sql = engine_text(statement)
    schema = check(sql, context, text)
    snapshots = tuple(_snapshot(name, t, catalog, limits.get(t.name, ())) for name, t in tables.items())
    return Bound(sql, schema, tables, snapshots)


def _snapshot(name: str, table: CatalogTable, catalog: CatalogReader, limits: tuple[Limit, ...]) -> TableSnapshot:
    return TableSnapshot.model_construct(
        name=name,
        schema_ipc_base64=table.schema_ipc_base64,
        files=catalog.prune(table, limits),
        format=table.format,
        text=table.text,
        file_column=FILE if table.role in WITH_ROWS else None,
        row_column=ROW if table.role in WITH_ROWS else None,
    )
