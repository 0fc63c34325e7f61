"""Conditions above an outer join whose sides have columns of the same names are not taken to the wrong side."""

import pytest
from datafusion import SessionContext

from tests.services.test_compile import written
from tests.services.test_exact import answer, engine

__all__ = ["engine"]
OF_BOTH = "a.ps_suppkey > 0 AND a.ps_availqty > 1 AND (b.ps_availqty < 9 OR b.ps_supplycost > 0)"


@pytest.mark.parametrize("side", ["LEFT", "RIGHT", "FULL"])
@pytest.mark.parametrize("condition", [f"b.ps_partkey = -7 OR ({OF_BOTH})", f"({OF_BOTH}) OR a.ps_partkey = -7"])
def test_rows_are_those_of_the_condition(engine: SessionContext, side: str, condition: str) -> None:
    join = f"partsupp a {side} JOIN partsupp b ON a.ps_partkey = b.ps_suppkey"
    found = answer(engine, f"SELECT a.ps_availqty AS x, b.ps_availqty AS y FROM {join} WHERE {condition} ORDER BY 2")
    assert found.to_pylist() == [{"x": 2, "y": 0}, {"x": 2, "y": 2}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM partsupp a JOIN partsupp b ON a.ps_partkey = b.ps_suppkey WHERE a.ps_availqty < b.ps_availqty",
        "SELECT 1 FROM part LEFT JOIN partsupp ON p_partkey = ps_partkey WHERE p_size < ps_availqty",
        "SELECT 1 FROM partsupp a LEFT JOIN partsupp b ON a.ps_partkey = b.ps_suppkey WHERE a.ps_availqty = 1",
    ],
)
def test_the_rest_stays_as_it_is(sql: str) -> None:
    assert "RANDOM" not in written(sql)
