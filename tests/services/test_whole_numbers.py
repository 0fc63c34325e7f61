"""Sums, differences and products of whole numbers are right, or an error, and never wrap."""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from tests.services.test_compile import written
from tests.services.test_exact import LARGEST, answer, engine

__all__ = ["engine"]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT ps_suppkey + 1 AS x FROM partsupp ORDER BY 1", [2, 2, 3, 3]),
        ("SELECT ps_partkey - ps_suppkey AS x FROM partsupp ORDER BY 1", [-4, 0, LARGEST - 1, None]),
        ("SELECT ps_partkey - ps_suppkey + ps_suppkey AS x FROM partsupp WHERE ps_availqty = 0", [LARGEST]),
        ("SELECT ps_partkey * 3 - ps_partkey * 2 AS x FROM partsupp WHERE ps_availqty = 0", [LARGEST]),
        ("SELECT -(ps_partkey - 1) AS x FROM partsupp WHERE ps_availqty = 0", [1 - LARGEST]),
        ("SELECT ps_suppkey + 1 AS x FROM partsupp GROUP BY 1 ORDER BY 1", [2, 3]),
        ("SELECT (ps_suppkey + 1) * 2 + COUNT(*) AS x FROM partsupp GROUP BY ps_suppkey + 1 ORDER BY 1", [6, 8]),
        (
            "SELECT ps_suppkey + 1 AS y, (ps_suppkey + 1) * MAX(ps_availqty) AS x FROM partsupp GROUP BY y ORDER BY y",
            [4, 15],
        ),
        ("SELECT SUM(ps_suppkey * ps_availqty) - COUNT(*) AS x FROM partsupp", [16]),
        ("SELECT DISTINCT ps_suppkey * 2 AS x FROM partsupp ORDER BY ps_suppkey * 2", [2, 4]),
        ("SELECT ps_availqty AS x FROM partsupp WHERE ps_suppkey * ps_availqty > ps_availqty + 4", [5]),
        (
            "SELECT p.ps_availqty AS x FROM partsupp AS p JOIN partsupp AS q ON p.ps_availqty = q.ps_availqty + 1",
            [5],
        ),
        ("SELECT ABS(ps_availqty - 3) + 1 AS x FROM partsupp ORDER BY 1", [2, 2, 3, 4]),
        (
            "SELECT SUM(ps_availqty + 1) OVER (ORDER BY ps_availqty + 1) * 2 AS x FROM partsupp ORDER BY 1",
            [2, 8, 18, 30],
        ),
        ("SELECT 999999999999999999 * 9 AS x", [999999999999999999 * 9]),
    ],
)
def test_right_where_there_is_room(engine: SessionContext, sql: str, values: list[object]) -> None:
    column = answer(engine, sql).column("x")
    assert column.to_pylist() == values
    assert column.type == pa.int64()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ps_partkey + 1 FROM partsupp",
        "SELECT ps_partkey + ps_suppkey FROM partsupp",
        "SELECT -ps_partkey - 2 FROM partsupp",
        "SELECT ps_partkey * ps_suppkey * 2 FROM partsupp",
        "SELECT 1 FROM partsupp WHERE ps_partkey + 1 > 0",
        "SELECT SUM(ps_partkey + 1) FROM partsupp",
        "SELECT ps_partkey + 1, COUNT(*) FROM partsupp GROUP BY ps_partkey + 1",
        "SELECT MAX(ps_partkey) + 1 FROM partsupp",
        "WITH t AS (SELECT ps_partkey AS p FROM partsupp) SELECT p * p FROM t",
        "SELECT 999999999999999999 * 10",
        "SELECT ps_suppkey * 999999999999999999 * 10 FROM partsupp",
    ],
)
def test_an_error_where_there_is_none(engine: SessionContext, sql: str) -> None:
    with pytest.raises(Exception, match="out of range Int64"):
        answer(engine, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT l_extendedprice * (1 - l_discount) FROM lineitem",
        "SELECT COUNT(*) + 1 FROM lineitem",
        "SELECT l_shipdate + 1 FROM lineitem",
        "SELECT 1 + 1",
    ],
)
def test_the_rest_stays_as_it_is(sql: str) -> None:
    assert "CASE" not in written(sql)
