"""What is on local disk: within its bytes, whole after a crash, never what the disk made of it."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from firn_model.messages import DataFile
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.scan_needs import ScanNeed

from tests.runtime.cache.conftest import Objects

pytestmark = pytest.mark.component
COLUMNS = ("id", "version", "text")
CAPACITY = 64 << 20
CRASHER = """
import sys
from pathlib import Path
from firn_model.messages import DataFile, ObjectStoreAccess
from firn_runtime.cache.file_cache import FileCache
from tests.runtime.cache.test_disk import need

folder, endpoint, size = sys.argv[1:]
cache = FileCache(Path(folder), 64 << 20)
access = ObjectStoreAccess(endpoint=endpoint, access_key_id="a", secret_access_key="b")
file = DataFile(uri="s3://b/f/a", size_bytes=int(size), rows=1)
lease = cache.lease(access, [file])
lease.bring([need(lease.paths[file.uri], "id")])
print("half", flush=True)
lease.bring([need(lease.paths[file.uri], "text")])
"""


def need(path: Path, *columns: str) -> ScanNeed:
    return ScanNeed(path.as_uri(), frozenset(columns) if columns else None)


def allocated_bytes(folder: Path) -> int:
    """Return the disk space of all below a folder."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def require_whole(cache: FileCache, objects: Objects, file: DataFile, *columns: str) -> None:
    """Read columns through the cache and compare them with the object."""
    lease = cache.lease(objects.access, [file])
    try:
        path = lease.paths[file.uri]
        assert lease.bring([need(path, *columns)])
        (held,) = lease.held.values()
        content, original = path.read_bytes(), (objects.folder / file.uri.rpartition("/")[2]).read_bytes()
        chunks = [(chunk.start, chunk.end) for chunk in held.layout.chunks if not columns or chunk.path in columns]
        assert chunks
        for start, end in [*chunks, *held.layout.frame]:
            assert content[start:end] == original[start:end]
    finally:
        lease.close()


