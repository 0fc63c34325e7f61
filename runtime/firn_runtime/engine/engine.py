"""The engine: DataFusion in one session that all statements of a node share, reading through the node's cache.

One session means one memory pool and one cache of file footers. Tables are a statement's own: they are known to the
session only while its text is bound; planning and running need no names.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from datafusion import DataFrame, RecordBatchStream, RuntimeEnvBuilder, SessionConfig, SessionContext, col
from datafusion.plan import ExecutionPlan
from datafusion.record_batch import RecordBatch
from firn_model.messages import ObjectStoreAccess, Statistics
from firn_model.statements import StatementError
from firn_model.writes import WriteTarget, WrittenFile

from firn_runtime.cache.file_cache import FileCache, rewritten
from firn_runtime.cache.hot_columns import HotColumns
from firn_runtime.cache.lease import Lease
from firn_runtime.cache.objects import NO_VERSIONS, RewrittenError, Versions
from firn_runtime.cache.scan_needs import needs_of
from firn_runtime.cache.serving import Serving
from firn_runtime.engine.batches import merged, plain_schema
from firn_runtime.engine.binding import Binder, Bound, engine_errors
from firn_runtime.engine.leaf import with_leaf
from firn_runtime.engine.namesakes import filters
from firn_runtime.engine.operators import Reading
from firn_runtime.engine.scans import file_scans
from firn_runtime.engine.sizes import SizeCheck
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.statistics import measure
from firn_runtime.errors import CannotCutError, StatementFailedError
from firn_runtime.plans.reducing import reduce_early
from firn_runtime.plans.tree import Node, drop_sort_filters, kind_of, parse, replace_leaf, walk
from firn_runtime.plans.windows import sort_by_all_partition_keys, turn_back
from firn_runtime.statements.planner import Planner
from firn_runtime.writing.write_stage import write_streams

SETTINGS = {
    "datafusion.optimizer.expand_views_at_output": "true",  # views carry whole buffers, and some peers refuse them
    # Above an ORDER BY stands the projection that expands views: dealing its batches out again would lose the order.
    "datafusion.optimizer.enable_round_robin_repartition": "false",
    "datafusion.catalog.information_schema": "false",
    "datafusion.sql_parser.dialect": "PostgreSQL",
}
_SORT_RESERVED_BYTES = 10 << 20
"""What each sort sets aside for merging what it has spilled, DataFusion's default; less of a small pool."""
_SORTS_AT_ONCE = 64
_TRIES = 3
"""How often a statement begins anew because a file of it was rewritten."""
_FILE_ERRORS = (StatementError.CORRUPT_FILE, StatementError.OBJECT_MISSING)


@dataclass(slots=True)
class Query:
    """One stage in the engine: what it needs to run and what it has used."""

    plan: ExecutionPlan
    schema: pa.Schema
    """The schema of a result without batches."""
    streams: list[RecordBatchStream]
    lease: Lease
    access: ObjectStoreAccess | None
    files: int
    plan_seconds: float
    started: float = field(default_factory=time.perf_counter)
    rows: int = 0
    written: tuple[WrittenFile, ...] = ()

    def progress(self) -> int:
        """Return a number that grows while any part of the plan works."""
        metrics = [metrics for _, metrics in self.plan.collect_metrics()]
        return sum((metric.output_rows or 0) + (metric.elapsed_compute or 0) for metric in metrics)

    def stop(self) -> None:
        """Let go of the rows to come."""
        self.streams.clear()

    def statistics(self, read: Sequence[Reading], bytes_produced: int) -> Statistics:
        """Return what the query has used so far, from what was read of its plan."""
        used = measure(
            read,
            rows=self.rows,
            bytes_produced=bytes_produced,
            files=self.files,
            lease=self.lease,
            plan_seconds=self.plan_seconds,
            execute_seconds=time.perf_counter() - self.started,
        )
        if not self.written:
            return used
        rows, size = sum(file.rows for file in self.written), sum(file.size_bytes for file in self.written)
        return used.model_copy(update={"rows_written": rows, "bytes_written": size})


