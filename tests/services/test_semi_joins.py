"""A condition IN over a query picks its table's rows before the joins, where that changes no answer."""

import pytest

from tests.services.test_compile import written

BIG = "SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING SUM(l_quantity) > 300"

GOOD = "SELECT c_custkey FROM customer WHERE c_acctbal > 0"


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT o_orderkey FROM orders, lineitem WHERE o_orderkey IN ({BIG}) AND o_orderkey = l_orderkey",
        f"SELECT o.o_orderkey FROM orders o JOIN lineitem ON o_orderkey = l_orderkey WHERE o.o_orderkey IN ({BIG})",
        f"SELECT o_orderkey FROM orders LEFT JOIN lineitem ON o_orderkey = l_orderkey WHERE o_orderkey IN ({BIG})",
        f"WITH o AS (SELECT * FROM orders) SELECT o_orderkey FROM o, lineitem WHERE o_orderkey IN ({BIG})",
    ],
)
def test_it_is_moved(sql: str) -> None:
    moved = written(sql)
    before_where = moved[: moved.rindex(" WHERE ")]
    assert "HAVING" in before_where, moved
    assert moved.count("HAVING") == 1


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(f"SELECT o_orderkey FROM orders WHERE o_orderkey IN ({BIG})", id="no join"),
        pytest.param(
            f"SELECT o_orderkey FROM orders, lineitem WHERE o_orderkey NOT IN ({BIG})", id="not in knows NULL apart"
        ),
        pytest.param(
            f"SELECT o_orderkey FROM orders, lineitem WHERE o_orderkey IN ({BIG}) OR o_custkey = 1", id="one of two"
        ),
        pytest.param(
            f"SELECT o_orderkey FROM lineitem LEFT JOIN orders ON o_orderkey = l_orderkey WHERE o_orderkey IN ({BIG})",
            id="the side that may be missing",
        ),
        pytest.param(
            "SELECT o_orderkey FROM orders, customer WHERE o_orderkey IN "
            "(SELECT l_orderkey FROM lineitem WHERE l_suppkey = c_custkey GROUP BY 1 HAVING SUM(l_quantity) > 300)",
            id="a query that depends on the row",
        ),
    ],
)
def test_it_stays(sql: str) -> None:
    left = written(sql)
    where = left.rindex(" WHERE ") if "l_suppkey" not in sql else left.index(" WHERE ")
    assert "HAVING" in left[where:], left


def test_two_conditions_of_one_table_go_together() -> None:
    sql = f"SELECT o_orderkey FROM orders, lineitem WHERE o_orderkey IN ({BIG}) AND o_custkey IN ({GOOD})"
    moved = written(sql)
    assert moved.rindex("HAVING") < moved.rindex(" WHERE ")
    assert moved.index("c_acctbal") < moved.rindex(" WHERE ")
