"""The engine: DataFusion in one session that all statements of a node share.

One session means one memory pool and one cache of file footers. Tables are a statement's own: they are known to the
session only while its text is bound, under a lock; planning and running need no names.
"""

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from datafusion import DataFrame, RecordBatchStream, RuntimeEnvBuilder, SessionConfig, SessionContext, SQLOptions
from firn_model.messages import ObjectStoreAccess, Statistics
from firn_model.statements import StatementError

from firn_runtime.batches import plain_schema
from firn_runtime.errors import StatementFailedError, classify
from firn_runtime.sizes import SizeCheck
from firn_runtime.stage import Stage
from firn_runtime.statistics import measure
from firn_runtime.tables import register

_OPTIONS = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
_SETTINGS = {
    "datafusion.optimizer.expand_views_at_output": "true",  # views carry whole buffers, and some peers refuse them
    "datafusion.catalog.information_schema": "false",
    "datafusion.sql_parser.dialect": "PostgreSQL",
}
_FILE_ERRORS = (StatementError.CORRUPT_FILE, StatementError.OBJECT_MISSING)


@dataclass(slots=True)
class Query:
    """One stage in the engine: what it needs to run and what it has used."""

    frame: DataFrame
    stream: RecordBatchStream | None
    access: ObjectStoreAccess | None
    files: int
    plan_seconds: float
    started: float = field(default_factory=time.perf_counter)
    rows: int = 0

    @property
    def schema(self) -> pa.Schema:
        """The schema of a result without batches."""
        return plain_schema(self.frame.schema())

    def progress(self) -> int:
        """Return a number that grows while any part of the plan works."""
        metrics = [metrics for _, metrics in self.frame.execution_plan().collect_metrics()]
        return sum((metric.output_rows or 0) + (metric.elapsed_compute or 0) for metric in metrics)

    def statistics(self, bytes_produced: int) -> Statistics:
        """Return what the query has used so far."""
        return measure(
            self.frame.execution_plan(),
            rows=self.rows,
            bytes_produced=bytes_produced,
            files=self.files,
            plan_seconds=self.plan_seconds,
            execute_seconds=time.perf_counter() - self.started,
        )


class Engine:
    """A DataFusion session. `start` blocks and is for threads; `batches` is for the event loop."""

    def __init__(self, cpus: int, pool_bytes: int, spill_dir: Path) -> None:
        spill_dir.mkdir(parents=True, exist_ok=True)
        runtime = RuntimeEnvBuilder().with_disk_manager_specified(str(spill_dir)).with_fair_spill_pool(pool_bytes)
        config = SessionConfig(_SETTINGS).with_target_partitions(cpus)
        self._context = SessionContext(config, runtime)
        self._sizes = SizeCheck(self._context)
        self._stores = self._sizes.stores
        self._cpus = cpus
        self._partitions = cpus
        self._binding = threading.Lock()

    def start(self, stage: Stage) -> Query:
        """Plan a stage and start it. Raises StatementFailedError."""
        began = time.perf_counter()
        with _engine_errors(stage.object_store):
            frame, stream = self._started(stage)
            files = sum(len(table.files) for table in stage.tables)
            return Query(frame, stream, stage.object_store, files, time.perf_counter() - began)

    async def batches(self, query: Query) -> AsyncIterator[pa.RecordBatch]:
        """Yield the result's batches. Raises StatementFailedError."""
        stream = query.stream
        assert stream is not None, "a query that was let go gives no batches"  # noqa: S101  for the type checker
        with _engine_errors(query.access):
            async for batch in stream:
                arrow = batch.to_pyarrow()
                query.rows += arrow.num_rows
                yield arrow

    def _started(self, stage: Stage) -> tuple[DataFrame, RecordBatchStream]:
        """Return the statement and its rows to come, over files that are what their tables' snapshots say."""
        try:
            with _engine_errors(stage.object_store):
                frame = self._bind(stage)
                stream = frame.execute_stream()
        except StatementFailedError as error:
            if error.error in _FILE_ERRORS:
                self._sizes.explain(stage, error)
            raise
        self._sizes.require(stage, frame.execution_plan())  # the plan that runs: it was made once, by execute_stream
        return frame, stream

    def _bind(self, stage: Stage) -> DataFrame:
        """Return the statement with its names resolved; no file is read for it."""
        names: list[str] = []
        with self._binding:
            try:
                for table in stage.tables:
                    names.append(register(self._context, self._stores, table, stage.object_store))
                self._use_partitions(stage.parallelism or self._cpus)
                return self._context.sql_with_options(stage.sql, _OPTIONS)
            finally:
                for name in names:
                    self._context.deregister_table(name)

    def _use_partitions(self, partitions: int) -> None:
        if partitions != self._partitions:
            self._context.sql(f"SET datafusion.execution.target_partitions = {partitions}")
            self._partitions = partitions


@contextlib.contextmanager
def _engine_errors(access: ObjectStoreAccess | None) -> Iterator[None]:
    """Turn the engine's errors, which are of no class of their own, into StatementFailedError."""
    try:
        yield
    except StatementFailedError:
        raise
    except Exception as error:  # noqa: BLE001  DataFusion raises plain Exception for everything
        raise classify(str(error), _secrets(access)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's panic, whose class cannot be imported
            raise
        raise classify(str(error), _secrets(access)) from None


def _secrets(access: ObjectStoreAccess | None) -> tuple[str, ...]:
    if access is None:
        return ()
    return (access.secret_access_key, access.session_token or "", access.access_key_id)