class Engine:
    """A DataFusion session. `start` blocks and is for threads; `batches` is for the event loop."""

    def __init__(
        self, cpus: int, pool_bytes: int, spill_dir: Path, cache: FileCache, hot: HotColumns | None = None
    ) -> None:
        """Serve columns that `hot` keeps decoded, where there is that tier."""
        spill_dir.mkdir(parents=True, exist_ok=True)
        runtime = RuntimeEnvBuilder().with_disk_manager_specified(str(spill_dir)).with_fair_spill_pool(pool_bytes)
        reserved = str(min(_SORT_RESERVED_BYTES, pool_bytes // _SORTS_AT_ONCE))
        settings = {**SETTINGS, "datafusion.execution.sort_spill_reservation_bytes": reserved}
        config = SessionConfig(settings).with_target_partitions(cpus)
        self.context = with_leaf(SessionContext(config, runtime), hot.leaf if hot is not None else None)
        self.pool_bytes = pool_bytes
        self.cache = cache
        self.serving = Serving(hot, self.context, cpus) if hot is not None else None
        self.planner = Planner(SETTINGS)
        self.sizes = SizeCheck(self.context, self.planner.context)
        self.stores = self.sizes.stores
        self._cpus = cpus
        self._binder = Binder(self.context, filters)

    def start(self, stage: Stage, versions: Versions = NO_VERSIONS) -> Query:
        """Plan a stage and start it; `versions`: of its files, as looked up. Raises StatementFailedError."""
        began = time.perf_counter()
        uri = ""
        for _ in range(_TRIES):
            lease = self.cache.lease(stage.object_store, stage.parquet_files, versions=versions)
            if self.serving is not None:
                self.serving.begin()
            try:
                with engine_errors(stage.object_store):
                    return self._started(stage, lease, began)
            except RewrittenError as error:
                lease.close()
                uri, versions = str(error), NO_VERSIONS
            except BaseException:
                lease.close()
                raise
        raise rewritten(uri)

    async def batches(self, query: Query) -> AsyncGenerator[pa.RecordBatch]:
        """Yield the result's batches. Raises StatementFailedError."""
        async for batch in _as_arrow(query, merged(query.streams)):
            query.rows += batch.num_rows
            yield batch

    async def write(self, query: Query, target: WriteTarget) -> None:
        """Write the result into files and note them in the query. Raises StatementFailedError."""
        if query.access is None:
            raise StatementFailedError(StatementError.ACCESS_DENIED, "The write came without access to a store.")
        streams = [merged(query.streams)] if target.single else query.streams
        query.written = await write_streams([_as_arrow(query, s) for s in streams], target, query.access, self.cache)

    def _started(self, stage: Stage, lease: Lease, began: float) -> Query:
        """Return the statement with its rows to come, over files that are what their tables' snapshots say."""
        try:
            frame, plan = self._served(stage, lease) or self._planned(stage, lease)
        except StatementFailedError as error:
            if error.error in _FILE_ERRORS:
                self.sizes.explain(stage, error)
            raise
        self.sizes.require(stage, plan, lease.paths)
        streams = [self.context.execute(plan, number) for number in range(plan.partition_count)]
        files = sum(len(table.files) for table in stage.tables)
        schema = plain_schema(frame.schema())
        return Query(plan, schema, streams, lease, stage.object_store, files, time.perf_counter() - began)

    def _planned(self, stage: Stage, lease: Lease) -> tuple[DataFrame, ExecutionPlan]:
        """Plan the statement over what the lease holds, and bring what the plan's scans need of it.

        Files that are too much for the cache are read from the object store, by another plan.
        """
        settings = {"datafusion.execution.target_partitions": str(stage.parallelism or self._cpus)}
        while True:
            with engine_errors(stage.object_store):
                bound = self._binder.bind(self.stores, stage, lease.paths, settings)
                frame = _sorted(bound.frame, stage.write)
                plan = frame.execution_plan()
            leaves, needs = bound.leaves, bound.needs
            if needs is None:
                leaves = tuple(leaf.to_bytes(self.context) for leaf in file_scans(plan)) if lease.paths else ()
                needs = tuple(need for leaf in leaves for need in needs_of(leaf))
                if not any(need.is_limited for need in needs):  # a limit takes other files each time that it is planned
                    bound.leaves, bound.needs = leaves, needs
            if lease.bring(needs):
                if self.serving is not None and not self.serving.promises(lease):
                    self.serving.note(lease, leaves)
                return frame, plan

    def _served(self, stage: Stage, lease: Lease) -> tuple[DataFrame, ExecutionPlan] | None:
        """Plan the statement over decoded columns; None when no scan of it is served.

        Such a plan goes through protobuf, which the filters that joins make while they run do not survive: hence a plan
        of its own, made where it is worth it.
        """
        serving = self.serving
        if serving is None or not _is_leased_whole(stage, lease) or not serving.concerns(lease):
            return None
        if not serving.promises(lease):
            return None
        with engine_errors(stage.object_store):
            partitions = stage.parallelism or self._cpus
            bound = self.planner.bound(stage, partitions, self.sizes, lease.paths)
            frame = _sorted(bound.frame, stage.write)
            try:
                root = self._ready_to_serve(bound, frame)
                scans = [node for node in walk(root) if kind_of(node) == "parquet_scan"]
            except CannotCutError:
                return None
            nodes = serving.serve(lease, [scan.SerializeToString() for scan in scans])
            if nodes is None or not any(nodes):
                return None
            for scan, node in zip(scans, nodes, strict=True):
                if node is not None:
                    replace_leaf(scan, node)
            return frame, ExecutionPlan.from_bytes(self.context, root.SerializeToString())

    def _ready_to_serve(self, bound: Bound, frame: DataFrame) -> Node:
        """Return the plan of a bound statement, perhaps sorted, as it is before scans are served.

        Raises CannotCutError.
        """
        is_plain = frame is bound.frame
        if is_plain and bound.plan is not None:
            return parse(bound.plan)
        root = parse(frame.execution_plan().to_bytes(self.planner.context))
        drop_sort_filters(root)
        turn_back(root)
        sort_by_all_partition_keys(root)
        reduce_early(root, runs_whole=True)
        if is_plain:
            bound.plan = root.SerializeToString()
        return root


def _is_leased_whole(stage: Stage, lease: Lease) -> bool:
    """Whether all that a stage reads is leased, and no row's place in its file matters."""
    return all(
        table.row_column is None and table.file_column is None and all(file.uri in lease.paths for file in table.files)
        for table in stage.tables
    )


async def _as_arrow(query: Query, stream: AsyncIterator[RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    with engine_errors(query.access):
        async for batch in stream:
            yield batch.to_pyarrow()


def _sorted(frame: DataFrame, target: WriteTarget | None) -> DataFrame:
    if target is None or not target.sort_by:
        return frame
    return frame.sort(*(col(f'"{name}"') for name in target.sort_by))
