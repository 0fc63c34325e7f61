"""What has no room in its type, and a float divided by zero, is an error and never a wrong number."""

from decimal import Decimal

import pyarrow as pa
import pytest
from datafusion import SessionConfig, SessionContext

from tests.services.fake_catalog import FakeCatalog
from tests.services.test_compile import written

LARGEST = 2**63 - 1
WIDE = Decimal("9" * 38)
ROWS = {
    "ps_partkey": [LARGEST, 1, -2, None],
    "ps_suppkey": [1, 1, 2, 2],
    "ps_availqty": [0, 2, 4, 5],
}
X, Y = "CAST(ps_partkey AS DOUBLE)", "CAST(ps_availqty AS DOUBLE)"
WIDEST = f"CAST('{WIDE}' AS DECIMAL(38, 0))"


@pytest.fixture(scope="module")
def engine() -> SessionContext:
    """An engine with four rows of partsupp."""
    context = SessionContext(SessionConfig().with_target_partitions(1))
    name = next(name for name in FakeCatalog().tables() if name.name == "PARTSUPP")
    schema = FakeCatalog().load(name).schema
    columns = [pa.array(ROWS.get(field.name, [None] * 4), field.type) for field in schema]
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    context.from_arrow(pa.Table.from_arrays(columns, schema=nullable), "tpch_sf1_partsupp")
    return context


def answer(engine: SessionContext, sql: str) -> pa.Table:
    return engine.sql(written(sql)).to_arrow_table()


@pytest.mark.parametrize(
    ("sql", "kind", "values"),
    [
        ("SELECT SUM(ps_partkey) AS x FROM partsupp", pa.int64(), [LARGEST - 1]),
        ("SELECT SUM(DISTINCT ps_suppkey) AS x FROM partsupp", pa.int64(), [3]),
        (
            "SELECT SUM(ps_availqty) AS x FROM partsupp GROUP BY ps_suppkey ORDER BY SUM(ps_availqty)",
            pa.int64(),
            [2, 9],
        ),
        (
            "SELECT SUM(SUM(ps_availqty)) OVER (ORDER BY ps_suppkey) AS x FROM partsupp GROUP BY ps_suppkey ORDER BY 1",
            pa.int64(),
            [2, 11],
        ),
        (
            "SELECT SUM(ps_availqty) OVER (ORDER BY ps_availqty ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS x"
            " FROM partsupp ORDER BY 1",
            pa.int64(),
            [0, 2, 6, 9],
        ),
        ("SELECT SUM(CASE WHEN ps_suppkey = 1 THEN 0 ELSE ps_supplycost END) AS x FROM partsupp", None, [0]),
        (f"SELECT SUM(CASE WHEN ps_suppkey = 1 THEN 0 ELSE {Y} END) AS x FROM partsupp", pa.float64(), [9.0]),
        (
            f"SELECT SUM(IFF(ps_suppkey = 1, {WIDEST}, -{WIDEST})) AS x FROM partsupp WHERE ps_availqty <> 2",
            pa.decimal128(38, 0),
            [Decimal(f"-{WIDE}")],
        ),
        ("SELECT ps_suppkey AS x FROM partsupp GROUP BY 1 HAVING SUM(ps_partkey) > 5", pa.int64(), [1]),
        (f"SELECT {Y} / {X} AS x FROM partsupp WHERE ps_suppkey = 2 ORDER BY 1", pa.float64(), [-2.0, None]),
        (
            f"SELECT {X} / (ps_availqty - 5) AS x FROM partsupp WHERE ps_availqty > 2 ORDER BY 1",
            pa.float64(),
            [2.0, None],
        ),
        (
            f"SELECT SUM({Y}) / SUM(ps_suppkey) AS x FROM partsupp GROUP BY ps_suppkey ORDER BY 1",
            pa.float64(),
            [1.0, 2.25],
        ),
        (
            f"WITH t AS (SELECT {Y} AS y, ps_suppkey AS s FROM partsupp WHERE ps_availqty > 0)"
            " SELECT SUM(s / y) AS x, SUM(2 / y) FROM t WHERE y > 3",
            pa.float64(),
            [0.9],
        ),
    ],
)
def test_right_where_there_is_room(
    engine: SessionContext, sql: str, kind: pa.DataType | None, values: list[object]
) -> None:
    column = answer(engine, sql).column("x")
    assert column.to_pylist() == values
    assert kind in (None, column.type)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT SUM(ps_partkey) FROM partsupp WHERE ps_availqty < 3",
        "SELECT SUM(DISTINCT ps_partkey) FROM partsupp WHERE ps_availqty < 3",
        "SELECT SUM(ps_partkey) OVER (ORDER BY ps_availqty) FROM partsupp",
        "SELECT SUM(SUM(ps_partkey)) OVER () FROM partsupp WHERE ps_availqty < 3 GROUP BY ps_availqty",
        "SELECT s FROM (SELECT SUM(p) AS s FROM (SELECT ps_partkey AS p FROM partsupp WHERE ps_availqty < 3))",
        "WITH t AS (SELECT ps_partkey AS p FROM partsupp WHERE ps_availqty < 3) SELECT SUM(p) FROM t",
        "SELECT 1 FROM partsupp WHERE 1 < (SELECT SUM(ps_partkey) FROM partsupp AS p WHERE p.ps_availqty < 3)",
        f"SELECT SUM({WIDEST}) FROM partsupp",
        f"SELECT {Y} / {Y} FROM partsupp",
        f"SELECT {Y} / ({Y} - 2) / 3 FROM partsupp",
        f"SELECT 1 / {Y}, 2 / {Y} FROM partsupp",
        f"SELECT {Y} % ps_availqty FROM partsupp",
        f"SELECT SUM({Y}) / COUNT(ps_partkey) FROM partsupp WHERE ps_partkey IS NULL",
    ],
)
def test_an_error_where_there_is_none(engine: SessionContext, sql: str) -> None:
    with pytest.raises(Exception, match=r"out of range Int64|Overflowing|[Dd]ivi[ds]"):
        answer(engine, sql)


def test_small_numbers_are_summed_as_they_are() -> None:
    sql = written("SELECT SUM(CASE WHEN ps_suppkey = 1 THEN 1 ELSE 0 END), SUM(ps_supplycost) FROM partsupp")
    assert "DECIMAL" not in sql
