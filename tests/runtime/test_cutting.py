"""Plans cut into stages: the shapes of the cuts, and that the pinned engine's protobuf reads as described."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import ExecutionPlan, SessionContext
from firn_model.profile import ExchangeKind
from firn_runtime.engine.engine import SETTINGS
from firn_runtime.errors import CannotCutError
from firn_runtime.plans.cutting import StageCut, cut
from firn_runtime.plans.marking import deal_marked_joins
from firn_runtime.plans.partitions import partitions_for
from firn_runtime.plans.regrouping import regroup
from firn_runtime.plans.schemas import Schemas
from firn_runtime.plans.tree import NODE, drop_sort_filters, kind_of, marks_left, parse, partition_count, walk
from firn_runtime.plans.windows import sort_by_all_partition_keys, turn_back
from firn_runtime.statements.planner import Planner

MARKING = "SELECT a.v FROM {} WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.v <> a.v)"
SHUFFLE, GATHER, RESULT = ExchangeKind.SHUFFLE, ExchangeKind.GATHER, ExchangeKind.RESULT


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> SessionContext:
    """Two tables of four files each, in a session whose plans can be cut into four partitions."""
    folder = tmp_path_factory.mktemp("tables")
    context = Planner(SETTINGS).context
    context.sql("SET datafusion.execution.target_partitions = 4")
    for setting in ("threshold", "threshold_rows"):
        context.sql(f"SET datafusion.optimizer.hash_join_single_partition_{setting} = 0")
    for table in ("a", "b"):
        (folder / table).mkdir()
        for number in range(4):
            rows = {"k": list(range(number, 400, 4)), "v": [f"v{number}"] * 100}
            pq.write_table(pa.table(rows), folder / table / f"{number}.parquet")
        context.register_parquet(table, folder / table)
    return context


def stages(context: SessionContext, sql: str) -> tuple[StageCut, ...]:
    root = parse(context.sql(sql).execution_plan().to_bytes(context))
    return cut(root, Schemas(context).of)


def test_the_engine_is_the_one_whose_plans_are_described() -> None:
    assert version("datafusion").startswith("55.")


@pytest.mark.parametrize(
    ("sql", "exchanges"),
    [
        pytest.param("SELECT * FROM a", [GATHER, RESULT], id="a scan is gathered"),
        pytest.param("SELECT * FROM a ORDER BY k", [GATHER, RESULT], id="sorted partitions are merged"),
        pytest.param("SELECT v, count(*) FROM a GROUP BY v", [SHUFFLE, GATHER, RESULT], id="groups are shuffled"),
        pytest.param(
            "SELECT a.v FROM a JOIN b ON a.k = b.k", [SHUFFLE, SHUFFLE, GATHER, RESULT], id="both sides are shuffled"
        ),
    ],
)
def test_where_a_plan_is_cut(context: SessionContext, sql: str, exchanges: list[ExchangeKind]) -> None:
    assert [stage.exchange for stage in stages(context, sql)] == exchanges


def test_each_task_scans_files_of_its_own(context: SessionContext) -> None:
    scan = stages(context, "SELECT * FROM a")[0]
    assert scan.is_scan
    assert len({path for task in scan.tasks for path, _ in task.files}) == 4
    assert sum(len(task.files) for task in scan.tasks) == 4


def test_a_join_that_marks_its_collected_side_is_one_task(context: SessionContext) -> None:
    sql = "SELECT a.k FROM a LEFT JOIN b ON a.k < b.k"
    joins = [stage for stage in stages(context, sql) if "nested_loop_join" in stage.operators]
    assert [len(stage.tasks) for stage in joins] == [1]
    assert joins[0].tasks[0].partitions == tuple(range(len(joins[0].tasks[0].partitions)))


@pytest.fixture
def collecting(context: SessionContext) -> Iterator[SessionContext]:
    """The same session, whose joins collect small left sides."""
    for setting in ("threshold", "threshold_rows"):
        context.sql(f"SET datafusion.optimizer.hash_join_single_partition_{setting} = 1000000")
    yield context
    for setting in ("threshold", "threshold_rows"):
        context.sql(f"SET datafusion.optimizer.hash_join_single_partition_{setting} = 0")


def test_a_join_that_marks_a_whole_table_is_dealt_by_its_keys(collecting: SessionContext) -> None:
    root = parse(collecting.sql(MARKING.format("a")).execution_plan().to_bytes(collecting))
    assert any(marks_left(node) for node in walk(root))
    deal_marked_joins(root)
    cut_ = cut(root, Schemas(collecting).of)
    join = next(stage for stage in cut_ if "hash_join" in stage.operators)
    assert len(join.tasks) > 1
    assert [cut_[number].exchange for number in join.inputs] == [SHUFFLE, SHUFFLE]


def test_the_other_side_of_a_join_that_marks_a_part_is_reduced_before(collecting: SessionContext) -> None:
    root = parse(
        collecting.sql(MARKING.format("(SELECT * FROM a WHERE k < 9) a")).execution_plan().to_bytes(collecting)
    )
    deal_marked_joins(root)
    cut_ = cut(root, Schemas(collecting).of)
    reduced, join = (stage for stage in cut_ if "hash_join" in stage.operators)
    assert (len(reduced.tasks) > 1, len(join.tasks)) == (True, 1)
    assert set(reduced.inputs) < set(join.inputs), "both read the collected side, which is made once"


def test_a_partitioned_join_keeps_its_partitions_apart(context: SessionContext) -> None:
    """An idle partition of a scan takes files of its siblings unless the leaf declares its partitioning."""
    join = next(s for s in stages(context, "SELECT a.v FROM a JOIN b ON a.k = b.k") if "hash_join" in s.operators)
    for task in join.tasks:
        leaves = [node.arrow_scan.files for node in walk(parse(task.plan)) if kind_of(node) == "arrow_scan"]
        assert [leaf.partitioning.unknown for leaf in leaves] == [4, 4]
        assert [[bool(group.files) for group in leaf.groups].index(True) for leaf in leaves] == [task.partitions[0]] * 2


def test_a_sort_below_a_window_names_what_the_filter_fixed(context: SessionContext) -> None:
    """The planner sorts by `v` alone, for `k` is one value; above the cut nobody knows that."""
    sql = "SELECT sum(k) OVER (PARTITION BY v, k ORDER BY n) FROM (SELECT k, v, k + 1 AS n FROM a WHERE k = 7)"
    root = parse(context.sql(sql).execution_plan().to_bytes(context))
    assert "window" in [kind_of(node) for node in walk(root)]
    with pytest.raises(CannotCutError):
        cut(root, Schemas(context).of)
    root = parse(context.sql(sql).execution_plan().to_bytes(context))
    sort_by_all_partition_keys(root)
    assert [stage.exchange for stage in cut(root, Schemas(context).of)] == [SHUFFLE, GATHER, RESULT]


@pytest.mark.parametrize("function", ["LEAD(k, 2, 7)", "LAG(k)", "FIRST_VALUE(k)", "LAST_VALUE(k)", "SUM(k)"])
def test_windows_in_two_directions_keep_theirs(context: SessionContext, function: str) -> None:
    """They share one sort: the planner turns the second window."""
    sql = f"SELECT k, max(v) OVER (ORDER BY k DESC) AS x, {function} OVER (ORDER BY k ASC) AS y FROM a ORDER BY k"
    frame = context.sql(sql)
    root = parse(frame.execution_plan().to_bytes(context))
    turn_back(root)
    plan = ExecutionPlan.from_bytes(context, root.SerializeToString())
    carried = [batch.to_pyarrow() for batch in context.execute(plan, 0)]
    assert pa.Table.from_batches(carried).column("y").to_pylist() == frame.to_pydict()["y"]


def test_what_has_no_name_when_it_is_turned_is_not_cut(context: SessionContext) -> None:
    with pytest.raises(CannotCutError):
        turn_back(
            parse(context.sql("SELECT nth_value(k, 2) OVER (ORDER BY k) FROM a").execution_plan().to_bytes(context))
        )


def test_a_repartition_that_keeps_an_order_stays_in_its_stage(context: SessionContext) -> None:
    """Both windows go by `k`: the second is fed in the order of the first."""
    sql = "SELECT sum(n) OVER (PARTITION BY k) FROM (SELECT k, count(v) OVER (ORDER BY k) AS n FROM a)"
    found = stages(context, sql)
    windows = [stage for stage in found if "window" in stage.operators]
    assert [(stage.operators.count("window"), len(stage.tasks)) for stage in windows] == [(2, 1)]


def test_a_kind_that_is_not_described_is_not_cut() -> None:
    unknown = NODE.FromString(b"\x92\x01\x00")  # field 18: an extension
    with pytest.raises(CannotCutError):
        partition_count(unknown)


def test_files_are_dealt_by_home_and_size(context: SessionContext, tmp_path: Path) -> None:
    root = parse(context.sql("SELECT * FROM a").execution_plan().to_bytes(context))
    regroup(root, 2, lambda path: "odd" if path[-9] in "13" else "even")
    (files,) = [node.parquet_scan.files for node in walk(root) if kind_of(node) == "parquet_scan"]
    homes = [{path.path[-9] in "13" for path in group.files} for group in files.groups]
    assert all(len(home) == 1 for home in homes)


@pytest.mark.parametrize(("size", "slots", "expected"), [(0, 3, 3), (1 << 30, 2, 4), (100 << 30, 2, 8)])
def test_how_many_partitions_files_are_worth(size: int, slots: int, expected: int) -> None:
    assert partitions_for(size, slots) == expected


def test_a_limited_sort_is_the_same_plan_each_time(context: SessionContext) -> None:
    """The engine numbers the filter of such a sort anew, so that equal plans would differ."""
    plans = [parse(context.sql("SELECT k FROM a ORDER BY k LIMIT 3").execution_plan().to_bytes(context)) for _ in "ab"]
    assert plans[0] != plans[1]
    for plan in plans:
        drop_sort_filters(plan)
    assert plans[0] == plans[1]
