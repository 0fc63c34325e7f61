"""Small tables with all kinds of columns, NULLs and ties, for random statements: made from a seed, some rows a file."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from tests.verify.dataset import Dataset
from tests.verify.expressions import Kind

_ALL = (
    ("k", Kind.INTEGER),
    ("a", Kind.INTEGER),
    ("b", Kind.INTEGER),
    ("n", Kind.DECIMAL),
    ("x", Kind.FLOAT),
    ("s", Kind.TEXT),
    ("t", Kind.TEXT),
    ("d", Kind.DATE),
    ("f", Kind.TRUTH),
)
COLUMNS = {"t1": _ALL, "t2": _ALL, "t3": _ALL[:1] + _ALL[2:4] + _ALL[5:6], "t4": _ALL[:6]}
"""Columns by table; the first, a number without NULL, tells its rows apart."""
ROWS = {"t1": (40, 40, 17), "t2": (25, 30), "t3": (7,), "t4": (0,)}
"""Rows of each file."""
TYPES = {
    Kind.INTEGER: pa.int64(),
    Kind.DECIMAL: pa.decimal128(10, 2),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.DATE: pa.date32(),
    Kind.TRUTH: pa.bool_(),
}
_TEXTS = ("", "a", "A", "ab", "b ", " é", "z%", "o'x", "10", "x_y", "éab")
_NULL_SHARE = 0.15


def write(folder: Path, seed: int = 7) -> Dataset:
    """Write the tables into a folder."""
    random = Random(seed)
    for table, parts in ROWS.items():
        (folder / table).mkdir(parents=True)
        first = 0
        for number, rows in enumerate(parts):
            columns = [_column(random, name, kind, first, rows) for name, kind in COLUMNS[table]]
            names = [name for name, _ in COLUMNS[table]]
            pq.write_table(pa.table(columns, names=names), folder / table / f"{number}.parquet")
            first += rows
    return Dataset.of_folder(f"small-{seed}", folder)


def _column(random: Random, name: str, kind: Kind, first: int, rows: int) -> pa.Array:
    if name == "k":
        return pa.array(range(first, first + rows), TYPES[kind])
    values = [None if random.random() < _NULL_SHARE else _value(random, kind) for _ in range(rows)]
    return pa.array(values, TYPES[kind])


def _value(random: Random, kind: Kind) -> object:
    match kind:
        case Kind.INTEGER:
            return random.randint(-5, 20)
        case Kind.DECIMAL:
            return Decimal(random.randint(-500, 2000)).scaleb(-2)
        case Kind.FLOAT:
            return random.randint(-20, 40) / 4
        case Kind.TEXT:
            return random.choice(_TEXTS)
        case Kind.DATE:
            return date(2020, 2, 28) + timedelta(days=random.randint(-40, 40))
        case Kind.TRUTH:
            return random.random() < 0.5
