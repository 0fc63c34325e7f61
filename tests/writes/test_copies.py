"""COPY INTO: files into tables, each once, and rows into files."""

import io
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.writes.conftest import Sql

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="session")]


def put(sql: Sql, name: str, content: bytes) -> str:
    """Write an object of this test; return the place of all of them."""
    objects = sql.account.services.objects
    with objects.open_output(f"in/{sql.schema}/{name}") as stream:
        stream.write(content)
    return f"s3://{objects.bucket}/in/{sql.schema}/"


def text_of(sql: Sql, uri: str) -> list[str]:
    objects = sql.account.services.objects
    found = sorted(u for u, _ in objects.objects_below(uri))
    return [objects.files.open_input_stream(u.removeprefix("s3://")).read().decode() for u in found]


def parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


async def test_csv_is_loaded_once(sql: Sql) -> None:
    await sql("CREATE TABLE t (a INT, b VARCHAR, d DATE)")
    place = put(sql, "one.csv", b'a|b|d\n1|"x|y"|2020-01-01\n2|NULL|\n')
    copy = (
        f"COPY INTO t FROM '{place}' FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 FIELD_DELIMITER = '|' "
        "FIELD_OPTIONALLY_ENCLOSED_BY = '\"' NULL_IF = ('NULL'))"
    )
    assert await sql(copy) == [("LOADED", 1, 2)]
    assert await sql("SELECT * FROM t ORDER BY a") == [(1, "x|y", "2020-01-01"), (2, None, None)]
    assert await sql(copy) == [("Copy executed with 0 files processed.",)]
    put(sql, "two.csv", b"a|b|d\n3|z|\n")
    assert await sql(copy) == [("LOADED", 1, 1)]
    assert await sql(copy + " FORCE = TRUE") == [("LOADED", 2, 3)]
    assert await sql("SELECT COUNT(*) FROM t") == [(6,)]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("JSON", b'{"A": 1, "d": "2020-01-01", "other": 5}\n{"A": 2}\n'),
        ("PARQUET", parquet_bytes(pa.table({"A": [1, 2], "d": ["2020-01-01", None]}))),
    ],
)
async def test_columns_are_matched_by_name(sql: Sql, kind: str, content: bytes) -> None:
    await sql("CREATE TABLE t (a INT, b VARCHAR, d DATE)")
    place = put(sql, "x", content)
    assert await sql(f"COPY INTO t FROM '{place}' FILE_FORMAT = (TYPE = {kind})") == [("LOADED", 1, 2)]
    assert await sql("SELECT * FROM t ORDER BY a") == [(1, None, "2020-01-01"), (2, None, None)]


async def test_some_files_by_name_and_by_pattern(sql: Sql) -> None:
    await sql("CREATE TABLE t (a INT)")
    for n in range(4):
        place = put(sql, f"f{n}.csv", f"{n}\n".encode())
    assert await sql(f"COPY INTO t FROM '{place}' FILES = ('f1.csv', 'f2.csv')") == [("LOADED", 2, 2)]
    assert await sql(f"COPY INTO t FROM '{place}' PATTERN = '.*f[23].csv'") == [("LOADED", 1, 1)]
    assert await sql("SELECT a FROM t ORDER BY a") == [(1,), (2,), (3,)]
    await sql(f"COPY INTO t FROM '{place}' PATTERN = '(?=f).*'", error="unsupported")
    slow = await sql(f"COPY INTO t FROM '{place}' PATTERN = '([a-z0-9:/._-]+)+!'")
    assert slow == [("Copy executed with 0 files processed.",)]


@pytest.mark.parametrize(
    ("content", "options", "error"),
    [
        (b"1\nabc\n", "", "type"),
        (b"1,2\n", "", "corrupt_file"),
        (b"1\n", "FILES = ('missing.csv')", "object_missing"),
        (b"1\n", "FILE_FORMAT = (TYPE = XML)", "unsupported"),
        (b"1\n", "FILE_FORMAT = (TYPE = CSV TRIM_SPACE = TRUE)", "unsupported"),
        (b"1\n", "ON_ERROR = CONTINUE", "unsupported"),
        (b"no parquet", "FILE_FORMAT = (TYPE = PARQUET)", "corrupt_file"),
    ],
)
async def test_what_cannot_be_loaded_loads_nothing(sql: Sql, content: bytes, options: str, error: str) -> None:
    await sql("CREATE TABLE t (a INT)")
    place = put(sql, "x.csv", content)
    await sql(f"COPY INTO t FROM '{place}' {options}", error=error)
    assert await sql("SELECT COUNT(*) FROM t") == [(0,)]
    put(sql, "x.csv", b"7\n")
    assert await sql(f"COPY INTO t FROM '{place}'") == [("LOADED", 1, 1)]


@pytest.mark.parametrize("folder", ["tables", "results/", "exchange/x", "out/../tables", "./tables"])
async def test_nothing_is_unloaded_into_the_accounts_own_folders(sql: Sql, folder: str) -> None:
    place = f"s3://{sql.account.services.objects.bucket}/{folder}"
    await sql(f"COPY INTO '{place}' FROM (SELECT 1 AS a)", error="unsupported" if "." in folder else "access_denied")


async def test_files_are_looked_for_below_their_place(sql: Sql) -> None:
    await sql("CREATE TABLE t (a INT)")
    place = put(sql, "x.csv", b"1\n")
    await sql(f"COPY INTO t FROM '{place}' FILES = ('../{sql.schema}/x.csv')", error="unsupported")


async def test_a_missing_bucket_is_named(sql: Sql) -> None:
    await sql("CREATE TABLE t (a INT)")
    assert "nowhere" in await sql("COPY INTO t FROM 's3://nowhere-at-all/x/'", error="bucket_missing")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("FILE_FORMAT = (TYPE = CSV) HEADER = TRUE", ['"a","b"\n1,"x"\n']),
        ("FILE_FORMAT = (TYPE = JSON)", ['{"a": 1, "b": "x"}\n']),
    ],
)
async def test_rows_are_unloaded(sql: Sql, options: str, expected: Any) -> None:
    await sql("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b")
    place = f"s3://{sql.account.services.objects.bucket}/out/{sql.schema}/"
    ((rows, size, files),) = await sql(f"COPY INTO '{place}' FROM t {options}")
    assert (rows, files, size) == (1, 1, len(expected[0]))
    assert text_of(sql, place) == expected
    await sql(f"COPY INTO '{place}p/' FROM (SELECT a + 1 AS a FROM t) FILE_FORMAT = (TYPE = PARQUET)")
    await sql(f"COPY INTO t FROM '{place}p/' FILE_FORMAT = (TYPE = PARQUET)")
    assert await sql("SELECT a, b FROM t ORDER BY a") == [(1, "x"), (2, None)]
