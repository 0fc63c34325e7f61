"""Compiling COPY INTO: loading files into a table, each once, and unloading a query's rows into files.

Source: Snowflake's COPY INTO <table> and COPY INTO <location>, as far as the options below go.
"""

import base64
import re
from typing import Any

import pyarrow as pa
from firn_model.messages import DataFile, TableSnapshot
from firn_model.statements import StatementError
from firn_model.writes import FileFormat, WriteTarget
from sqlglot import exp

from firn_services.catalog.names import CatalogTable, TableName
from firn_services.errors import StatementFailedError
from firn_services.sql.binding import bind
from firn_services.sql.check import check, empty
from firn_services.sql.commands import Command, Nothing
from firn_services.sql.copy_options import options_of
from firn_services.sql.dialect import Engine
from firn_services.sql.query import Action, Query, Write
from firn_services.sql.targets import Scope, field_of, quoted, refuse_missing, target_of
from firn_services.sql.types import cast, kept

_STAGED = "staged"
_TO_TEXT = (pa.types.is_temporal, pa.types.is_binary)


def copy(scope: Scope, statement: exp.Copy) -> Query | Command:
    """Compile COPY INTO. Raises StatementFailedError."""
    target, source = statement.this, statement.args["files"][0]
    options = options_of(statement)
    if isinstance(target, exp.Table) and isinstance(target.this, exp.Literal):
        return _unload(scope, target.this.name, source, options)
    if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Literal):
        raise _unsupported("COPY INTO a table takes FROM 's3://bucket/path'")
    return _load(scope, target, source.this.name, options)


def _unsupported(message: str) -> StatementFailedError:
    return StatementFailedError(StatementError.UNSUPPORTED, message)


def _address(uri: str) -> str:
    if not re.fullmatch(r"s3://[^/]+(/.*)?", uri) or _climbs(uri):
        raise _unsupported(f"{uri!r} is no place for files; write 's3://bucket/path'")
    return uri


def _climbs(path: str) -> bool:
    """Whether a path leaves its folder, for those to whom dots mean that."""
    return not {".", ".."}.isdisjoint(path.split("/"))


def _unload(scope: Scope, uri: str, source: exp.Expr, options: dict[str, Any]) -> Query:
    query = source.this if isinstance(source, exp.Subquery) else exp.select("*").from_(source)
    bound = bind(query, scope.text, scope.catalog, scope.defaults, naming=query.sql(dialect="snowflake"))
    schema = pa.schema([pa.field(f.name, kept(f.name, f.type)) for f in bound.schema])
    scope.catalog.staging.check_free(_address(uri))
    single = options.get("SINGLE", False)
    location, _, name = uri.rpartition("/") if single else (uri.rstrip("/"), "", "")
    target = WriteTarget(
        location=location,
        name=name,
        schema_ipc_base64=base64.b64encode(schema.serialize().to_pybytes()).decode(),
        format=options["format"],
        text=options["text"],
        target_file_bytes=options.get("MAX_FILE_SIZE", 16 << 20),
        single=single,
        keep_in_cache=False,
    )
    return Query(bound.sql, bound.snapshots, Write(Action.UNLOAD, TableName("", "", uri), target))


def _load(scope: Scope, target: exp.Expr, uri: str, options: dict[str, Any]) -> Query | Command:
    mention = target.this if isinstance(target, exp.Schema) else target
    assert isinstance(mention, exp.Table), "COPY INTO names a table"  # noqa: S101  for the type checker
    table = scope.load(mention)
    fields = [field_of(table, n) for n in target.expressions] if isinstance(target, exp.Schema) else list(table.schema)
    names = options.get("FILES")
    if any(_climbs(name) for name in names or ()):
        raise _unsupported("FILES names what is below the place, without . and ..")
    found = scope.catalog.staging.files(_address(uri), names, options.get("PATTERN"))
    known = frozenset() if options.get("FORCE", False) else frozenset(scope.catalog.staging.history(table.loads))
    files = tuple(file for file in found if file not in known)
    if not files:
        return Nothing("Copy executed with 0 files processed.")
    file_format, text = options["format"], options["text"]
    columns = _columns(scope, files[0].uri, file_format, fields)
    staged = CatalogTable(
        TableName("", "", _STAGED), "", pa.schema(list(columns.values())), "", (), format=file_format, text=text
    )
    items = [_item(field, columns, options.get("NULL_IF", ())) for field in table.schema]
    sql = f'SELECT {", ".join(items)} FROM "{_STAGED}"'  # noqa: S608  written by sqlglot
    check(sql, empty({_STAGED: staged}), scope.text)
    snapshot = TableSnapshot(
        name=_STAGED,
        schema_ipc_base64=base64.b64encode(staged.schema.serialize().to_pybytes()).decode(),
        files=tuple(DataFile(uri=file.uri, size_bytes=file.size_bytes, rows=0) for file in files),
        format=file_format,
        text=text,
    )
    return Query(sql, (snapshot,), Write(Action.LOAD, table.name, target_of(table), base=table, loaded=files))


def _columns(scope: Scope, uri: str, kind: FileFormat, fields: list[pa.Field]) -> dict[str, pa.Field]:
    """Return the files' columns by the table's that each is for: by place in CSV, else by name."""
    if kind is FileFormat.CSV:
        return {field.name: pa.field(f"c{at}", pa.string()) for at, field in enumerate(fields, 1)}
    there = {field.name.upper(): field for field in scope.catalog.staging.columns(uri, kind)}
    found = {field.name: there[field.name.upper()] for field in fields if field.name.upper() in there}
    if not found:
        raise _unsupported(f"{uri} has none of the table's columns; COPY INTO matches them by name")
    if kind is FileFormat.PARQUET:
        return found
    kinds = {f.name: pa.string() if any(is_so(f.type) for is_so in _TO_TEXT) else f.type for f in fields}
    return {name: pa.field(field.name, kinds[name]) for name, field in found.items()}


def _item(field: pa.Field, columns: dict[str, pa.Field], nulls: tuple[str, ...]) -> str:
    column = columns.get(field.name)
    if column is None:
        refuse_missing(field)
        value: exp.Expr = exp.Null()
    else:
        value = exp.column(quoted(column.name))
        if nulls and pa.types.is_string(column.type):
            found = value.copy().isin(*(exp.Literal.string(text) for text in nulls))
            value = exp.Case().when(found, exp.null()).else_(value)
    made = cast(value, column.type if column is not None else None, field.type)
    return exp.alias_(made, quoted(field.name)).sql(dialect=Engine)
