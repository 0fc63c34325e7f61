"""Compiling statements that add rows: INSERT, and CREATE TABLE AS. Their rows are cast to the target's columns."""

import pyarrow as pa
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import TableName
from firn_services.catalog.reader import CatalogReader
from firn_services.errors import StatementFailedError
from firn_services.sql import changes, copies, maintenance
from firn_services.sql.binding import Bound, bind
from firn_services.sql.check import check, empty
from firn_services.sql.classify import column_fields, sorted_by
from firn_services.sql.commands import Command, CreateTable
from firn_services.sql.dialect import Engine
from firn_services.sql.query import Action, Query, Write
from firn_services.sql.refused import refuse_in_changes
from firn_services.sql.resolve import Defaults, table_name
from firn_services.sql.targets import Scope, field_of, files_of, quoted, refuse_missing, target_of
from firn_services.sql.types import cast, kept


class WriteCompiler:
    """Compiles statements that write."""

    def __init__(self, catalog: CatalogReader) -> None:
        self._catalog = catalog

    def compile(self, statement: exp.Expr, text: str, defaults: Defaults) -> Query | Command | None:
        """Return what it was compiled to; None when it writes no rows. Raises StatementFailedError."""
        scope = Scope(text, self._catalog, defaults)
        if isinstance(statement, exp.Insert | exp.Delete | exp.Update | exp.Merge):
            refuse_in_changes(statement, text)
        match statement:
            case exp.Insert():
                return _insert(scope, statement)
            case exp.Create() if statement.args.get("expression") is not None and statement.args["kind"] == "TABLE":
                return _create(scope, statement)
            case exp.Delete():
                return changes.delete(scope, statement)
            case exp.Update():
                return changes.update(scope, statement)
            case exp.Merge():
                return changes.merge(scope, statement)
            case exp.Copy():
                return copies.copy(scope, statement)
            case exp.Command():
                return maintenance.alter_table(scope)
            case _:
                return None


def written_table(statement: exp.Expr, text: str, defaults: Defaults) -> TableName | None:
    """Return the table of a statement that writes; None for others."""
    if isinstance(statement, exp.Command):
        mention = maintenance.altered(text)
        return table_name(mention, defaults) if mention is not None else None
    if not isinstance(statement, exp.Insert | exp.Create | exp.Delete | exp.Update | exp.Merge | exp.Copy):
        return None
    target = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
    is_table = isinstance(target, exp.Table) and isinstance(target.this, exp.Identifier)
    return table_name(target, defaults) if is_table else None


def _insert(scope: Scope, statement: exp.Insert) -> Query:
    target, source = statement.this, statement.expression
    named = target.expressions if isinstance(target, exp.Schema) else None
    mention = target.this if isinstance(target, exp.Schema) else target
    if not isinstance(source, exp.Query | exp.Values):
        raise StatementFailedError(StatementError.UNSUPPORTED, "INSERT takes VALUES or a query")
    if any(var.name.upper() == "DEFAULT" for var in source.find_all(exp.Var)):
        raise StatementFailedError(StatementError.UNSUPPORTED, "columns have no defaults; leave the column out")
    table = scope.load(mention)
    bound = bind(source, scope.text, scope.catalog, scope.defaults, naming=source.sql(dialect="snowflake"))
    fields = [field_of(table, name) for name in named] if named is not None else list(table.schema)
    if len(fields) != len(bound.schema):
        message = f"table {table.name} takes {len(fields)} values here, not {len(bound.schema)}"
        raise StatementFailedError(StatementError.TYPE, message)
    sources = {field.name: column for field, column in zip(fields, bound.schema, strict=True)}
    if len(sources) != len(fields):
        raise StatementFailedError(StatementError.UNSUPPORTED, "INSERT names a column twice")
    action = Action.OVERWRITE if statement.args.get("overwrite") else Action.INSERT
    write = Write(action, table.name, target_of(table), base=table)
    return Query(_fitted(scope, bound, table.schema, sources), bound.snapshots, write)


def _create(scope: Scope, statement: exp.Create) -> Query | Command:
    target = statement.this
    name = table_name(target.this if isinstance(target, exp.Schema) else target, scope.defaults)
    exists, replace = bool(statement.args.get("exists")), bool(statement.args.get("replace"))
    if name in scope.catalog.tables(name.database, name.schema) and not replace:
        return _existing(name, if_not_exists=exists)
    source = statement.expression
    bound = bind(source, scope.text, scope.catalog, scope.defaults, naming=source.sql(dialect="snowflake"))
    if isinstance(target, exp.Schema):
        schema = pa.schema(column_fields(target))
    else:
        schema = pa.schema([pa.field(f.name, kept(f.name, f.type)) for f in bound.schema])
    if len(schema) != len(bound.schema):
        message = f"CREATE TABLE has {len(schema)} columns for {len(bound.schema)} of its query"
        raise StatementFailedError(StatementError.TYPE, message)
    new = scope.catalog.new_table(name, schema, sorted_by(statement, schema))
    sources = {field.name: column for field, column in zip(schema, bound.schema, strict=True)}
    files = files_of(new.root, schema, tuple(range(1, len(schema) + 1)), new.sort_by)
    write = Write(Action.CREATE, name, files, new=new, replace=replace)
    return Query(_fitted(scope, bound, schema, sources), bound.snapshots, write)


def _existing(name: TableName, *, if_not_exists: bool) -> Command:
    if not if_not_exists:
        raise StatementFailedError(StatementError.ALREADY_EXISTS, f"table {name} exists already")
    return CreateTable(name, pa.schema([]), if_not_exists=True, replace=False)


def _fitted(scope: Scope, bound: Bound, schema: pa.Schema, sources: dict[str, pa.Field]) -> str:
    """Return the engine's text of a bound query's rows as the target's columns. Raises StatementFailedError."""
    items = []
    for field in schema:
        if (source := sources.get(field.name)) is None:
            refuse_missing(field)
            value = cast(exp.Null(), None, field.type)
        else:
            value = cast(exp.column(quoted(source.name)), source.type, field.type)
            _require_castable(scope, bound, value, source, field)
        items.append(exp.alias_(value, quoted(field.name)).sql(dialect=Engine))
    return _over(bound, ", ".join(items))


def _over(bound: Bound, items: str) -> str:
    return f'SELECT {items} FROM ({bound.sql}) AS "source"'  # noqa: S608  both were written by sqlglot


def _require_castable(scope: Scope, bound: Bound, value: exp.Expr, source: pa.Field, field: pa.Field) -> None:
    if isinstance(value, exp.Column):
        return
    try:
        check(_over(bound, value.sql(dialect=Engine)), empty(bound.tables), scope.text)
    except StatementFailedError as error:
        message = f"column {field.name} has type {field.type} and cannot take {source.type}"
        raise StatementFailedError(StatementError.TYPE, message) from error
