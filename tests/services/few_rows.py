"""TPC-H's smallest tables with a few rows, in an engine: what a statement of Snowflake's SQL answers there."""

from datetime import date

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from tests.services.fake_catalog import FakeCatalog
from tests.services.test_compile import written

ROWS: dict[str, dict[str, list[object]]] = {
    "region": {
        "r_regionkey": [None, 1, 2, None, 4, 5],
        "r_name": ["x", "y", "x", "y", None, "y"],
        "r_comment": ["a", "b", "c", "d", "e", "f"],
    },
    "nation": {"n_nationkey": [0, 1, 2, 3], "n_name": ["hello", "a_b", "a.b\\c", None], "n_regionkey": [0, 0, 1, None]},
    "orders": {
        "o_orderkey": [1, 2, 3, 4],
        "o_orderdate": [date(2019, 12, 29), date(2020, 1, 31), date(2020, 2, 29), None],
        "o_totalprice": [1, 2, -3, None],
    },
}


def engine() -> SessionContext:
    """Return an engine with the rows; the other tables are empty."""
    context, catalog = SessionContext(SessionConfig().with_target_partitions(1)), FakeCatalog()
    for name in catalog.tables():
        schema = catalog.load(name).schema
        rows = ROWS.get(name.name.lower(), {})
        count = len(next(iter(rows.values()), []))
        columns = [pa.array(rows.get(field.name, [None] * count), field.type) for field in schema]
        context.from_arrow(pa.Table.from_arrays(columns, schema=schema), f"tpch_sf1_{name.name.lower()}")
    return context


def rows_of(context: SessionContext, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of an answer."""
    return [tuple(row.values()) for row in context.sql(written(sql)).to_arrow_table().to_pylist()]
