"""One statement as both engines read it: in Snowflake's SQL for Firn, in DuckDB's for the right answer."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import sqlglot
from firn_local.answers import Answer, Row, difference
from firn_local.cache import Cache
from firn_local.tpch import as_answer
from sqlglot import exp

from tests.verify.dataset import Dataset
from tests.verify.differences import QUOTIENTS, RELATIVE


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement. One with an order is in a total one: all its columns break ties."""

    name: str
    firn: str
    duckdb: str
    is_ordered: bool


def benchmark_statement(name: str, spark: str, connection: duckdb.DuckDBPyConnection) -> Statement:
    """Return a benchmark's statement, whose text is in Spark's dialect.

    Its order is made total by its other columns, so that what a LIMIT leaves out is the same everywhere.
    """
    tree = sqlglot.parse_one(spark, read="spark")
    # Snowflake's order of NULL, not Spark's: it is what the statement means to its users here.
    for key in tree.find_all(exp.Ordered):
        key.set("nulls_first", bool(key.args.get("desc")))
    order = tree.args.get("order")
    if order is not None:
        columns = len(connection.sql(tree.sql(dialect="duckdb")).columns)
        order.set("expressions", [*order.expressions, *(_place(number) for number in range(1, columns + 1))])
    return Statement(name, tree.sql(dialect="snowflake"), tree.sql(dialect="duckdb"), order is not None)


def _place(number: int) -> exp.Expr:
    return exp.Ordered(this=exp.Literal.number(number), nulls_first=False)


def right_answer(statement: Statement, dataset: Dataset, cache: Cache) -> Answer:
    """Return DuckDB's answer, found once."""
    text = f"{duckdb.__version__}\n{dataset.key}\n{statement.duckdb}"
    key = f"{dataset.key}-{statement.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def solve(folder: Path) -> None:
        with dataset.duckdb() as connection:
            found = connection.sql(statement.duckdb).to_arrow_table()
        pq.write_table(found.rename_columns(_places(found.num_columns)), folder / "answer.parquet")

    return as_answer(pq.read_table(cache.get("verify-answers", key, solve) / "answer.parquet"))


def compared(statement: Statement, right: Answer, actual: Answer) -> str | None:
    """Return the first difference in words. Columns go by their places: engines name expressions differently."""
    if len(right.names) != len(actual.names):
        return f"{len(actual.names)} columns; expected {len(right.names)}"
    places = _places(len(right.names))
    left, other = replace(right, names=places), replace(actual, names=places)
    if statement.name in QUOTIENTS:
        other = replace(other, rows=_near(left.rows, other.rows))
    return difference(left, other, places if statement.is_ordered else ())


def _near(right: Sequence[Row], actual: Sequence[Row]) -> tuple[Row, ...]:
    """Return rows in which a number that is nearly the right one is that."""
    if len(right) != len(actual):
        return tuple(actual)
    return tuple(
        tuple(a if _is_near(a, b) else b for a, b in zip(one, other, strict=True))
        for one, other in zip(right, actual, strict=True)
    )


def _is_near(right: object, actual: object) -> bool:
    numbers = isinstance(right, float | Decimal) and isinstance(actual, float | Decimal)
    return numbers and math.isclose(float(right), float(actual), rel_tol=RELATIVE)  # type: ignore[arg-type]


def _places(count: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(1, count + 1))
