"""What a head says of a running statement's progress."""

from pathlib import Path

import pyarrow as pa
from datafusion import SessionContext
from firn_model.messages import DataFile, Progress, Statistics, TableSnapshot
from firn_runtime.engine.operators import readings
from firn_runtime.schedule.machine import Schedule
from firn_runtime.schedule.words import NodeUsable, StageSpec, TaskDone, TaskId, TaskSpec, Why
from firn_runtime.statements.profiling import Ledger, Ran
from firn_runtime.statements.progress import ALMOST, progress_of, progress_of_whole
from pyarrow import parquet

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


def table(name: str, uri: str, rows: int) -> TableSnapshot:
    return TableSnapshot(name=name, schema_ipc_base64="", files=(DataFile(uri=uri, size_bytes=1, rows=rows),))


def test_a_plan_that_runs_whole_tells_its_tables_rows(tmp_path: Path) -> None:
    file = tmp_path / "numbers.parquet"
    parquet.write_table(pa.table({"n": list(range(1000))}), file)
    context = SessionContext()
    context.register_parquet("numbers", str(file))
    plan = context.sql("SELECT sum(a.n) FROM numbers a JOIN numbers b ON a.n = b.n").execution_plan()
    tables, local = (table("numbers", "s3://b/numbers.parquet", 1000),), {"s3://b/numbers.parquet": file}
    assert progress_of_whole(readings(plan), tables, local) == Progress(fraction=0.0)
    for number in range(plan.partition_count):
        list(context.execute(plan, number))
    told = progress_of_whole(readings(plan), tables, local)
    assert (told.fraction, told.rows_scanned) == (ALMOST, 2000)
    assert told.bytes_scanned > 0
    assert progress_of_whole(readings(plan), (), {}) == told.model_copy(update={"fraction": None})
