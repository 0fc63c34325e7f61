"""A statement's statistics and profile, from what its tasks have reported. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from firn_model.messages import Statistics
from firn_model.profile import (
    MOST_TASKS,
    ExchangeKind,
    OperatorProfile,
    Profile,
    StageProfile,
    TaskProfile,
    TierBytes,
)

from firn_runtime.engine.operators import summed
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tasks import PieceMade, PlannedStage
from firn_runtime.schedule.words import Counts, TaskId, Why

_SUMMED = (
    "rows_scanned",
    "bytes_scanned",
    "bytes_from_object_store",
    "bytes_from_cache",
    "bytes_from_memory",
    "bytes_from_disk",
    "bytes_from_peers",
    "bytes_written",
    "rows_written",
    "bytes_spilled_local",
    "bytes_spilled_remote",
    "files_scanned",
    "cpu_seconds",
)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a task that ended well; times in seconds after the statement's start."""

    task: TaskId
    node: str
    why: Why
    started: float
    ended: float
    pieces: tuple[PieceMade, ...]
    used: Statistics
    operators: tuple[OperatorProfile, ...] = ()

    @property
    def rows(self) -> int:
        """Rows given out, to other tasks or as the result."""
        return sum(piece.rows for piece in self.pieces) or self.used.rows_produced

    @property
    def bytes(self) -> int:
        """Bytes given out, to other tasks or as the result."""
        return sum(piece.size for piece in self.pieces) or self.used.bytes_produced


@dataclass(slots=True)
class Ledger:
    """All that is known of a statement's runs."""

    ran: list[Ran] = field(default_factory=list)
    wasted: list[Statistics] = field(default_factory=list)
    """What runs used that failed or were stopped."""
    lost_nodes: list[str] = field(default_factory=list)
    replanned_because: list[str] = field(default_factory=list)
    retried: dict[int, int] = field(default_factory=dict)
    plan_seconds: float = 0
    tasks: int = 0
    stolen: int = 0
    burst: int = 0
    burst_nodes: set[str] = field(default_factory=set)

    def begin_anew(self) -> None:
        """Take what has run as wasted: the statement is planned again, into other stages."""
        self.wasted += [run.used for run in self.ran]
        self.ran.clear()

    def add_counts(self, counts: Counts) -> None:
        """Take over what a schedule has counted."""
        self.tasks += counts.tasks
        self.stolen += counts.stolen
        self.burst += counts.burst
        self.burst_nodes |= counts.burst_nodes
        self.lost_nodes += counts.lost_nodes


def statistics_of(ledger: Ledger, stages: Sequence[PlannedStage], files: int, execute_seconds: float) -> Statistics:
    """Return what a statement used, of all its runs; `files` is how many its tables have."""
    used = [*(run.used for run in ledger.ran), *ledger.wasted]
    sums = {name: sum(getattr(each, name) for each in used) for name in _SUMMED}
    result = ledger.ran[-1].used if ledger.ran else Statistics()
    return Statistics(
        **{**sums, "files_scanned": min(files, sums["files_scanned"])},
        rows_produced=result.rows_produced,
        bytes_produced=result.bytes_produced,
        stages=len(stages),
        tasks=ledger.tasks,
        tasks_stolen=ledger.stolen,
        tasks_retried=sum(ledger.retried.values()),
        burst_tasks=ledger.burst,
        burst_nodes=len(ledger.burst_nodes),
        scan_seconds=_scan_seconds(ledger, stages),
        plan_seconds=ledger.plan_seconds,
        execute_seconds=execute_seconds,
    )


def _scan_seconds(ledger: Ledger, stages: Sequence[PlannedStage]) -> float:
    """Return in how much of the statement's time at least one scan ran."""
    scanning = {number for number, stage in enumerate(stages) if stage.is_scan}
    scans = sorted((run.started, run.ended) for run in ledger.ran if run.task.stage in scanning)
    seconds, until = 0.0, 0.0
    for started, ended in scans:
        seconds += max(0.0, ended - max(started, until))
        until = max(until, ended)
    return seconds


