"""IN over a query is unknown beside NULL, wherever it stands."""

import pytest
from datafusion import SessionContext

from tests.services.test_compile import written
from tests.services.test_exact import answer, engine

__all__ = ["engine"]
IN = "ps_availqty IN (SELECT ps_partkey FROM partsupp)"
"""Of 0, 2, 4 and 5 none is among 1, -2, NULL and the largest number, nor is it known not to be."""


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        (IN, []),
        (f"NOT {IN}", []),
        (f"NOT ({IN}) OR ps_availqty = 2", [2]),
        (f"NOT (ps_availqty > 2 AND {IN})", [0, 2]),
        (f"({IN}) IS NULL", [0, 2, 4, 5]),
        (f"IFF({IN}, FALSE, ps_availqty > 2)", [4, 5]),
        (f"IFF(NOT {IN}, TRUE, ps_availqty > 2)", [4, 5]),
        (f"ps_availqty NOT {IN.removeprefix('ps_availqty ')} OR ps_availqty = 5", [5]),
        (
            "NOT (ps_suppkey IN (SELECT p.ps_suppkey FROM partsupp p WHERE p.ps_availqty > 2)) OR ps_availqty = 4",
            [0, 2, 4],
        ),
    ],
)
def test_rows_are_those_of_the_condition(engine: SessionContext, condition: str, values: list[int]) -> None:
    found = answer(engine, f"SELECT ps_availqty AS x FROM partsupp WHERE {condition} ORDER BY 1")
    assert found.column("x").to_pylist() == values


def test_conditions_that_only_hold_stay_as_they_are() -> None:
    for condition in (IN, f"NOT {IN}", f"{IN} OR ps_availqty = 2", f"ps_availqty = 2 AND NOT ({IN})"):
        assert " ANY " not in written(f"SELECT 1 FROM partsupp WHERE {condition}")
