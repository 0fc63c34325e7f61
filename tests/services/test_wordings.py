"""Functions of Snowflake that the engine calls or does differently: what they answer, NULLs and edges too."""

from datetime import date

import pytest
from datafusion import SessionContext
from firn_services.errors import StatementFailedError

from tests.services.few_rows import engine, rows_of
from tests.services.test_compile import compiled


@pytest.fixture(scope="module")
def context() -> SessionContext:
    return engine()


@pytest.mark.parametrize(
    ("call", "values"),
    [
        ("datediff(year, o_orderdate, '2021-01-01'::date)", [2, 1, 1, None]),
        ("datediff(quarter, o_orderdate, '2020-04-01'::date)", [2, 1, 1, None]),
        ("timestampdiff('month', o_orderdate, '2020-02-01'::date)", [2, 1, 0, None]),
        ("datediff(week, o_orderdate, '2020-01-06'::date)", [2, -3, -7, None]),
        ("datediff(day, o_orderdate, '2020-01-01')", [3, -30, -59, None]),
        ("datediff(hour, o_orderdate, '2019-12-29 01:59:59'::timestamp)", [1, -791, -1487, None]),
        ("dayofweek(o_orderdate)", [0, 5, 6, None]),
        ("dayofweekiso(o_orderdate)", [7, 5, 6, None]),
        ("dayname(o_orderdate)", ["Sun", "Fri", "Sat", None]),
        ("monthname(o_orderdate)", ["Dec", "Jan", "Feb", None]),
        ("week(o_orderdate)", [52, 5, 9, None]),
        ("dayofyear(o_orderdate)", [363, 31, 60, None]),
        ("quarter(o_orderdate) * 100 + month(o_orderdate)", [412, 101, 102, None]),
        ("last_day(o_orderdate)", [date(2019, 12, 31), date(2020, 1, 31), date(2020, 2, 29), None]),
        ("last_day(o_orderdate, 'week')", [date(2019, 12, 29), date(2020, 2, 2), date(2020, 3, 1), None]),
        ("add_months(o_orderdate, 1)", [date(2020, 1, 29), date(2020, 2, 29), date(2020, 3, 31), None]),
        ("add_months(o_orderdate, -12)", [date(2018, 12, 29), date(2019, 1, 31), date(2019, 2, 28), None]),
        ("next_day(o_orderdate, 'su')", [date(2020, 1, 5), date(2020, 2, 2), date(2020, 3, 1), None]),
        ("previous_day(o_orderdate, 'Friday')", [date(2019, 12, 27), date(2020, 1, 24), date(2020, 2, 28), None]),
        ("date_part(epoch_second, o_orderdate)", [1577577600, 1580428800, 1582934400, None]),
        ("date_part('dayofweek_iso', o_orderdate)", [7, 5, 6, None]),
        ("to_char(o_orderdate, 'DY DD-MON-YY')", ["Sun 29-Dec-19", "Fri 31-Jan-20", "Sat 29-Feb-20", None]),
        ("to_varchar(o_orderdate::timestamp, 'YYYY-MM-DD HH24:MI:SS.FF3')",
         ["2019-12-29 00:00:00.000", "2020-01-31 00:00:00.000", "2020-02-29 00:00:00.000", None]),
        ("to_char(o_orderdate)", ["2019-12-29", "2020-01-31", "2020-02-29", None]),
        ("sign(o_totalprice)", [1, 1, -1, None]),
        ("equal_null(o_totalprice, null)", [False, False, False, True]),
        ("width_bucket(o_orderkey, 2, 4, 2)", [0, 1, 2, 3]),
    ],
)  # fmt: skip
def test_of_dates_and_numbers(context: SessionContext, call: str, values: list[object]) -> None:
    assert [row[0] for row in rows_of(context, f"select {call} as x from orders order by o_orderkey")] == values


