"""Nothing is left out of a statement without a word: what is not done is refused, in a sentence, with its place."""

import pytest
from firn_services.errors import StatementFailedError

from tests.services.test_compile import compiled


@pytest.mark.parametrize(
    ("sql", "column", "words"),
    [
        ("select n_name from nation start with n_nationkey = 1 connect by prior n_nationkey = 2", 54, "CONNECT BY"),
        ("select n_name from nation for update", 27, "FOR UPDATE"),
        ("select * ilike '%a%' from nation", 10, "ILIKE behind *"),
        ("select * rename n_name as z from nation", 10, "RENAME behind *"),
        ("select * from nation match_recognize (order by n_name pattern (s+) define s as n_name > 1)", 22, "MATCH"),
        ("select * from nation asof join region match_condition(n_nationkey >= r_regionkey)", 22, "ASOF JOIN"),
        ("select n_name from nation, region where n_regionkey = r_regionkey (+)", 55, "outer join sign (+)"),
        ("select n_name from nation where n_nationkey between symmetric 3 and 1", 45, "BETWEEN SYMMETRIC"),
        ("select 1 from nation limit 5 percent", 22, "LIMIT with PERCENT"),
        ("select 1 from nation fetch first 3 rows with ties", None, "FETCH with PERCENT or WITH TIES"),
        ("select * from nation sample (10) seed (3)", None, "SAMPLE with SEED or REPEATABLE"),
        ("select * from nation sample (101)", None, "from 0 to 100, not 101"),
        ("select * from nation order by all", None, "ORDER BY ALL with *"),
        ("select sum(n_nationkey) ignore nulls over () from nation", 25, "IGNORE NULLS of this function"),
        ("select nth_value(n_name, n_nationkey) from last over (order by n_name) from nation", 8, "FROM LAST"),
        ("select sum(n_nationkey) over (order by 1 rows 1 preceding exclude current row) from nation", 59, "EXCLUDE"),
        ("select $1 from nation", None, "a column by its place ($1)"),
        ("select * from table(flatten(input => array_construct(1, 2)))", 21, "FLATTEN"),
        ("select * from nation, lateral flatten(input => n_name) f", 31, "FLATTEN"),
        ("select parse_json('{}'):a", None, "VARIANT"),
        ("select seq4() from nation", None, "SEQ4() is only supported over TABLE(GENERATOR"),
        ("select round(2.5, 0, 'HALF_TO_EVEN')", 8, "ROUND with truncate 'HALF_TO_EVEN'"),
        ("delete from nation using (select * from region sample (3)) r where n_nationkey = 1", 48, "SAMPLE in DELETE"),
        ("update nation set n_name = 'a' where n_name in (select 'a' from region sample (3))", 72, "SAMPLE in UPDATE"),
    ],
)  # fmt: skip
def test_what_would_be_left_out_is_refused(sql: str, column: int | None, words: str) -> None:
    with pytest.raises(StatementFailedError) as raised:
        compiled(sql)
    found = raised.value
    assert words in found.message
    assert (found.code, found.column) == ("unsupported", column), found.message
    assert len(found.message) < 160
