"""A task in the engine: its plan filled with what it reads, run, and its rows given out in pieces."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from datafusion import RecordBatchStream
from datafusion.plan import ExecutionPlan
from firn_model.messages import ObjectStoreAccess, Statistics
from firn_model.profile import ExchangeKind
from firn_model.statements import StatementError
from firn_model.writes import WriteTarget, WrittenFile

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.lease import Lease
from firn_runtime.cache.objects import Version
from firn_runtime.cache.task_scans import LOCAL_STORE, localise
from firn_runtime.engine.binding import engine_errors
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.operators import Reading, readings
from firn_runtime.engine.statistics import measure
from firn_runtime.engine.tables import Location
from firn_runtime.engine.tasks import PieceMade, Task
from firn_runtime.errors import StatementFailedError
from firn_runtime.exchange.pieces import Piece, PieceStore, Sink
from firn_runtime.exchange.tiers import Tier
from firn_runtime.plans.cutting import exchange_read
from firn_runtime.plans.tree import NODE, Node, kind_of, parse, partition_count, replace_leaf, walk
from firn_runtime.writing.write_stage import write_large, write_streams
from firn_runtime.writing.writes import Home

EXCHANGE_ROWS = 1 << 16
"""Rows of a batch that goes from stage to stage, at most."""
_LEAST_EXCHANGE_ROWS = 1 << 12
_ROW_BYTES = 64
"""What a row that goes from stage to stage is taken to have."""
_GATHERED_PART = 16
"""A task gathers such a part of the pool's bytes at most, beside what the pool counts."""

Inputs = Mapping[tuple[int, int], Sequence[Piece]]
"""The pieces to read on this node, by stage and partition."""


@dataclass(slots=True)
class RunningTask:
    """A task that the engine runs, and what it has used."""

    task: Task
    plan: ExecutionPlan
    streams: dict[int, RecordBatchStream]
    access: ObjectStoreAccess | None
    lease: Lease
    is_local: bool
    """Whether the cache has all that it reads of tables."""
    is_apart: bool
    """Whether the plan has a node more than it was planned with, below its root."""
    started: float = field(default_factory=time.perf_counter)
    rows: int = 0

    @property
    def schema(self) -> pa.Schema:
        """The schema of the result; only the task that gives the result has it."""
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.task.schema_ipc_base64)))

    def progress(self) -> int:
        """Return a number that grows while any part of the plan works."""
        metrics = [metrics for _, metrics in self.plan.collect_metrics()]
        return sum((metric.output_rows or 0) + (metric.elapsed_compute or 0) for metric in metrics)

    def readings(self) -> tuple[Reading, ...]:
        """Return what its operators tell, those that were planned."""
        root, *below = readings(self.plan)
        return (root, *(replace(each, depth=each.depth - 1) for each in below[1:])) if self.is_apart else (root, *below)

    def stop(self) -> None:
        """Let go of the rows to come."""
        self.streams.clear()

    def statistics(self, read: Sequence[Reading], bytes_produced: int) -> Statistics:
        """Return what the task has used so far, from what was read of its plan."""
        return measure(
            read,
            rows=self.rows,
            bytes_produced=bytes_produced,
            files=1 << 30,
            lease=self.lease,
            is_local=self.is_local,
            plan_seconds=0,
            execute_seconds=time.perf_counter() - self.started,
        )

    async def batches(self) -> AsyncGenerator[pa.RecordBatch]:
        """Yield the result's batches. Raises StatementFailedError."""
        schema = self.schema
        async for arrow in self._arrow(0):
            self.rows += arrow.num_rows
            yield pa.RecordBatch.from_arrays(arrow.columns, schema=_typed(schema, arrow))

    async def _arrow(self, partition: int) -> AsyncIterator[pa.RecordBatch]:
        with engine_errors(self.access):
            async for batch in self.streams[partition]:
                yield batch.to_pyarrow()

    async def write_out(self, cache: FileCache) -> tuple[WrittenFile, ...]:
        """Write the result's rows into files. Raises StatementFailedError."""
        target, access = self._destination
        return await write_streams([self.batches()], target, access, cache, self._home)

    async def write_large_into(
        self, store: PieceStore, made: list[PieceMade], cache: FileCache
    ) -> tuple[WrittenFile, ...]:
        """Write the partitions that are enough for files of their own, and give the others out.

        Raises StatementFailedError, ExchangeFullError.
        """
        target, access = self._destination
        numbers = list(self.streams)

        async def give_out(index: int, batches: list[pa.RecordBatch]) -> None:
            piece = await self._drain(numbers[index], _each(batches), store)
            made.extend([piece] if piece is not None else [])

        streams = [self._arrow(number) for number in numbers]
        return await write_large(streams, target, access, cache, self._home, give_out)

    @property
    def _destination(self) -> tuple[WriteTarget, ObjectStoreAccess]:
        if self.task.write is None or self.access is None:
            raise StatementFailedError(StatementError.ACCESS_DENIED, "The write came without access to a store.")
        return self.task.write, self.access

    @property
    def _home(self) -> Home | None:
        return Home(self.task.node, self.task.nodes) if self.task.nodes else None

    async def give_out_into(self, store: PieceStore, made: list[PieceMade]) -> None:
        """Write all partitions at once, as a repartition needs. Raises StatementFailedError, ExchangeFullError."""
        drains = [asyncio.ensure_future(self._drain(number, self._arrow(number), store)) for number in self.streams]
        try:
            pieces = await asyncio.gather(*drains)
            made.extend(piece for piece in pieces if piece is not None)
        finally:
            for drain in drains:
                drain.cancel()
            await asyncio.wait(drains)

    async def _drain(
        self, partition: int, batches: AsyncIterator[pa.RecordBatch], store: PieceStore
    ) -> PieceMade | None:
        sink: Sink | None = None
        writer: Any = None
        rows = 0
        name = f"{self.task.name}.{partition}"
        try:
            async for arrow in batches:
                if arrow.num_rows == 0:
                    continue
                if sink is None:
                    sink = store.sink(self.task.statement_id, name)
                    writer = pa.ipc.new_file(pa.PythonFile(sink, mode="w"), arrow.schema)
                writer.write_batch(arrow)
                rows += arrow.num_rows
            if sink is None:
                return None
            writer.close()
            if sink.is_remote:
                await asyncio.to_thread(sink.upload)
            piece = sink.finish(rows)
        except BaseException:
            if sink is not None:
                sink.abandon()
            raise
        self.rows += rows
        uri = piece.path if piece.tier is Tier.STORE else None
        return PieceMade(partition=partition, name=name, size=piece.size, rows=rows, tier=piece.tier, uri=uri)