@pytest.mark.parametrize(
    ("call", "values"),
    [
        ("regexp_like(n_name, 'l')", [False, False, False, None]),
        ("n_name rlike '.*L.*'", [False, False, False, None]),
        ("regexp_like(n_name, 'h.*L.*|a.b', 'i')", [True, True, False, None]),
        ("regexp_substr(n_name, '[a-l]+')", ["hell", "a", "a", None]),
        ("regexp_substr(n_name, 'L+', 1, 1, 'i')", ["ll", None, None, None]),
        ("regexp_count(n_name, 'l')", [2, 0, 0, None]),
        ("regexp_replace(n_name, 'l', '<>')", ["he<><>o", "a_b", "a.b\\c", None]),
        ("regexp_replace(n_name, '(L)', '[\\\\1]', 1, 1, 'i')", ["he[l]lo", "a_b", "a.b\\c", None]),
        ("n_name like 'a_b%'", [False, True, True, None]),
        ("n_name like 'a^_b' escape '^'", [False, True, False, None]),
        ("n_name like '%\\\\_'", [False, False, True, None]),
        ("n_name like n_name", [True, True, True, None]),
        ("n_name like any ('h%', '%^_b') escape '^'", [True, True, False, None]),
        ("n_name not like all ('%b%', 'a%')", [True, False, False, None]),
        ("n_name ilike any ('H%', null)", [True, None, None, None]),
        ("split_part(n_name, '.', 0)", ["hello", "a_b", "a", None]),
        ("split_part(n_name, '.', -1)", ["hello", "a_b", "b\\c", None]),
        ("split_part(n_name, '.', n_nationkey)", ["hello", "a_b", "b\\c", None]),
        ("initcap(n_name || ' o''neil')", ["Hello O'neil", "A_B O'neil", "A.B\\C O'neil", None]),
    ],
)  # fmt: skip
def test_of_texts(context: SessionContext, call: str, values: list[object]) -> None:
    assert [row[0] for row in rows_of(context, f"select {call} as x from nation order by n_nationkey")] == values


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("select to_date('01/02/2020', 'MM/DD/YYYY') as x", [date(2020, 1, 2)]),
        ("select to_timestamp('02.01.2020 3:04', 'DD.MM.YYYY HH24:MI')::varchar as x", ["2020-01-02T03:04:00"]),
        ("select max_by(o_orderkey, o_totalprice) + min_by(o_orderkey, o_totalprice) as x from orders", [5]),
        ("select o_orderkey as x from orders where o_totalprice > 0"
         " qualify ratio_to_report(o_totalprice) over () > 0.5", [2]),
        ("select ratio_to_report(o_totalprice) over () as x from orders", [None] * 4),
        ("select uniform(1, 3, random()) between 1 and 3 and uniform(0.5, 1, random()) between 0.5 and 1 as x", [True]),
        ("select listagg(n_nationkey) within group (order by n_nationkey) as x from nation", ["0123"]),
        ("select listagg(n_nationkey, ',') within group (order by n_nationkey desc) as x from nation", ["3,2,1,0"]),
        ("select to_number('12.5') + try_to_number('x', 10, 2) is null as x", [True]),
        ("select to_decimal('12.345', 10, 2)::varchar as x", ["12.35"]),
        ("select length(sha2('a')) + length(sha2('a', 512)) as x", [64 + 128]),
        ("select corr(n_nationkey, 1) as x from nation", [None]),
        ("select abs(random()) > 1 as x", [True]),
        ("select current_database() || '.' || current_schema() as x from nation where n_nationkey = 1", ["TPCH.SF1"]),
        ("select current_user() is null or current_warehouse() is null as x from nation limit 1", [True]),
        ("select dateadd(day, 1, current_timestamp(3)) > sysdate() and getdate() > current_date() as x", [True]),
        ("select current_date() = sysdate()::date and current_time() is not null as x", [True]),
        ("select try_cast(n_name || n_nationkey as int) as x from nation order by n_nationkey", [None] * 4),
        ("select try_cast('1.5' as int) - try_cast('-2.5' as int) * 10 as x", [32]),
        ("select try_cast('1e3' as int) + try_cast('7' as int) as x", [1007]),
        ("select try_cast('1e30' as int) as x", [None]),
        ("select try_cast(n_nationkey || '.5e1' as int) as x from nation order by 1", [5, 15, 25, 35]),
        ("select cast('1.5' as int) + '2.4'::int + ' 3 '::int as x", [7]),
        ("select (n_nationkey || '.5')::int as x from nation order by 1", [1, 2, 3, 4]),
        ("select charindex('l', 'hello', 0) * 100 + charindex('l', 'hello', -3) * 10 + charindex('l', 'hello', 4) as x",
         [334]),
        ("select charindex('l', n_name, n_nationkey - 1) as x from nation order by n_nationkey", [3, 0, 0, None]),
        ("select position('z', 'hello', 9) + position('h' in 'hello') as x", [1]),
        ("select count_if((n_nationkey > 1) = 'false') as x from nation", [2]),
    ],
)  # fmt: skip
def test_of_rows(context: SessionContext, sql: str, values: list[object]) -> None:
    assert [row[0] for row in rows_of(context, sql)] == values


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select to_char(12.5, '99.9')", "TO_CHAR with the format 99.9 is not supported"),
        ("select to_char(o_orderdate, 'YYYY WW') from orders", "TO_CHAR with the format YYYY WW is not supported"),
        ("select try_to_date('x', 'YYYY')", "TRY_TO_DATE and TRY_TO_TIMESTAMP with a format are not supported"),
        ("select datediff(nanosecond, o_orderdate, o_orderdate) from orders", "DATEDIFF in NANOSECOND"),
        ("select date_part(nanosecond, o_orderdate) from orders", "the part NANOSECOND"),
        ("select max_by(o_orderkey, o_totalprice, 2) from orders", "ARG_MAX with count 2"),
        ("select regexp_substr('abc', '(a)(b)', 1, 1, 'e', 2)", "REGEXP_SUBSTR of more than the first whole match"),
        ("select regexp_replace('abc', 'a', 'b', 2)", "REGEXP_REPLACE from another position"),
        ("select random(3)", "RANDOM with a seed"),
        ("select add_months(o_orderdate, o_orderkey) from orders", "ADD_MONTHS of what is no whole number"),
        ("select current_role()", "CURRENT_ROLE() is not supported"),
        ("select current_timestamp(2)", "CURRENT_TIMESTAMP has 0, 3, 6 or 9 digits of a second"),
        ("select object_construct('a', 1)", "OBJECT_CONSTRUCT is not supported"),
        ("select foo(1)", "function foo does not exist"),
        ("select countt(1)", "function countt does not exist; did you mean count?"),
    ],
)
def test_what_is_not_done_is_refused_in_one_sentence(sql: str, words: str) -> None:
    with pytest.raises(StatementFailedError) as raised:
        compiled(sql)
    assert words in raised.value.message
    assert "\n" not in raised.value.message
    assert len(raised.value.message) < 140
