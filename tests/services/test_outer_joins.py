"""Above an outer join a column with one value, or none, is no constant to the engine: rows are sorted and grouped."""

import itertools

import pyarrow as pa
import pytest
from datafusion import SessionConfig, SessionContext

from tests.services.fake_catalog import FakeCatalog
from tests.services.few_rows import rows_of
from tests.services.test_compile import written

ROWS = 30_000
"""More than the engine takes at a time."""
FILLED = {"PART": ROWS, "PARTSUPP": ROWS // 3}
KEYED = "(SELECT ps_partkey AS k, 1 AS flag FROM partsupp)"
FIXED = "partsupp ON p_partkey = ps_partkey AND ps_availqty = 5"
ALL = "SELECT * FROM part LEFT JOIN {} x ON p_partkey = k"


@pytest.fixture(scope="module")
def engine() -> SessionContext:
    """An engine with as many parts as ROWS, each third of them in partsupp."""
    context = SessionContext(SessionConfig().with_target_partitions(1))
    catalog = FakeCatalog()
    for name in catalog.tables():
        schema = catalog.load(name).schema
        values = {
            column: pa.nulls(FILLED.get(name.name, 0), kind)
            for column, kind in zip(schema.names, schema.types, strict=True)
        }
        if name.name == "PART":
            values["p_partkey"] = pa.array(range(ROWS), pa.int64())
        if name.name == "PARTSUPP":
            values["ps_partkey"] = pa.array(range(0, ROWS, 3), pa.int64())
            values["ps_availqty"] = pa.array([5] * FILLED["PARTSUPP"], pa.int64())
        context.from_arrow(pa.table(values, schema=schema), f"tpch_sf1_{name.name.lower()}")
    return context


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT flag, COUNT(*) AS n FROM part LEFT JOIN {KEYED} x ON p_partkey = x.k GROUP BY flag ORDER BY n",
        f"SELECT flag, COUNT(*) AS n FROM ({ALL.format(KEYED)}) GROUP BY flag ORDER BY 2",
        f"SELECT x.flag, COUNT(*) AS n FROM {KEYED} x RIGHT JOIN part ON p_partkey = x.k GROUP BY 1 ORDER BY 2",
        f"SELECT flag, COUNT(*) AS n FROM part FULL JOIN {KEYED} x ON p_partkey = x.k GROUP BY flag ORDER BY n",
        f"WITH w AS ({ALL.format(KEYED)}) SELECT flag, COUNT(*) FROM w GROUP BY flag ORDER BY 2",
    ],
)
def test_groups_are_whole(engine: SessionContext, sql: str) -> None:
    assert rows_of(engine, sql) == [(1, ROWS // 3), (None, ROWS - ROWS // 3)]


def test_distinct_is_distinct(engine: SessionContext) -> None:
    assert rows_of(engine, f"SELECT DISTINCT ps_availqty AS q FROM part LEFT JOIN {FIXED} ORDER BY q") == [
        (5,),
        (None,),
    ]


def test_rows_are_in_order(engine: SessionContext) -> None:
    found = rows_of(
        engine, f"SELECT ps_availqty, p_partkey FROM part LEFT JOIN {FIXED} ORDER BY ps_availqty, p_partkey"
    )
    assert found == sorted(found, key=lambda row: (row[0] is None, row[1]))


def test_totals_that_match_nothing_are_in_order(engine: SessionContext) -> None:
    total = "(SELECT MAX(ps_partkey) AS highest FROM partsupp) x"
    found = rows_of(
        engine, f"SELECT highest, p_partkey FROM part LEFT JOIN {total} ON p_partkey = highest ORDER BY 1, 2"
    )
    assert found[:2] == [(ROWS - 3, ROWS - 3), (None, 0)]


def test_windows_keep_partitions_apart(engine: SessionContext) -> None:
    window = "ROW_NUMBER() OVER (PARTITION BY ps_availqty ORDER BY p_partkey)"
    found = rows_of(engine, f"SELECT p_partkey, ps_availqty, {window} FROM part LEFT JOIN {FIXED} ORDER BY 1")
    places = itertools.groupby(sorted(found, key=lambda row: row[1] is None), key=lambda row: row[1])
    assert all([row[2] for row in group] == list(range(1, len(group) + 1)) for group in (list(g) for _, g in places))


def test_what_needs_no_copy_has_none() -> None:
    plain = [
        "SELECT p_name, COUNT(ps_availqty) FROM part LEFT JOIN partsupp ON p_partkey = ps_partkey GROUP BY p_name",
        f"SELECT ps_availqty FROM part LEFT JOIN {FIXED}",
        "SELECT ps_availqty FROM part JOIN partsupp ON p_partkey = ps_partkey AND ps_availqty = 5 ORDER BY 1",
        "SELECT ps_suppkey FROM part LEFT JOIN partsupp ON p_partkey = ps_partkey ORDER BY 1",
    ]
    for sql in plain:
        assert "RANDOM" not in written(sql), sql
