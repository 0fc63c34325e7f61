"""What is written is in the writing node's cache, as long as it is in the object store."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from firn_model.messages import DataFile, ObjectStoreAccess, TableSnapshot
from firn_model.writes import WrittenFile
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.local_copy import LocalCopy
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.operators import readings
from firn_runtime.engine.stage import Stage
from firn_runtime.writing.writes import ROW_GROUP_ROWS, object_store, write_partition

from tests.runtime.conftest import Lake
from tests.runtime.test_writes import NUMBERS, access, target

pytestmark = pytest.mark.component
CAPACITY = 64 << 20
SUMS = "SELECT count(*) AS c, sum(n) AS s, max(text) AS t FROM t"


class Writer:
    """An engine with its cache."""

    def __init__(self, folder: Path, lake: Lake, disk_bytes: int = CAPACITY) -> None:
        self.folder = folder
        self.lake = lake
        self.cache = FileCache(folder / "cache", disk_bytes)
        self.engine = Engine(2, 1 << 30, folder / "spill", self.cache)

    async def write(self, folder: str, **changes: Any) -> tuple[WrittenFile, ...]:
        """Write the numbers of lineitem's orders."""
        stage = Stage(
            statement_id="w",
            sql="SELECT l_orderkey AS n, l_comment AS text FROM lineitem",
            tables=self.lake.tables("lineitem"),
            object_store=access(self.lake),
            write=target(NUMBERS, folder, **changes),
        )
        query = await asyncio.to_thread(self.engine.start, stage)
        assert stage.write is not None
        await self.engine.write(query, stage.write)
        query.lease.close()
        return query.written

    async def sums(self, files: tuple[WrittenFile, ...], store: ObjectStoreAccess) -> tuple[dict[str, Any], int]:
        """Return sums over files, and how many bytes of them came from the object store."""
        schema = target(NUMBERS).schema_ipc_base64
        found = tuple(DataFile(uri=file.uri, size_bytes=file.size_bytes, rows=file.rows) for file in files)
        table = TableSnapshot(name="t", schema_ipc_base64=schema, files=found)
        stage = Stage(statement_id="r", sql=SUMS, tables=(table,), object_store=store)
        query = await asyncio.to_thread(self.engine.start, stage)
        (row,) = [row async for batch in self.engine.batches(query) for row in batch.to_pylist()]
        used = query.statistics(tuple(readings(query.plan)), 0)
        query.lease.close()
        return row, used.bytes_from_object_store

    @property
    def copies(self) -> list[Path]:
        return list((self.folder / "written").glob("*"))


@pytest.fixture
def writer(tmp_path: Path, lake: Lake) -> Iterator[Writer]:
    made = Writer(tmp_path, lake)
    yield made
    made.cache.close()


def files_then(error: Exception | None) -> Iterator[pa.RecordBatch]:
    """Yield rows of two files, then fail."""
    batch = pa.RecordBatch.from_pydict(
        {"n": range(ROW_GROUP_ROWS), "text": pa.nulls(ROW_GROUP_ROWS, pa.string())}, schema=NUMBERS
    )
    yield batch
    yield batch
    if error is not None:
        raise error


async def test_what_was_written_is_read_from_the_cache(writer: Writer, lake: Lake, tmp_path: Path) -> None:
    files = await writer.write("kept")
    warm, from_store = await writer.sums(files, access(lake))
    assert from_store == 0
    other = Writer(tmp_path / "other", lake)
    cold, from_store = await other.sums(files, access(lake))
    assert cold == warm
    assert from_store > 0
    assert writer.copies == []
    other.cache.close()


async def test_a_file_written_again_is_read_anew(writer: Writer, lake: Lake, tmp_path: Path) -> None:
    """Its name and size are the same, its bytes are not: the ETag tells."""
    other = Writer(tmp_path / "other", lake)
    for sign in (1, -1):
        batch = pa.RecordBatch.from_pydict({"n": [sign], "text": ["a"]}, schema=NUMBERS)
        by = writer if sign == 1 else other
        files = write_partition([batch], target(NUMBERS, "again"), access(lake), "0", by.cache)
    row, from_store = await writer.sums(files, access(lake))
    assert (row["s"], from_store > 0) == (-1, True)
    assert await other.sums(files, access(lake)) == (row, 0)
    other.cache.close()


@pytest.mark.parametrize(
    ("disk_bytes", "changes"),
    [
        pytest.param(0, {}, id="no room"),
        pytest.param(100_000, {}, id="too little room"),
        pytest.param(CAPACITY, {"keep_in_cache": False}, id="unloaded"),
        pytest.param(CAPACITY, {"single": True}, id="by a name that is not its own"),
    ],
)
async def test_what_is_not_kept_is_written_all_the_same(
    tmp_path: Path, lake: Lake, disk_bytes: int, changes: dict[str, Any]
) -> None:
    writer = Writer(tmp_path, lake, disk_bytes)
    files = await writer.write("unkept", **changes)
    used = writer.cache.disk_bytes
    row, from_store = await writer.sums(files, access(lake))
    assert row["c"] == sum(file.rows for file in files) > 0
    assert from_store > 0
    assert used <= disk_bytes
    assert writer.copies == []
    writer.cache.close()


@pytest.mark.parametrize("error", [None, RuntimeError("late")])
def test_a_write_that_fails_leaves_nothing_in_the_cache(writer: Writer, lake: Lake, error: Exception | None) -> None:
    made = target(NUMBERS, "late", target_file_bytes=1)
    try:
        write_partition(files_then(error), made, access(lake), "0", writer.cache)
    except RuntimeError:
        assert writer.cache.disk_bytes == 0
    else:
        assert writer.cache.disk_bytes > 2 * ROW_GROUP_ROWS
    assert writer.copies == []


def test_a_copy_that_is_not_the_object_is_not_kept(writer: Writer, lake: Lake) -> None:
    uri = "s3://lake/copied"
    with object_store(access(lake)).open_output_stream("lake/copied") as file:
        file.write(b"0123456789")
    for data, kept in ((b"012345678", False), (b"", False), (b"0123456789", True)):
        copy = writer.cache.copy()
        copy.add(data)
        assert writer.cache.keep(access(lake), uri, copy) is kept
    assert not writer.cache.keep(access(lake), uri + ".gone", writer.cache.copy())


def test_a_copy_is_bounded_and_gives_up(tmp_path: Path) -> None:
    copy = LocalCopy(tmp_path / "copies", 4)
    copy.add(b"1234")
    view = copy.view()
    assert view is not None
    assert bytes(view) == b"1234"
    copy.add(b"5")
    assert copy.view() is None
    (tmp_path / "file").write_bytes(b"")
    nowhere = LocalCopy(tmp_path / "file" / "copies", 4)
    nowhere.add(b"1")
    assert nowhere.view() is None
    assert list((tmp_path / "copies").iterdir()) == []
