"""What the engine does not have and the compiler writes in other words: samples, orders, windows, generated rows."""

import pytest
from datafusion import SessionContext

from tests.services.few_rows import engine, rows_of


@pytest.fixture(scope="module")
def context() -> SessionContext:
    return engine()


WINDOW = "over (order by r_comment)"


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (f"select first_value(r_regionkey) ignore nulls {WINDOW} from region", [1, 1, 1, 1, 1, 1]),
        (f"select first_value(r_regionkey ignore nulls) {WINDOW} from region", [1, 1, 1, 1, 1, 1]),
        (f"select first_value(r_regionkey) respect nulls {WINDOW} from region", [None] * 6),
        ("select last_value(r_regionkey) ignore nulls over (partition by r_name order by r_comment)"
         " from region where r_name = 'x'", [2, 2]),
        ("select last_value(r_regionkey) ignore nulls over (order by r_comment rows between unbounded preceding"
         " and current row) from region", [None, 1, 2, 2, 4, 5]),
        (f"select lag(r_regionkey) ignore nulls {WINDOW} from region", [None, None, 1, 2, 2, 4]),
        (f"select lag(r_regionkey, 1, 7) ignore nulls {WINDOW} from region", [7, 7, 1, 2, 2, 4]),
        (f"select lag(r_regionkey) {WINDOW} from region", [None, None, 1, 2, None, 4]),
        (f"select lead(r_regionkey, 2) ignore nulls {WINDOW} from region", [2, 4, 5, 5, None, None]),
        (f"select nth_value(r_regionkey, 2) ignore nulls {WINDOW} from region", [2] * 6),
        (f"select nth_value(r_regionkey, 2) from first {WINDOW} from region", [1] * 6),
        (f"select nth_value(r_regionkey, 2) from last {WINDOW} from region", [4] * 6),
        (f"select nth_value(r_regionkey, 3) from last {WINDOW} from region", [None] * 6),
        (f"select nth_value(r_regionkey, 3) from last ignore nulls {WINDOW} from region", [2] * 6),
        ("select r_regionkey from region order by all", [1, 2, 4, 5, None, None]),
        ("select r_regionkey from region order by all desc nulls last", [5, 4, 2, 1, None, None]),
        ("select r_regionkey from region union select 3 order by all", [1, 2, 3, 4, 5, None]),
        ("select n_nationkey from nation order by 1 offset 1 fetch next 2 rows only", [1, 2]),
        ("select n_nationkey from nation order by 1 fetch first row only", [0]),
        ("select 1 as x from dual", [1]),
        ("select seq4() as x from table(generator(rowcount => 3)) order by 1", [0, 1, 2]),
        ("select sum(seq8() % 2) as x from table(generator(rowcount => 5)) g where seq8() > 0 group by 1 = 1", [2]),
        ("select count(*) from table(generator(rowcount => 2)) a, table(generator(rowcount => 3)) b", [6]),
        ("select array_agg(r_regionkey) within group (order by r_regionkey desc) from region", [[5, 4, 2, 1]]),
        ("select array_agg(distinct r_regionkey) from region where r_regionkey is null", [[]]),
        ("select array_agg(r_regionkey) over (order by r_comment) from region where r_name = 'x'", [None, [2]]),
        ("select count(*) from nation sample (100)", [4]),
        ("select count(*) from nation tablesample bernoulli (0)", [0]),
        ("select count(*) from nation as n sample row (3 rows) where n.n_nationkey >= 0", [3]),
        ("select count(*) from (select * from nation) sample (9 rows)", [4]),
        ("with t as (select * from nation) select count(t.n_nationkey) from t sample (2 rows)", [2]),
        ("select count(*) between 300 and 700 from table(generator(rowcount => 1000)) sample (50)", [True]),
    ],
)  # fmt: skip
def test_answers(context: SessionContext, sql: str, values: list[object]) -> None:
    assert [row[-1] for row in rows_of(context, sql)] == values


@pytest.mark.parametrize(
    ("call", "values"),
    [
        ("substr(n_name, 0, 2)", ["he", "a_", "a.", None]),
        ("substr(n_name, -2)", ["lo", "_b", "\\c", None]),
        ("substr(n_name, -4, 9)", ["ello", "", ".b\\c", None]),
        ("substr('abc', n_nationkey - 2, 1)", ["b", "c", "a", "a"]),
        ("substr('abc', 2, n_nationkey - 1)", ["", "", "b", "bc"]),
        ("substr('abc', n_regionkey)", ["abc", "abc", "abc", None]),
        ("left(n_name, -1)", ["", "", "", None]),
        ("left(n_name, n_nationkey - 1)", ["", "", "a", None]),
        ("right(n_name, n_nationkey - 1)", ["", "", "c", None]),
    ],
)
def test_parts_of_texts(context: SessionContext, call: str, values: list[object]) -> None:
    assert [row[0] for row in rows_of(context, f"select {call} as x from nation order by n_nationkey")] == values