async def test_a_crash_in_the_middle_of_a_fill(objects: Objects, tmp_path: Path) -> None:
    file, folder = objects.write("a"), tmp_path / "cache"
    endpoint = objects.access.endpoint
    command = [sys.executable, "-c", CRASHER, str(folder), endpoint, str(file.size_bytes)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    assert await process.stdout.readline() == b"half\n"
    objects.gate.clear()
    fetched = len(objects.gets())
    while len(objects.gets()) == fetched and process.returncode is None:
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    objects.gate.set()
    objects.asked.clear()
    cache = FileCache(folder, CAPACITY)
    await asyncio.to_thread(require_whole, cache, objects, file, "id")
    assert objects.gets() == []
    await asyncio.to_thread(require_whole, cache, objects, file)
    assert objects.gets() != []
    cache.close()


async def test_bytes_that_were_written_and_not_noted_are_freed(objects: Objects, tmp_path: Path) -> None:
    file, folder = objects.write("a"), tmp_path / "cache"
    first = FileCache(folder, CAPACITY)
    await asyncio.to_thread(require_whole, first, objects, file, "id")
    first.close()
    before = allocated_bytes(folder)
    (data,) = folder.glob("*/data")
    content = (objects.folder / "a").read_bytes()
    with data.open("r+b") as torn:
        torn.seek(len(content) // 2)
        torn.write(content[len(content) // 2 : len(content) // 2 + 200_000])
    (journal,) = folder.glob("*/journal")
    with journal.open("ab") as line:
        line.write(b"00000000 [7,1,[[4,90")
    second = FileCache(folder, CAPACITY)
    assert allocated_bytes(folder) <= before
    await asyncio.to_thread(require_whole, second, objects, file)
    second.close()


@pytest.mark.parametrize("damage", ["flipped", "shorter", "no journal", "no data", "folder of something else"])
async def test_what_the_disk_spoils_is_fetched_again(objects: Objects, tmp_path: Path, damage: str) -> None:
    file, folder = objects.write("a"), tmp_path / "cache"
    first = FileCache(folder, CAPACITY)
    await asyncio.to_thread(require_whole, first, objects, file)
    first.close()
    (kept,) = folder.iterdir()
    data = kept / "data"
    if damage == "flipped":
        content = bytearray(data.read_bytes())
        for at in range(10_000, len(content), 50_000):
            content[at] ^= 0xFF
        data.write_bytes(content)
    elif damage == "shorter":
        os.truncate(data, 100_000)
    elif damage == "folder of something else":
        (folder / "other").mkdir()
        (folder / "file").write_text("no cache")
        (kept / "journal").write_text("no journal")
    else:
        (kept / ("journal" if damage == "no journal" else "data")).unlink()
    second = FileCache(folder, CAPACITY)
    await asyncio.to_thread(require_whole, second, objects, file)
    second.close()


async def test_a_cache_never_takes_more_than_its_bytes(objects: Objects, tmp_path: Path) -> None:
    """Random reads of more files than fit, also by a second process over the first one's folder, with another bound."""
    files = [objects.write(f"{number}", 1000 + number) for number in range(4)]
    draw = random.Random(7)
    folder = tmp_path / "cache"
    for capacity in (2_000_000, 700_000, 1_500_000):
        cache = FileCache(folder, capacity)
        assert allocated_bytes(folder) <= cache.disk_bytes <= capacity
        for _ in range(25):
            columns = draw.sample(COLUMNS, draw.randint(1, 2))
            await asyncio.to_thread(try_read, cache, objects, draw.choice(files), columns)
            assert allocated_bytes(folder) <= cache.disk_bytes <= capacity
        cache.close()


def try_read(cache: FileCache, objects: Objects, file: DataFile, columns: list[str]) -> None:
    """Read what there is room for, and compare it."""
    lease = cache.lease(objects.access, [file])
    path = lease.paths.get(file.uri)
    fits = path is not None and lease.bring([need(path, *columns)])
    lease.close()
    if fits:
        require_whole(cache, objects, file, *columns)


async def test_what_is_beside_the_cache_has_priority(objects: Objects, tmp_path: Path) -> None:
    file, spill = objects.write("a"), tmp_path / "local" / "spill"
    cache = FileCache(tmp_path / "local" / "cache", CAPACITY, 4_000_000)
    await asyncio.to_thread(require_whole, cache, objects, file)
    kept = cache.disk_bytes
    spill.mkdir()
    (spill / "run").write_bytes(b"x" * 3_500_000)
    cache.give_way()
    assert cache.disk_bytes < 500_000 < kept
    (spill / "run").unlink()
    await asyncio.to_thread(require_whole, cache, objects, file)
    assert cache.disk_bytes == kept
    cache.close()


async def test_a_lease_that_nobody_closes_holds_nothing_for_ever(objects: Objects, tmp_path: Path) -> None:
    file, storage = objects.write("a"), tmp_path / "local"
    cache = FileCache(storage / "cache", CAPACITY, 1_000_000)
    lease = await asyncio.to_thread(cache.lease, objects.access, [file])
    (storage / "spill").write_bytes(b"x" * 1_000_000)
    cache.give_way()
    assert cache.disk_bytes > 0
    del lease
    async with asyncio.timeout(10):
        while cache.disk_bytes > 0:  # thread and loop let go of what was returned in their own time
            await asyncio.sleep(0.01)
            cache.give_way()
    cache.close()


async def test_versions_that_are_gone_are_given_up(objects: Objects, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", CAPACITY)
    await asyncio.to_thread(require_whole, cache, objects, objects.write("a", 1000))
    one = cache.disk_bytes
    for version in range(1001, 1005):
        await asyncio.to_thread(require_whole, cache, objects, objects.write("a", version))
    assert cache.disk_bytes == one
    cache.close()


async def test_a_disk_that_takes_nothing_costs_nothing_but_time(objects: Objects, tmp_path: Path) -> None:
    file = objects.write("a")
    cache = FileCache(tmp_path / "cache", CAPACITY)
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("in the way")
    lease = await asyncio.to_thread(cache.lease, objects.access, [file])
    assert lease.paths == {}
    lease.close()
    cache.close()