def _typed(schema: pa.Schema, batch: pa.RecordBatch) -> pa.Schema:
    """Return the result's schema with the types of its rows: the planner may call a decimal's scale otherwise."""
    return pa.schema([f.with_type(column.type) for f, column in zip(schema, batch.columns, strict=True)])


async def _each(batches: list[pa.RecordBatch]) -> AsyncIterator[pa.RecordBatch]:
    for batch in batches:
        yield batch


def start(engine: Engine, task: Task, inputs: Inputs) -> RunningTask:
    """Start a task whose inputs are on this node; close its lease when it has ended.

    Blocks; for threads. Raises StatementFailedError.
    """
    with engine_errors(task.object_store):
        for uri in task.uris:
            if task.object_store is not None:
                engine.stores.url(task.object_store, Location.of(uri))
        root = parse(base64.b64decode(task.plan))
        _fill(root, inputs)
        is_apart = task.exchange is ExchangeKind.SHUFFLE and task.write is None and _read_apart(root)
        lease, is_local = _localised(engine, task, root)  # a served scan's plan cannot be walked any more
        try:
            plan, given = _executable(engine, task, root)
            numbers = range(task.outputs) if task.exchange is ExchangeKind.SHUFFLE else task.partitions
            streams = {number: engine.context.execute(given, number) for number in numbers}
            return RunningTask(task, plan, streams, task.object_store, lease, is_local, is_apart)
        except BaseException:
            lease.close()
            raise


def exchange_rows(pool_bytes: int, outputs: int) -> int:
    """Return the rows of a batch to give out, where each of the outputs gathers a batch of its own at the same time."""
    fitting = pool_bytes // _GATHERED_PART // _ROW_BYTES // max(1, outputs)
    return max(_LEAST_EXCHANGE_ROWS, min(EXCHANGE_ROWS, fitting))


def _executable(engine: Engine, task: Task, root: Node) -> tuple[ExecutionPlan, ExecutionPlan]:
    """Return the plan of a task, and what is to be executed of it: for an exchange its rows in large batches.

    Each batch costs Python some tenths of a millisecond, here and where it is read.
    """
    if task.exchange is ExchangeKind.RESULT or task.write is not None:
        plan = ExecutionPlan.from_bytes(engine.context, root.SerializeToString())
        return plan, plan
    gathered = NODE()
    gathered.coalesce_batches.rows = exchange_rows(engine.pool_bytes, task.outputs)
    gathered.coalesce_batches.input.CopyFrom(root)
    given = ExecutionPlan.from_bytes(engine.context, gathered.SerializeToString())
    return given.children()[0], given


def _read_apart(root: Node) -> bool:
    """Have the input of a shuffle run by tasks of the engine's own, not by those that wait for its partitions.

    Return whether that took a node: an input of one partition is left as it is.

    Whoever hands a batch to Python takes a thread for it; what the input reads would be spread over as many threads
    as there are partitions, and each keeps what was read in it, long after it was freed, for reads of its own.
    """
    body = root.repartition.input
    if partition_count(body) == 1:
        return False
    merged = NODE()
    merged.merge.input.CopyFrom(body)
    body.CopyFrom(merged)
    return True


def _localised(engine: Engine, task: Task, root: Node) -> tuple[Lease, bool]:
    """Let the scans of Parquet files read what the cache holds; return the lease, and whether that is all they read.

    Raises StatementFailedError.
    """
    scans = [node for node in walk(root) if kind_of(node) == "parquet_scan"]
    if task.object_store is None or not scans:
        return engine.cache.lease(None, ()), False
    leaves = [scan.SerializeToString() for scan in scans]
    lease, local, served = localise(
        engine.cache,
        task.object_store,
        leaves,
        engine.stores.uri,
        versions={each.uri: Version(each.etag, each.size_bytes) for each in task.versions},
        fills=task.keep_in_cache,
        serving=engine.serving,
    )
    for scan, leaf, node in zip(scans, local, served, strict=True):
        if node is None:
            scan.ParseFromString(leaf)
        else:
            replace_leaf(scan, node)
    is_local = all(
        node is not None or scan.parquet_scan.files.store == LOCAL_STORE or not _has_files(scan)
        for scan, node in zip(scans, served, strict=True)
    )
    return lease, is_local


def _has_files(scan: Node) -> bool:
    return any(group.files for group in scan.parquet_scan.files.groups)


def _fill(root: Node, inputs: Inputs) -> None:
    """Put the files of the pieces where the plan says whose output it reads."""
    for node in walk(root):
        stage = exchange_read(node)
        if stage is None:
            continue
        for partition, group in enumerate(node.arrow_scan.files.groups):
            if group.files:
                del group.files[:]
                for piece in inputs.get((stage, partition), ()):
                    group.files.add(path=piece.path.lstrip("/"), size=piece.size, modified_ns=1)
