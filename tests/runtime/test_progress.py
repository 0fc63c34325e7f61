"""What a head says of a running statement's progress."""

from firn_model.messages import Progress, Statistics
from firn_runtime.profiling import Ledger, Ran
from firn_runtime.progress import progress_of
from firn_runtime.schedule.machine import Schedule
from firn_runtime.schedule.words import NodeUsable, StageSpec, TaskDone, TaskId, TaskSpec, Why

SCAN = StageSpec(tasks=(TaskSpec(), TaskSpec()), inputs=(), is_scan=True, is_result=False)
RESULT = StageSpec(tasks=(TaskSpec(inputs=((0, (0,)),)),), inputs=(0,), is_scan=False, is_result=True)


def ran(number: int) -> Ran:
    used = Statistics(rows_scanned=10, bytes_scanned=100)
    return Ran(TaskId(0, number), "head", Why.FREE, 0.0, 1.0, (), used)


def test_progress_tells_the_stage_what_was_read_and_the_burst_nodes() -> None:
    schedule, ledger = Schedule((SCAN, RESULT)), Ledger()
    schedule.handle(NodeUsable("head", 1, is_burst=False, is_head=True), 0.0)
    schedule.handle(NodeUsable("helper", 1, is_burst=True, is_head=False), 0.0)
    assert progress_of(schedule.state, ledger, 0.0, None) == Progress(fraction=0.0, burst_nodes=1, stage=1, stages=2)
    for run in (0, 1):
        schedule.handle(TaskDone(run, ()), 1.0)
        ledger.ran.append(ran(run))
    told = progress_of(schedule.state, ledger, schedule.state.fraction(), None)
    assert (told.rows_scanned, told.bytes_scanned) == (20, 200)
    assert (told.stage, told.stages) == (2, 2)
    assert schedule.state.counts.burst_nodes == {"helper"}
