"""The spans of a statement's trace on its head, from its profile. Pure: traces.py sends them.

The coordinator's span has the plan's and the stages' below it, a stage's those of its tasks: the slowest, as many as
its profile tells, so that a trace does not grow with its statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from firn_model.messages import Dispatch, Failure, Finish
from firn_model.profile import StageProfile

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in seconds after the statement's start on the head."""

    name: str
    started: float
    ended: float
    attributes: Mapping[str, Value]
    below: "tuple[Span, ...]" = ()
    error: str | None = None


def span_of(dispatch: Dispatch, outcome: Finish | Failure, seconds: float) -> Span:
    """Return the coordinator's span of a statement that took so many seconds."""
    used, profile = outcome.statistics, outcome.profile
    attributes: dict[str, Value] = {
        "firn.statement.id": dispatch.statement_id,
        "firn.attempt": dispatch.attempt,
        "firn.node": dispatch.pod_uid,
        "firn.rows.scanned": used.rows_scanned,
        "firn.rows.produced": used.rows_produced,
        "firn.bytes.from_cache": used.bytes_from_cache,
        "firn.bytes.from_object_store": used.bytes_from_object_store,
        "firn.bytes.from_peers": used.bytes_from_peers,
        "firn.bytes.spilled": used.bytes_spilled_local + used.bytes_spilled_remote,
        "firn.cpu.seconds": used.cpu_seconds,
    }
    below: list[Span] = []
    if profile is not None:
        attributes |= {
            "firn.nodes": len(profile.nodes),
            "firn.stages": len(profile.stages),
            "firn.tasks": sum(stage.tasks for stage in profile.stages),
        }
        if profile.whole_because:
            attributes["firn.whole_because"] = profile.whole_because
        below.append(Span("plan", 0, min(profile.plan_seconds, seconds), {}))
        below += [_stage(stage) for stage in profile.stages]
    error = outcome.message if isinstance(outcome, Failure) else None
    return Span("coordinate", 0, seconds, attributes, tuple(below), error)


def _stage(stage: StageProfile) -> Span:
    attributes: dict[str, Value] = {
        "firn.exchange": stage.exchange.value,
        "firn.tasks": stage.tasks,
        "firn.nodes": len(stage.nodes),
        "firn.rows.scanned": stage.rows_scanned,
        "firn.rows.out": stage.rows_out,
        "firn.bytes.out": stage.bytes_out,
        "firn.cpu.seconds": stage.cpu_seconds,
        "firn.skew": stage.skew,
        "firn.tasks.stolen": stage.stolen,
        "firn.tasks.doubled": stage.doubled,
        "firn.tasks.retried": stage.retried,
        "firn.operators": ", ".join(stage.operators),
    }
    tasks = tuple(
        Span(
            f"task {stage.number}.{task.number}",
            task.started_seconds,
            task.started_seconds + task.seconds,
            {"firn.node": task.node, "firn.placed": task.placed, "firn.rows.out": task.rows},
        )
        for task in stage.slowest
    )
    ended = max(stage.started_seconds, stage.ended_seconds)
    return Span(f"stage {stage.number}", stage.started_seconds, ended, attributes, tasks)
