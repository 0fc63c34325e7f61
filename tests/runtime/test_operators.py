"""What profiles tell of operators, from the engine's own descriptions."""

from pathlib import Path

import pytest
from datafusion import SessionConfig, SessionContext
from firn_model.messages import DataFile, TableSnapshot
from firn_model.profile import MOST_DETAIL, OperatorProfile
from firn_runtime.engine.operators import described, operators_of, readings, summed, table_of


@pytest.mark.parametrize(
    ("description", "name", "detail"),
    [
        ("CoalescePartitionsExec\n", "CoalescePartitions", ""),
        ("FilterExec: b@1 > 2\n", "Filter", "b > 2"),
        (
            "DataSourceExec: file_groups={2 groups: [[a/1.parquet:0..5, a/2.parquet], [a/3.parquet]]}, projection=[a], "
            "file_type=parquet, predicate=b@1 > 2, pruning_predicate=b_max@0 > 2, required_guarantees=[]",
            "Scan",
            "projection=[a], predicate=b > 2",
        ),
        ("DataSourceExec: file_groups={1 group: [[x]]}, projection=[a], file_type=arrow", "Exchange", ""),
        ("SortExec: " + "x" * 500, "Sort", "x" * (MOST_DETAIL - 1) + "…"),
    ],
)
def test_descriptions_lose_what_nobody_reads(description: str, name: str, detail: str) -> None:
    assert described(description) == (name, detail)


def test_files_tell_their_table_by_address_or_by_their_copy() -> None:
    file = DataFile(uri="s3://lake/sales/orders/1.parquet", size_bytes=1, rows=1)
    table = TableSnapshot(name="orders", schema_ipc_base64="", files=(file,))
    assert table_of("sales/orders/1.parquet", (table,), {}) == "orders"
    assert table_of("cache/5e/1", (table,), {file.uri: Path("/cache/5e/1")}) == "orders"
    assert table_of("other.parquet", (table,), {}) is None


def test_operators_are_told_with_their_depth(tmp_path: Path) -> None:
    context = SessionContext(SessionConfig().with_target_partitions(1))
    (tmp_path / "t.csv").write_text("a\n1\n2\n3\n")
    context.register_csv("t", tmp_path / "t.csv")
    frame = context.sql("SELECT a FROM t WHERE a > 1")
    plan = frame.execution_plan()
    rows = sum(batch.to_pyarrow().num_rows for batch in context.execute(plan, 0))
    operators = operators_of(readings(plan))
    assert [operator.depth for operator in operators] == list(range(len(operators)))
    assert (operators[0].name, operators[0].rows) == ("Filter", rows)
    assert (operators[-1].name, operators[-1].rows) == ("Scan", 3)


def test_the_tasks_of_a_stage_are_summed() -> None:
    first = (OperatorProfile(name="Sort", rows=3, seconds=1), OperatorProfile(name="Exchange", depth=1, rows=4))
    second = (OperatorProfile(name="Sort", rows=5, seconds=2), OperatorProfile(name="Exchange", depth=1, rows=6))
    both = summed([first, second], ("sort", "read stage 7"))
    assert both == (
        OperatorProfile(name="Sort", rows=8, seconds=3),
        OperatorProfile(name="read stage 7", depth=1, rows=10),
    )
    assert summed([], ("sort",)) == ()
