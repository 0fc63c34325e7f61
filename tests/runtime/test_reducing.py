"""Joins that leave rows out early: where they do, and that the rows in the end are the same."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datafusion import SessionContext
from datafusion.plan import ExecutionPlan
from firn_model.profile import ExchangeKind
from firn_runtime.engine.engine import SETTINGS
from firn_runtime.plans.cutting import StageCut, cut
from firn_runtime.plans.reducing import reduce_early
from firn_runtime.plans.schemas import Schemas
from firn_runtime.plans.tree import kind_of, parse, walk
from firn_runtime.statements.planner import Planner

PART = "(SELECT * FROM small WHERE name < 'n3') s"
GROUPED = "(SELECT k, count(*) AS n, max(v) AS v FROM large GROUP BY k) g"
ORDERED = "SELECT * FROM ({}) ORDER BY 1, 2, 3 NULLS FIRST"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> SessionContext:
    """Tables of 10, 400 and 4,000 rows in a session whose plans can be cut, and whose joins collect small sides."""
    folder = tmp_path_factory.mktemp("tables")
    context = Planner(SETTINGS).context
    context.sql("SET datafusion.execution.target_partitions = 2")
    for table, rows in (("small", 10), ("middle", 400), ("large", 4000)):
        (folder / table).mkdir()
        for number in range(2):
            columns = {
                "k": [row % 97 if row % 11 else None for row in range(number, rows, 2)],
                "m": [row % 10 for row in range(number, rows, 2)],
                "v": [row * 7 % 13 for row in range(number, rows, 2)],
                "name": [f"n{row % 10}" for row in range(number, rows, 2)],
            }
            pq.write_table(pa.table(columns), folder / table / f"{number}.parquet")
        context.register_parquet(table, folder / table)
    return context


def planned(context: SessionContext, sql: str) -> Any:
    return parse(context.sql(sql).execution_plan().to_bytes(context))


def joins(root: Any) -> int:
    return sum(kind_of(node) == "hash_join" for node in walk(root))


def rows(context: SessionContext, root: Any) -> list[dict[str, Any]]:
    plan = ExecutionPlan.from_bytes(context, root.SerializeToString())
    assert plan.partition_count == 1
    return [row for batch in context.execute(plan, 0) for row in batch.to_pyarrow().to_pylist()]


def stages(context: SessionContext, sql: str) -> tuple[StageCut, ...]:
    root = planned(context, sql)
    reduce_early(root)
    return cut(root, Schemas(context).of)


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        pytest.param(f"SELECT s.m, g.n, g.v FROM {PART} JOIN {GROUPED} ON s.k = g.k", 1, id="before groups"),
        pytest.param(
            f"SELECT s.m, g.n, g.v FROM {PART} LEFT JOIN {GROUPED} ON s.k = g.k", 1, id="of an outer join's inner side"
        ),
        pytest.param(
            f"SELECT s.m, s.k, s.v FROM {PART} WHERE s.v < (SELECT 1 + avg(v) FROM large l WHERE l.k = s.k)",
            1,
            id="of a query that is correlated",
        ),
        pytest.param(
            f"SELECT l.k, d.v, s.m FROM middle d, large l, {PART} WHERE d.k = l.k AND s.m = d.m",
            1,
            id="of what another join collects",
        ),
        pytest.param(
            f"SELECT l.k, d.v, s.m FROM middle d, large l, {PART} WHERE d.k = l.k AND d.m = l.m AND s.m = l.m",
            1,
            id="by a column that another join makes equal",
        ),
        pytest.param(
            f"SELECT s.m, g.n, g.v FROM {PART} JOIN {GROUPED} ON s.m = g.v - 10", 0, id="not by a computed key"
        ),
        pytest.param(f"SELECT l.k, l.v, s.m FROM {PART} JOIN large l ON l.k = s.k", 0, id="not what is only scanned"),
        pytest.param(
            f"SELECT s.m, g.n, g.v FROM (SELECT * FROM small LIMIT 3) s JOIN {GROUPED} ON s.k = g.k",
            0,
            id="not by rows that may be others the next time",
        ),
        pytest.param(
            f"SELECT s.m, g.n, g.v FROM {PART} JOIN (SELECT * FROM {GROUPED} ORDER BY k, n LIMIT 50) g ON s.k = g.k",
            0,
            id="not below a limit",
        ),
        pytest.param(
            f"SELECT g.m, g.k, g.v FROM {PART} JOIN (SELECT m, k, sum(v) AS v FROM large GROUP BY GROUPING SETS "
            "((m, k), (m))) g ON s.k = g.k",
            1,
            id="between both halves of sets of groups",
        ),
    ],
)
def test_rows_are_left_out_early_and_the_answer_stays(context: SessionContext, sql: str, more: int) -> None:
    root = planned(context, ORDERED.format(sql))
    before, right = joins(root), rows(context, root)
    reduce_early(root)
    assert joins(root) - before == more
    assert rows(context, root) == right
    assert right


def test_what_leaves_rows_out_is_made_once(context: SessionContext) -> None:
    made = stages(context, f"SELECT s.m, g.n FROM {PART} JOIN {GROUPED} ON s.k = g.k")
    (left,) = (number for number, stage in enumerate(made) if any("small" in each for each in stage.operators))
    assert sum(left in stage.inputs for stage in made) == 2


def test_equal_stages_are_one(context: SessionContext) -> None:
    twice = "WITH g AS (SELECT k, {} AS n FROM large GROUP BY k) SELECT k FROM g WHERE n = (SELECT max(n) FROM g)"
    made = stages(context, twice.format("sum(v)"))
    (grouped,) = (number for number, stage in enumerate(made) if stage.exchange is ExchangeKind.SHUFFLE)
    assert sum(grouped in stage.inputs for stage in made) == 2
    others = stages(context, twice.format("max(v + random())"))
    assert sum(stage.exchange is ExchangeKind.SHUFFLE for stage in others) == 2, "each draws its own"


@pytest.mark.parametrize(("runs_whole", "more"), [(False, 1), (True, 0)])
def test_what_is_not_made_once_must_be_small(context: SessionContext, runs_whole: bool, more: int) -> None:
    root = planned(
        context, f"SELECT s.m, g.n FROM (SELECT * FROM large WHERE name < 'n1') s JOIN {GROUPED} ON s.k = g.k"
    )
    before = joins(root)
    reduce_early(root, runs_whole=runs_whole)
    assert joins(root) - before == more
