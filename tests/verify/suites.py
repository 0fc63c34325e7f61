"""The suites: statements with their right answers, over one dataset each."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
from firn_local.answers import Answer
from firn_local.cache import Cache
from firn_local.tpch import QUERIES, Tpch

from tests.verify import small_tables
from tests.verify.dataset import Dataset, solve
from tests.verify.random_statements import random_statement, with_equal_rows_counted
from tests.verify.statements import Statement, benchmark_statement, right_answer
from tests.verify.tpcds import Tpcds

_MOST_ROWS = 5000
"""Of a random statement's answer: joins of joins have millions."""


class UnansweredError(Exception):
    """DuckDB fails at a statement by a fault of its own, or its answer is too large to compare."""


@dataclass(frozen=True)
class Suite:
    """A dataset and its statements by name."""

    name: str
    dataset: Dataset
    names: tuple[str, ...]
    statement: Callable[[str], tuple[Statement, Answer]]


def tpch(made: Cache, scale: str) -> Suite:
    """Return TPC-H's 22 statements."""
    source = Tpch(made, scale)
    dataset = Dataset.of_folder(f"tpch-sf{scale}", source.data)
    texts = {f"h{number}": source.queries[number] for number in QUERIES}
    return _benchmark("TPC-H", scale, dataset, texts, made)


def tpcds(made: Cache, scale: str) -> Suite:
    """Return TPC-DS's 99 statements, four of them in two variants."""
    source = Tpcds(made, scale)
    return _benchmark("TPC-DS", scale, source.dataset, source.statements, made)


def random(seed: int, count: int) -> Suite:
    """Return so many random statements from a seed on."""
    dataset = small_tables.write(Path(tempfile.mkdtemp(prefix="firn-small-")))
    connections = [dataset.duckdb(threads=1, kind="TABLE")]

    def statement(name: str) -> tuple[Statement, Answer]:
        found = random_statement(int(name))
        try:
            for each in (found, with_equal_rows_counted(found)):
                if (right := solve(connections[-1], each.duckdb, _MOST_ROWS)) is not None:
                    return each, right
            raise UnansweredError("too many rows")
        except duckdb.Error as error:
            connections.append(dataset.duckdb(threads=1, kind="TABLE"))  # one that failed within answers no more
            raise UnansweredError(str(error).partition("\n")[0]) from error

    return Suite("random", dataset, tuple(str(number) for number in range(seed, seed + count)), statement)


def _benchmark(name: str, scale: str, dataset: Dataset, texts: dict[str, str], made: Cache) -> Suite:
    connection = dataset.duckdb()

    @cache
    def statement(which: str) -> tuple[Statement, Answer]:
        found = benchmark_statement(which, texts[which], connection)
        return found, right_answer(found, dataset, made)

    return Suite(f"{name} at scale {scale}", dataset, tuple(texts), statement)
