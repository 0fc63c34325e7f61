"""Plans of statements for several nodes, in a session of their own: its settings make plans that can be cut."""

import base64
import time
from collections.abc import Hashable, Mapping
from pathlib import Path

from datafusion import SessionConfig, SessionContext
from firn_model.messages import TableSnapshot

from firn_runtime.cache.objects import Versions
from firn_runtime.cache.placement import owner
from firn_runtime.engine.batches import plain_schema
from firn_runtime.engine.binding import Binder, Bound, engine_errors, key_of
from firn_runtime.engine.operators import SCAN, table_of
from firn_runtime.engine.sizes import SizeCheck
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tables import Location
from firn_runtime.engine.tasks import FileVersion, PlanAsked, PlannedStage, PlannedTask, PlanReply
from firn_runtime.errors import CannotCutError
from firn_runtime.kept import Kept
from firn_runtime.plans.cutting import StageCut, TaskCut, cut
from firn_runtime.plans.marking import deal_marked_joins
from firn_runtime.plans.partitions import partitions_for
from firn_runtime.plans.reducing import reduce_early
from firn_runtime.plans.regrouping import regroup
from firn_runtime.plans.schemas import Schemas
from firn_runtime.plans.tree import drop_sort_filters, parse, partition_count
from firn_runtime.plans.windows import sort_by_all_partition_keys, turn_back

_OPTIMIZER = "datafusion.optimizer"
_CUTTABLE = {
    "datafusion.optimizer.prefer_existing_union": "true",
    "datafusion.optimizer.enable_round_robin_repartition": "false",
    "datafusion.optimizer.enable_physical_uncorrelated_scalar_subquery": "false",
    # Filters that a join or a limit makes while it runs do not survive the way through protobuf.
    "datafusion.optimizer.enable_dynamic_filter_pushdown": "false",
    "datafusion.optimizer.enable_join_dynamic_filter_pushdown": "false",
    "datafusion.optimizer.enable_topk_dynamic_filter_pushdown": "false",
    "datafusion.optimizer.enable_aggregate_dynamic_filter_pushdown": "false",
    "datafusion.optimizer.repartition_file_min_size": str(1 << 20),
}
"""Source: engine notes, "Distributed plans with DataFusion", Settings."""
_BROADCAST_BYTES, _BROADCAST_ROWS = 1 << 20, 1 << 17
"""A join's side that is estimated to be smaller goes to all tasks whole; DataFusion's defaults."""
_MOST_BROADCAST_BYTES, _MOST_BROADCAST_ROWS = 64 << 20, 1 << 21
"""So does one that is small beside the statement's largest table, up to here: each task has a copy in memory."""
_BROADCAST_COST = 2
"""A row costs a task that collects it about as much as two rows cost that are dealt by hash to other tasks."""
_MOST_KEPT = 64
_LARGEST_KEPT_BYTES = 1 << 20
_DESCRIBED = (CannotCutError, RecursionError)


