"""The engines that Firn is measured against, over local Parquet files: DataFusion, DuckDB, Daft on a Ray of its own.

Daft's reader refuses the generator's files, whose Arrow schema has string views: it gets the same rows without one.
"""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from datafusion import SessionConfig, SessionContext
from engine_joins import simpler

Tables = Mapping[str, tuple[Path, ...]]
_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


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


class Daft:
    """Daft's process: a program that has Daft is given statements and answers them."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, tables: Tables) -> None:
        self._process = process
        self._rows = folder / "rows.arrow"
        self._columns = {table: frozenset(pq.read_schema(files[0]).names) for table, files in tables.items()}

    def run(self, text: str) -> tuple[float, pa.Table | None, str]:
        """Return the seconds that a statement took and its rows, or none of them and why it cannot run it."""
        asked = {"sql": simpler(text, self._columns), "into": str(self._rows)}
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "its process has ended"}')
        if "error" in answer:
            return 0.0, None, answer["error"]
        with pa.OSFile(str(self._rows)) as file:
            return answer["seconds"], pa.ipc.open_stream(file).read_all(), ""


@contextlib.contextmanager
def daft_on_ray(python: Path, tables: Tables, nodes: int, cores: int) -> Iterator[Daft]:
    """Run Daft, by a Python that has it, on so many nodes of Ray with so many cores each."""
    program = Path(__file__).with_name("engine_daft.py")
    with tempfile.TemporaryDirectory(prefix="firn-daft-") as folder:
        plain = Path(folder) / "tables"
        for table, files in tables.items():
            (plain / table).mkdir(parents=True)
            for path in files:
                rows = pq.read_table(path)
                kinds = [field.with_type(_PLAIN.get(field.type, field.type)) for field in rows.schema]
                pq.write_table(rows.cast(pa.schema(kinds)), plain / table / path.name, store_schema=False)
        command = [str(python), str(program), str(plain), str(nodes), str(cores)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Daft(process, Path(folder), tables)
            finally:
                process.communicate()
