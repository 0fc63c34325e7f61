"""What Snowflake lets a SELECT say of its rows and the engine does not: names of items, PIVOT and UNPIVOT."""

import pytest
from datafusion import SessionContext
from firn_services.errors import StatementFailedError

from tests.services.few_rows import engine, rows_of
from tests.services.test_compile import compiled

SALES = """(select * from (values (1, 'JAN', 100), (1, 'FEB', 200), (1, 'JAN', 50), (2, 'JAN', 10), (null, 'MAR', 7))
 as v(empid, month, amount)) as sales"""
WIDE = "(select * from (values (1, 100, 200), (2, null, 400)) as v(id, jan, feb)) as wide"


@pytest.fixture(scope="module")
def context() -> SessionContext:
    return engine()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select n_nationkey + 1 as b, b * 2 as c, c + b as d from nation where n_nationkey = 3", [(4, 8, 12)]),
        ("select n_nationkey * 2 as twice from nation where twice > 2 order by 1", [(4,), (6,)]),
        ("select 1 as a, a + 1 as b, b", [(1, 2, 2)]),
        ("select n_nationkey + 10 as n_regionkey, n_regionkey * 3 as t from nation where n_nationkey = 2", [(12, 3)]),
        ("select n_regionkey + 1 as N_NATIONKEY, n_nationkey * 2 as x from nation where n_nationkey = 2", [(2, 4)]),
        ("select count(*) as c, sum(n_nationkey) as s, s / c as mean from nation", [(4, 6, 1.5)]),
        ("select n_nationkey as k, row_number() over (order by k desc) as rn from nation qualify rn = 1", [(3, 1)]),
        ("select n_regionkey as r, count(*) as c, c * 10 as t from nation group by r having c > 1", [(0, 2, 20)]),
        ("select a.x + 1 as y from (select n_nationkey + 1 as x, x * 10 as z from nation where z > 30) a", [(5,)]),
        ("select x * 2 as y, y + 1 as z from (select n_nationkey + 1 as w, w * 10 as x from nation where w = 3)",
         [(60, 61)]),
    ],
)  # fmt: skip
def test_names_of_items(context: SessionContext, sql: str, rows: list[tuple[object, ...]]) -> None:
    assert [tuple(map(_plain, row)) for row in rows_of(context, sql)] == rows


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (f"select * from {SALES} pivot(sum(amount) for month in ('JAN', 'FEB', 'MAR')) as p order by empid",
         [(1, 150, 200, None), (2, 10, None, None), (None, None, None, 7)]),
        (f"select empid, \"'JAN'\" + 1 from {SALES} pivot(max(amount) for month in ('JAN')) order by empid",
         [(1, 101), (2, 11), (None, None)]),
        (f"select * from {SALES} pivot(min(amount) for month in ('JAN' as j, 'FEB' as f) default on null (0))"
         " p(e, x, y) order by e", [(1, 50, 200), (2, 10, 0), (None, 0, 0)]),
        (f"select p.J from {SALES} pivot(avg(amount) for month in ('JAN' as j)) p where p.empid = 1", [(75,)]),
        ("select * from (select n_regionkey r, n_nationkey k from nation) pivot(sum(k) for r in (0, 1))",
         [(1, 2)]),
        ("with s as (select n_regionkey as r, n_nationkey as k, 1 as g from nation)"
         " select g, zero from s pivot(sum(k) for r in (0 as zero))", [(1, 1)]),
        ("select * from (select n_regionkey + 1 as r, r * n_nationkey as k from nation) pivot(sum(k) for r in (1, 2))",
         [(1, 4)]),
        (f"select * from {WIDE} unpivot(amount for month in (jan, feb)) order by id, month desc",
         [(1, "JAN", 100), (1, "FEB", 200), (2, "FEB", 400)]),
        (f"select * from {WIDE} unpivot include nulls (amount for month in (jan as 'first', feb as second)) u"
         " where u.id = 2 order by month", [(2, "SECOND", 400), (2, "first", None)]),
    ],
)  # fmt: skip
def test_pivots(context: SessionContext, sql: str, rows: list[tuple[object, ...]]) -> None:
    assert [tuple(map(_plain, row)) for row in rows_of(context, sql)] == rows


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (f"select * from {SALES} pivot(sum(amount) for month in (any))", "PIVOT with values that are not written out"),
        (f"select * from {SALES} pivot(sum(amount) for month in (select 'JAN'))", "values that are not written out"),
        (f"select * from {SALES} pivot(count(amount) for month in ('JAN'))", "other than SUM, AVG, MIN or MAX"),
        (f"select * from {SALES} pivot(sum(amount) for month in ('a', 'A'))", "PIVOT makes two columns 'a'"),
        (f"select * from {SALES} pivot(sum(nothing) for month in ('a'))", "column nothing does not exist"),
        ("select * from nation unpivot(v for n in (n_name, n_nationkey))", "UNPIVOT takes columns of one type"),
        ("select random() as r, r + 1 as s", "r stands for what is another value each time; name it in a subquery"),
        ("select l_orderkey + 1 as b, c * 2 as d, b as c from lineitem", "column c does not exist"),
        ("select o_orderdate::timestamp - o_orderdate from orders", "DATEDIFF(second, b, a) counts seconds"),
        ("select 1 from orders where current_timestamp - o_orderdate::timestamp > interval '1 day'", "DATEDIFF"),
        ("with t as (select o_orderdate::timestamp as x from orders) select max(x) - min(x) from t", "DATEDIFF"),
    ],
)
def test_what_cannot_be_told_is_refused(sql: str, words: str) -> None:
    with pytest.raises(StatementFailedError) as raised:
        compiled(sql)
    assert words in raised.value.message, raised.value.message
    assert "\n" not in raised.value.message


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | None) else float(str(value))
