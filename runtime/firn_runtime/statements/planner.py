"""Plans of statements for several nodes, in a session of their own: its settings make plans that can be cut."""

import base64
import time
from collections.abc import Mapping
from pathlib import Path

from datafusion import DataFrame, SessionConfig, SessionContext
from firn_model.messages import TableSnapshot

from firn_runtime.cache.placement import owner
from firn_runtime.engine.batches import plain_schema
from firn_runtime.engine.binding import Binder, engine_errors
from firn_runtime.engine.operators import SCAN, table_of
from firn_runtime.engine.sizes import SizeCheck
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tasks import PlanAsked, PlannedStage, PlannedTask, PlanReply
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
_MOST_CUTS = 64
_LARGEST_CUT_BYTES = 1 << 20
_DESCRIBED = (CannotCutError, RecursionError)


class Planner:
    """Plans and cuts statements. `plan` blocks and is for threads."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.context = SessionContext(SessionConfig({**settings, **_CUTTABLE}))
        self._schemas = Schemas(self.context)
        self._binder = Binder(self.context)
        self._cuts: Kept[tuple[PlannedStage, ...]] = Kept(_MOST_CUTS)

    def plan(self, asked: PlanAsked, sizes: SizeCheck) -> PlanReply:
        """Return a statement's stages, or why it runs whole. Raises StatementFailedError."""
        began = time.perf_counter()
        with engine_errors(asked.stage.object_store):
            frame = self._bind(asked, sizes)
            plan = frame.execution_plan()
            sizes.require(asked.stage, plan, ())
            schema = base64.b64encode(plain_schema(frame.schema()).serialize().to_pybytes()).decode()
            try:
                stages = self._cut(asked, plan.to_bytes(self.context))
            except _DESCRIBED as error:
                return PlanReply(whole_because=str(error), plan_seconds=time.perf_counter() - began)
        if len(stages) == 1:
            return PlanReply(whole_because="it is one stage", plan_seconds=time.perf_counter() - began)
        return PlanReply(
            stages=stages, schema_ipc_base64=schema, nodes=asked.nodes, plan_seconds=time.perf_counter() - began
        )

    def _cut(self, asked: PlanAsked, plan: bytes) -> tuple[PlannedStage, ...]:
        """Return the stages of a plan, from what is kept if it was cut before. Raises CannotCutError, RecursionError.

        A plan tells its files with their sizes and times, so one that is the same reads the same.
        """
        slots = asked.slots * asked.finer
        writes = asked.stage.write is not None
        root = parse(plan)
        drop_sort_filters(root)
        key = (root.SerializeToString(deterministic=True), slots, asked.nodes, writes, asked.stage.tables)
        known = self._cuts.get(key)
        if known is not None:
            return known
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
        planned = tuple(_planned(stage, asked, number in writers) for number, stage in enumerate(stages))
        if sum(len(task.plan) for stage in planned for task in stage.tasks) <= _LARGEST_CUT_BYTES:
            self._cuts.put(key, planned)
        return planned

    def frame(self, stage: Stage, partitions: int, sizes: SizeCheck, paths: Mapping[str, Path]) -> DataFrame:
        """Return a statement, its names resolved, for a plan that goes on through protobuf and runs whole."""
        settings = _settings(partitions, _broadcast(stage, partitions))
        return self._binder.bind(sizes.stores, stage, paths, settings).frame

    def _bind(self, asked: PlanAsked, sizes: SizeCheck) -> DataFrame:
        total = sum(file.size_bytes for table in asked.stage.tables for file in table.files)
        partitions = partitions_for(total, asked.slots) * asked.finer
        broadcast = _broadcast(asked.stage, asked.slots, asked.finer)
        settings = _settings(partitions, broadcast, sort_merge=asked.sort_merge)
        return self._binder.bind(sizes.stores, asked.stage, {}, settings).frame


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


def _planned(stage: StageCut, asked: PlanAsked, writes: bool) -> PlannedStage:
    return PlannedStage(
        exchange=stage.exchange,
        outputs=stage.outputs,
        inputs=stage.inputs,
        operators=tuple(_told(operator, asked.stage.tables) for operator in stage.operators),
        tasks=tuple(_planned_task(task, asked.nodes) for task in stage.tasks),
        writes=writes,
    )


def _told(operator: str, tables: tuple[TableSnapshot, ...]) -> str:
    """Return an operator's kind, a scan with its table's name instead of a file's."""
    kind, _, path = operator.partition(" ")
    if not kind.endswith("_scan") or not path:
        return operator
    return f"{SCAN} {table}" if (table := table_of(path, tables, {})) is not None else SCAN


def _planned_task(task: TaskCut, nodes: tuple[str, ...]) -> PlannedTask:
    by_home: dict[str, int] = {}
    for path, size in task.files:
        home = owner(path, nodes)
        by_home[home] = by_home.get(home, 0) + size
    return PlannedTask(
        plan=base64.b64encode(task.plan).decode(),
        partitions=task.partitions,
        inputs=task.inputs,
        scan_bytes=sum(size for _, size in task.files),
        scan_files=len({path for path, _ in task.files}),
        home=max(by_home, key=lambda node: by_home[node], default=None),
    )
