"""The engines that Firn is measured against: DataFusion and DuckDB in this process, over local Parquet files."""

import time
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
from datafusion import SessionConfig, SessionContext

Tables = Mapping[str, tuple[Path, ...]]


class DataFusion:
    """DataFusion with its defaults, in Firn's version, with the text that Firn's compiler gives to its engine."""

    def __init__(self, tables: Tables, names: Mapping[str, str], threads: int) -> None:
        """Know the tables by the names that the compiler has for them."""
        config = SessionConfig({"datafusion.sql_parser.dialect": "PostgreSQL"}).with_target_partitions(threads)
        self._context = SessionContext(config)
        for table, files in tables.items():
            self._context.register_parquet(names[table], str(files[0].parent))

    def run(self, text: str) -> tuple[float, pa.Table]:
        """Return the seconds that a statement took, and its rows. Raises what DataFusion raises."""
        began = time.perf_counter()
        table = self._context.sql(text).to_arrow_table()
        return time.perf_counter() - began, table


class DuckDb:
    """DuckDB with its defaults."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, text: str) -> tuple[float, pa.Table]:
        """Return the seconds that a statement took, and its rows. Raises duckdb.Error."""
        began = time.perf_counter()
        table = self._connection.sql(text).to_arrow_table()
        return time.perf_counter() - began, table
