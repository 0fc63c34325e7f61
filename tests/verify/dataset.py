"""Tables that Firn and DuckDB both read: Parquet files behind an S3 server, and what compiles statements over them."""

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from firn_local.answers import Answer
from firn_local.tpch import as_answer
from firn_model.messages import DataFile
from firn_runtime.cache.placement import owner
from firn_services.catalog.names import Bound, CatalogTable, NoSuchTableError, SchemaName, TableName
from firn_services.sql.compile import Compiler
from firn_services.sql.query import Query
from firn_services.sql.resolve import Defaults

from tests.s3 import client

BUCKET = "lake"
_DEFAULTS = Defaults("V", "S")
_KEPT = 256
"""Compiled statements: a benchmark's, which run in setting after setting."""


@dataclass(frozen=True)
class Dataset:
    """Named tables as local Parquet files; `key` is the folder in the bucket that holds them."""

    key: str
    files: Mapping[str, tuple[Path, ...]]
    names: Mapping[str, tuple[tuple[str, Path], ...]] = field(default_factory=dict)

    @staticmethod
    def of_folder(key: str, folder: Path) -> "Dataset":
        """Return the tables of a folder that has a folder for each."""
        tables = sorted(path for path in folder.iterdir() if path.is_dir())
        return Dataset(key, {table.name: tuple(sorted(table.glob("*.parquet"))) for table in tables})

    def on_one_node(self) -> "Dataset":
        """Return the same tables under names of files that all belong on the head, among up to eight nodes."""
        nodes = tuple(f"node-{number}" for number in range(8))
        named = {
            table: tuple((_name_on(nodes[0], nodes, table, number), path) for number, path in enumerate(files))
            for table, files in self.files.items()
        }
        return replace(self, key=f"{self.key}-on-one", names=named)

    def named(self, table: str) -> tuple[tuple[str, Path], ...]:
        """Return a table's files, each with its name in the bucket."""
        return self.names.get(table) or tuple((path.name, path) for path in self.files[table])

    def compiler(self) -> "Statements":
        """Return what compiles statements over these tables."""
        return Statements(self)

    def duckdb(self, threads: int = 2, kind: str = "VIEW") -> duckdb.DuckDBPyConnection:
        """Return a connection to DuckDB that has the tables: as views of the files, or read as its own (TABLE)."""
        connection = duckdb.connect(config={"threads": threads})
        for table, files in self.files.items():
            names = ", ".join(f"'{path}'" for path in files)
            connection.execute(f"CREATE {kind} {table} AS SELECT * FROM read_parquet([{names}])")
        return connection

    def upload(self, endpoint: str) -> None:
        """Bring the files to an S3 server by its API: what only stands in its folder has no ETag, nor is it cached."""
        s3 = client(endpoint)
        for table in self.files:
            for name, path in self.named(table):
                s3.upload_file(str(path), BUCKET, f"{self.key}/{table}/{name}")


class Statements:
    """Compiles statements of Snowflake's SQL over a dataset: the services' compiler over a catalog of its tables."""

    def __init__(self, dataset: Dataset) -> None:
        self._compiler = Compiler(_Catalog(dataset), _DEFAULTS, capacity=_KEPT)  # type: ignore[arg-type]

    def compile(self, sql: str) -> Query:
        """Return what the engine runs. Raises StatementFailedError."""
        compiled = self._compiler.compile(sql, _DEFAULTS)
        assert isinstance(compiled, Query), sql
        return compiled


class _Catalog:
    """The part of the catalog that queries need."""

    version = 1

    def __init__(self, dataset: Dataset) -> None:
        self._tables = {table.name: table for table in (_table(dataset, name) for name in dataset.files)}

    def databases(self) -> list[str]:
        return [_DEFAULTS.database]

    def schemas(self, database: str | None = None) -> list[SchemaName]:
        return [SchemaName(_DEFAULTS.database, _DEFAULTS.schema)]

    def tables(self, database: str | None = None, schema: str | None = None) -> list[TableName]:
        return sorted(self._tables)

    def load(self, name: TableName) -> CatalogTable:
        if name not in self._tables:
            raise NoSuchTableError(name)
        return self._tables[name]

    def prune(self, table: CatalogTable, bounds: tuple[Bound, ...]) -> tuple[DataFile, ...]:
        return table.files


def _table(dataset: Dataset, table: str) -> CatalogTable:
    paths = dataset.files[table]
    schema = pa.schema([_plain(column) for column in pq.read_schema(paths[0])])
    files = tuple(
        DataFile(
            uri=f"s3://{BUCKET}/{dataset.key}/{table}/{name}",
            size_bytes=path.stat().st_size,
            rows=pq.read_metadata(path).num_rows,
        )
        for name, path in dataset.named(table)
    )
    ipc = base64.b64encode(schema.serialize().to_pybytes()).decode()
    name = TableName(_DEFAULTS.database, _DEFAULTS.schema, table.upper())
    return CatalogTable(name, f"s3://{BUCKET}/{dataset.key}/{table}", schema, ipc, files)


def _name_on(node: str, nodes: Sequence[str], table: str, number: int) -> str:
    names = (f"{number}-{attempt}.parquet" for attempt in itertools.count())
    return next(name for name in names if owner(f"{table}/{name}", nodes) == node)


def _plain(column: pa.Field) -> pa.Field:
    """Return a column as Iceberg's schemas give it to Arrow: text is large, not as views."""
    return column.with_type(pa.large_string()) if column.type in (pa.string(), pa.string_view()) else column


def solve(connection: duckdb.DuckDBPyConnection, sql: str, most_rows: int) -> Answer | None:
    """Return DuckDB's answer; None when it has more rows than that."""
    counted = f"SELECT COUNT(*) FROM (SELECT 1 FROM ({sql}) AS every LIMIT {most_rows + 1}) AS first_ones"
    if connection.sql(counted).fetchall() > [(most_rows,)]:
        return None
    return as_answer(connection.sql(sql).to_arrow_table())
