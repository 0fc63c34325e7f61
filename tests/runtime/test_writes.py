"""Writing files on a real node into a real S3 server: right rows, sizes, statistics; nothing left of what fails."""

import asyncio
import base64
import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from firn_model.frames import FrameReader
from firn_model.messages import Cancel, Finish, ObjectStoreAccess
from firn_model.statements import StatementError
from firn_model.writes import FileFormat, TextOptions, WriteTarget, WrittenFile
from firn_runtime.errors import StatementFailedError
from firn_runtime.writing.writes import ROW_GROUP_BYTES, write_partition
from pyiceberg.conversions import from_bytes
from pyiceberg.types import DateType, DecimalType, LongType, StringType, TimestampType

from tests.runtime.conftest import Lake, Node, answer_of
from tests.s3 import ACCESS_KEY, SECRET_KEY

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="module")]


def target(schema: pa.Schema, folder: str = "out", **changes: Any) -> WriteTarget:
    ipc = base64.b64encode(schema.serialize().to_pybytes()).decode()
    return WriteTarget(location=f"s3://lake/{folder}", name="s-1", schema_ipc_base64=ipc, **changes)


def access(lake: Lake, **changes: str) -> ObjectStoreAccess:
    fields = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, **changes}
    return ObjectStoreAccess(endpoint=lake.endpoint, **fields)


def path(lake: Lake, file: WrittenFile) -> Path:
    return lake.root / file.uri.removeprefix("s3://")


NUMBERS = pa.schema([("n", pa.int64()), ("text", pa.string())])


async def test_statistics_are_what_iceberg_reads(lake: Lake) -> None:
    schema = pa.schema(
        [
            ("n", pa.int64()),
            ("d", pa.date32()),
            ("p", pa.decimal128(20, 2)),
            ("t", pa.timestamp("us")),
            ("s", pa.string()),
        ]
    )
    day, moment = datetime.date(1969, 12, 30), datetime.datetime.fromisoformat("2001-02-03T04:05:06.000007")
    rows = [
        {"n": -5, "d": day, "p": decimal.Decimal("-1234567890123.45"), "t": moment, "s": "a" * 100},
        {"n": 7, "d": datetime.date(2020, 1, 1), "p": decimal.Decimal("1.28"), "t": None, "s": "z" * 100},
    ]
    (file,) = write_partition([pa.RecordBatch.from_pylist(rows, schema)], target(schema, "bounds"), access(lake), "0")
    kinds = {"n": LongType(), "d": DateType(), "p": DecimalType(20, 2), "t": TimestampType(), "s": StringType()}
    found = {
        c.name: tuple(from_bytes(kinds[c.name], base64.b64decode(b or "")) for b in (c.lower, c.upper))
        for c in file.columns
    }
    micros = int(moment.replace(tzinfo=datetime.UTC).timestamp()) * 1_000_000 + moment.microsecond
    assert found["n"] == (-5, 7)
    assert found["d"] == (-2, 18262)
    assert found["p"] == (decimal.Decimal("-1234567890123.45"), decimal.Decimal("1.28"))
    assert found["t"] == (micros, micros)
    assert found["s"] == ("a" * 64, "z" * 63 + "{")
    assert {c.name: c.nulls for c in file.columns} == {"n": 0, "d": 0, "p": 0, "t": 1, "s": 0}
    assert (file.rows, file.size_bytes) == (2, path(lake, file).stat().st_size)


async def test_files_end_at_their_size_and_hold_every_row_once(lake: Lake) -> None:
    step = ROW_GROUP_BYTES // 8
    batches = [pa.RecordBatch.from_arrays([pa.array(range(i, i + step))], ["n"]) for i in range(0, 3 * step, step)]
    files = write_partition(
        batches, target(pa.schema([("n", pa.int64())]), "sized", target_file_bytes=1), access(lake), "0"
    )
    assert [file.rows for file in files] == [step] * 3
    found = sorted(n for file in files for n in pq.read_table(path(lake, file))["n"].to_pylist())
    assert found == list(range(3 * step))


@pytest.mark.parametrize(
    ("bucket", "changes", "error"),
    [
        ("nowhere", {}, StatementError.BUCKET_MISSING),
        ("lake", {"secret_access_key": "wrong"}, StatementError.ACCESS_DENIED),
        ("lake", {"access_key_id": "nobody"}, StatementError.ACCESS_DENIED),
    ],
)
async def test_each_fault_of_the_store_is_a_distinct_error(
    lake: Lake, bucket: str, changes: dict[str, str], error: StatementError
) -> None:
    made = target(NUMBERS).model_copy(update={"location": f"s3://{bucket}/x"})
    batch = pa.RecordBatch.from_pydict({"n": [1], "text": ["a"]}, NUMBERS)
    with pytest.raises(StatementFailedError) as raised:
        write_partition([batch], made, access(lake, **changes), "0")
    assert raised.value.error is error, raised.value.message