def profile_of(ledger: Ledger, stages: Sequence[PlannedStage], execute_seconds: float) -> Profile:
    """Return how a statement ran."""
    by_stage: dict[int, list[Ran]] = {number: [] for number in range(len(stages))}
    for run in ledger.ran:
        by_stage[run.task.stage].append(run)
    return Profile(
        stages=tuple(
            _stage(number, stages[number], runs, ledger.retried.get(number, 0)) for number, runs in by_stage.items()
        ),
        nodes=tuple(sorted({run.node for run in ledger.ran})),
        lost_nodes=tuple(ledger.lost_nodes),
        replanned_because=tuple(ledger.replanned_because),
        plan_seconds=ledger.plan_seconds,
        execute_seconds=execute_seconds,
    )


def _stage(number: int, planned: PlannedStage, runs: list[Ran], retried: int) -> StageProfile:
    seconds = [run.ended - run.started for run in runs]
    middle = statistics.median(seconds) if seconds else 0.0
    slowest = sorted(runs, key=lambda run: run.started - run.ended)[:MOST_TASKS]
    return StageProfile(
        number=number,
        exchange=planned.exchange,
        inputs=planned.inputs,
        operators=planned.operators,
        tasks=len(planned.tasks),
        nodes=tuple(sorted({run.node for run in runs})),
        rows_scanned=sum(run.used.rows_scanned for run in runs),
        rows_out=sum(run.rows for run in runs),
        bytes_out=sum(run.bytes for run in runs),
        bytes=_bytes(runs),
        started_seconds=min((run.started for run in runs), default=0),
        ended_seconds=max((run.ended for run in runs), default=0),
        task_seconds=sum(seconds),
        cpu_seconds=sum(run.used.cpu_seconds for run in runs),
        skew=max(1.0, max(seconds) / middle) if middle > 0 else 1,
        stolen=sum(run.why is Why.STOLEN for run in runs),
        doubled=sum(run.why is Why.DOUBLED for run in runs),
        retried=retried,
        slowest=tuple(
            TaskProfile(
                number=run.task.number,
                node=run.node,
                placed=run.why,
                started_seconds=run.started,
                seconds=run.ended - run.started,
                rows=run.rows,
            )
            for run in slowest
        ),
        plan=summed([run.operators for run in runs], planned.operators),
    )


def whole_profile(stage: Stage, used: Statistics, plan: tuple[OperatorProfile, ...]) -> Profile:
    """Return how a statement ran that one engine ran whole."""
    nodes = (stage.node,) if stage.node else ()
    only = StageProfile(
        number=0,
        exchange=ExchangeKind.RESULT,
        operators=tuple(operator.name for operator in plan),
        tasks=1,
        nodes=nodes,
        rows_scanned=used.rows_scanned,
        rows_out=used.rows_written or used.rows_produced,
        bytes_out=used.bytes_written or used.bytes_produced,
        bytes=_tiers(used),
        ended_seconds=used.execute_seconds,
        task_seconds=used.execute_seconds,
        cpu_seconds=used.cpu_seconds,
        plan=plan,
    )
    return Profile(
        stages=(only,),
        nodes=nodes,
        whole_because=stage.whole_because,
        plan_seconds=used.plan_seconds,
        execute_seconds=used.execute_seconds,
    )


def _bytes(runs: Sequence[Ran]) -> TierBytes:
    kept = sum(piece.size for run in runs for piece in run.pieces if piece.tier == "memory")
    tiers = [_tiers(run.used) for run in runs]
    sums = {name: sum(getattr(each, name) for each in tiers) for name in TierBytes.model_fields}
    return TierBytes(**{**sums, "kept_in_memory": kept})


def _tiers(used: Statistics) -> TierBytes:
    return TierBytes(
        scanned_from_memory=used.bytes_from_memory,
        scanned_from_disk=used.bytes_from_disk,
        scanned_from_object_store=used.bytes_from_object_store,
        fetched_from_peers=used.bytes_from_peers,
        spilled_to_disk=used.bytes_spilled_local,
        spilled_to_object_store=used.bytes_spilled_remote,
    )