class Planner:
    """Plans and cuts statements. `plan` blocks and is for threads."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.context = SessionContext(SessionConfig({**settings, **_CUTTABLE}))
        self._schemas = Schemas(self.context)
        self._binder = Binder(self.context)
        self._kept: Kept[PlanReply] = Kept(_MOST_KEPT)

    def plan(self, asked: PlanAsked, sizes: SizeCheck, versions: Versions) -> PlanReply:
        """Return a statement's stages, or why it runs whole. Raises StatementFailedError.

        `versions`: those of its files that were looked up. What was planned over the same ones is kept for a while.
        """
        began = time.perf_counter()
        settings = _settings_of(asked)
        key = _key(asked, settings, versions)
        reply = self._kept.get(key)
        if reply is None:
            reply = self._planned(asked, settings, sizes, versions)
            if sum(len(task.plan) for stage in reply.stages for task in stage.tasks) <= _LARGEST_KEPT_BYTES:
                self._kept.put(key, reply)
        return reply.model_copy(update={"plan_seconds": time.perf_counter() - began})

    def _planned(
        self, asked: PlanAsked, settings: Mapping[str, str], sizes: SizeCheck, versions: Versions
    ) -> PlanReply:
        with engine_errors(asked.stage.object_store):
            frame = self._binder.bind(sizes.stores, asked.stage, {}, settings).frame
            plan = frame.execution_plan()
            sizes.require(asked.stage, plan, ())
            schema = base64.b64encode(plain_schema(frame.schema()).serialize().to_pybytes()).decode()
            try:
                stages = self._cut(asked, plan.to_bytes(self.context), versions)
            except _DESCRIBED as error:
                return PlanReply(whole_because=str(error))
        if len(stages) == 1:
            return PlanReply(whole_because="it is one stage")
        return PlanReply(stages=stages, schema_ipc_base64=schema, nodes=asked.nodes)

    def _cut(self, asked: PlanAsked, plan: bytes, versions: Versions) -> tuple[PlannedStage, ...]:
        """Return the stages of a plan. Raises CannotCutError, RecursionError."""
        slots = asked.slots * asked.finer
        writes = asked.stage.write is not None
        root = parse(plan)
        drop_sort_filters(root)
        turn_back(root)
        sort_by_all_partition_keys(root)
        regroup(root, slots, lambda path: owner(path, asked.nodes))
        deal_marked_joins(root)
        reduce_early(root)
        # Of a plan in partitions the last stage only gathers what those before it made: they may write it.
        is_dealt = partition_count(root) > 1
        stages = cut(root, self._schemas.of)
        if "window" in stages[-1].operators:
            self._schemas.of(root)  # the other stages were tried for their schemas
        writers = stages[-1].inputs if is_dealt and writes else ()
        told = _by_path(versions)
        return tuple(_planned(stage, asked, number in writers, told) for number, stage in enumerate(stages))

    def bound(self, stage: Stage, partitions: int, sizes: SizeCheck, paths: Mapping[str, Path]) -> Bound:
        """Return a statement, its names resolved, for a plan that goes on through protobuf and runs whole."""
        settings = _settings(partitions, _broadcast(stage, partitions))
        return self._binder.bind(sizes.stores, stage, paths, settings)


def _settings_of(asked: PlanAsked) -> dict[str, str]:
    """Return the settings of a plan in stages."""
    total = sum(file.size_bytes for table in asked.stage.tables for file in table.files)
    partitions = partitions_for(total, asked.slots) * asked.finer
    broadcast = _broadcast(asked.stage, asked.slots, asked.finer)
    return _settings(partitions, broadcast, sort_merge=asked.sort_merge)


def _key(asked: PlanAsked, settings: Mapping[str, str], versions: Versions) -> Hashable:
    """Return what a plan in stages depends on; None for one that is to be made each time."""
    bound = key_of(asked.stage, {}, settings)
    if bound is None or any(file.uri not in versions for file in asked.stage.parquet_files):
        return None
    writes = asked.stage.write is not None
    return bound, frozenset(versions.items()), asked.slots, asked.finer, asked.nodes, writes


def _broadcast(stage: Stage, slots: int, finer: int = 1) -> tuple[int, int]:
    """Return up to how many bytes, and rows where bytes are not known, a join's side is collected whole.

    Each task on one of `slots` cores collects it, where otherwise both sides are dealt by hash, of which the larger one
    is taken to be the statement's largest table. Memory ran out before when `finer` is more than 1, perhaps because an
    estimate was wrong: then it is trusted the less.
    """
    sizes = [sum(file.size_bytes for file in table.files) for table in stage.tables]
    rows = [sum(file.rows for file in table.files) for table in stage.tables]
    share = _BROADCAST_COST * slots
    most_bytes = max(_BROADCAST_BYTES, min(_MOST_BROADCAST_BYTES, max(sizes, default=0) // share))
    most_rows = max(_BROADCAST_ROWS, min(_MOST_BROADCAST_ROWS, max(rows, default=0) // share))
    return most_bytes // finer**2, most_rows // finer**2


def _settings(partitions: int, broadcast: tuple[int, int], *, sort_merge: bool = False) -> dict[str, str]:
    """Return the settings of a plan; `broadcast`: up to how many bytes and rows a join's side is collected whole."""
    most_bytes, most_rows = broadcast
    return {
        "datafusion.execution.target_partitions": str(partitions),
        f"{_OPTIMIZER}.prefer_hash_join": str(not sort_merge).lower(),
        f"{_OPTIMIZER}.hash_join_single_partition_threshold": str(most_bytes),
        f"{_OPTIMIZER}.hash_join_single_partition_threshold_rows": str(most_rows),
    }


def _by_path(versions: Versions) -> dict[str, list[FileVersion]]:
    """Return versions by their files' paths in a plan, below the root of their store: two roots may have the same."""
    found: dict[str, list[FileVersion]] = {}
    for uri, version in versions.items():
        told = FileVersion(uri=uri, etag=version.etag, size_bytes=version.size_bytes)
        found.setdefault(Location.of(uri).name, []).append(told)
    return found


def _planned(
    stage: StageCut, asked: PlanAsked, writes: bool, versions: Mapping[str, list[FileVersion]]
) -> PlannedStage:
    return PlannedStage(
        exchange=stage.exchange,
        outputs=stage.outputs,
        inputs=stage.inputs,
        operators=tuple(_told(operator, asked.stage.tables) for operator in stage.operators),
        tasks=tuple(_planned_task(task, asked.nodes, versions) for task in stage.tasks),
        writes=writes,
    )


def _told(operator: str, tables: tuple[TableSnapshot, ...]) -> str:
    """Return an operator's kind, a scan with its table's name instead of a file's."""
    kind, _, path = operator.partition(" ")
    if not kind.endswith("_scan") or not path:
        return operator
    return f"{SCAN} {table}" if (table := table_of(path, tables, {})) is not None else SCAN


def _planned_task(task: TaskCut, nodes: tuple[str, ...], versions: Mapping[str, list[FileVersion]]) -> PlannedTask:
    paths = dict.fromkeys(path for path, _ in task.files)
    by_home: dict[str, int] = {}
    for path, size in task.files:
        home = owner(path, nodes)
        by_home[home] = by_home.get(home, 0) + size
    return PlannedTask(
        plan=base64.b64encode(task.plan).decode(),
        partitions=task.partitions,
        inputs=task.inputs,
        scan_bytes=sum(size for _, size in task.files),
        scan_files=len(paths),
        home=max(by_home, key=lambda node: by_home[node], default=None),
        versions=tuple(version for path in paths for version in versions.get(path, ())),
    )