async def test_a_null_for_a_required_column_fails_and_leaves_nothing(lake: Lake) -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    batches = [pa.RecordBatch.from_pydict({"n": [1, None]})]
    with pytest.raises(StatementFailedError, match="NOT NULL") as raised:
        write_partition(batches, target(schema, "required"), access(lake), "0")
    assert raised.value.error is StatementError.CONSTRAINT
    assert not list((lake.root / "lake/required").glob("**/*.parquet"))


async def test_a_statement_writes_its_rows_and_answers_with_its_files(node: Node, lake: Lake) -> None:
    sql = "SELECT l_orderkey AS n, l_comment AS text FROM lineitem"
    answer = await node.run(sql, lake.tables("lineitem"), write=target(NUMBERS, "whole", sort_by=("n",)))
    assert isinstance(answer.last, Finish), answer.last
    files = answer.last.written
    table = pa.concat_tables(pq.read_table(path(lake, file)) for file in files)
    source = pq.ParquetDataset(lake.root / "lake/tpch/lineitem").read(["l_orderkey"])
    assert table["n"].to_pylist() == sorted(source["l_orderkey"].to_pylist())
    used = answer.statistics
    assert (used.rows_written, used.bytes_written) == (table.num_rows, sum(file.size_bytes for file in files))
    assert used.rows_produced == 0


async def test_small_partitions_share_a_file_and_no_rows_make_none(node: Node, lake: Lake) -> None:
    sql = "SELECT l_orderkey AS n, '' AS text FROM lineitem WHERE l_orderkey < {}"
    some = await node.run(sql.format(50), lake.tables("lineitem"), write=target(NUMBERS, "small"))
    none = await node.run(sql.format(0), lake.tables("lineitem"), write=target(NUMBERS, "none"))
    assert isinstance(some.last, Finish)
    assert isinstance(none.last, Finish)
    assert [len(last.written) for last in (some.last, none.last)] == [1, 0]


async def test_a_row_that_fails_late_fails_the_write_and_leaves_no_file(node: Node, lake: Lake) -> None:
    sql = "SELECT 1 / (l_orderkey - 60000) AS n, l_comment AS text FROM lineitem"
    answer = await node.run(sql, lake.tables("lineitem"), write=target(NUMBERS, "late", target_file_bytes=1))
    assert answer.failure.error is StatementError.ARITHMETIC
    assert not list((lake.root / "lake/late").glob("**/*.parquet"))
    assert (await node.run("SELECT 1 AS one")).rows == [{"one": 1}]


async def test_a_cancelled_write_ends_and_leaves_no_file(node: Node, lake: Lake) -> None:
    sql = "SELECT a.l_orderkey AS n, b.l_comment AS text FROM lineitem a, lineitem b"
    dispatch = node.dispatch(sql, lake.tables("lineitem"), write=target(NUMBERS, "stopped", target_file_bytes=1))
    running = asyncio.ensure_future(node.post("/statements", dispatch))
    while not list((lake.root / "lake/stopped").glob("**/*.parquet")):
        await asyncio.sleep(0.02)
    await node.post("/cancel", Cancel(**node.common(), statement_id=dispatch.statement_id))
    _, body = await running
    assert answer_of(FrameReader().feed(body)).failure.error is StatementError.CANCELLED
    assert not list((lake.root / "lake/stopped").glob("**/*.parquet"))


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ({"format": FileFormat.CSV, "text": TextOptions(header=True)}, "s-1-rest-00000.csv", '"n","text"\n1,"a"\n2,\n'),
        ({"format": FileFormat.JSON}, "s-1-rest-00000.json", '{"n": 1, "text": "a"}\n{"n": 2}\n'),
        ({"format": FileFormat.JSON, "single": True}, "s-1", '{"n": 1, "text": "a"}\n{"n": 2}\n'),
    ],
)
async def test_text_files(node: Node, lake: Lake, options: dict[str, Any], name: str, expected: str) -> None:
    sql = "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS v(n, text)"
    answer = await node.run(sql, write=target(NUMBERS, "text", **options))
    assert isinstance(answer.last, Finish), answer.last
    (file,) = answer.last.written
    assert file.uri == f"s3://lake/text/{name}"
    assert path(lake, file).read_text() == expected
    assert (file.rows, file.size_bytes) == (2, len(expected))
