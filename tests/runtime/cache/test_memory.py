"""The memory tier: what it has is read there, within its bytes, and everybody reads right whoever comes and goes."""

import asyncio
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from firn_model.messages import DataFile
from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.lease import Lease

from tests.runtime.cache.conftest import ROWS, Objects
from tests.runtime.cache.test_disk import CAPACITY, COLUMNS, need, require_whole
from tests.runtime.cache.test_reading import SUMS, Reader, sums

pytestmark = pytest.mark.component
COLUMN_BYTES = 8 * ROWS
THREADS, READS = 6, 15


def memory_files() -> list[int]:
    """Return the bytes of the files that this process has in memory for caches, however often they are open."""
    sizes: dict[int, int] = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            held = os.open(link, os.O_PATH)  # or its number may be another file's by the time that it is looked at
        except FileNotFoundError:  # closed meanwhile
            continue
        if os.readlink(f"/proc/self/fd/{held}").startswith("/memfd:firn-cache-"):
            stat = os.fstat(held)
            sizes[stat.st_ino] = stat.st_blocks * 512
        os.close(held)
    return list(sizes.values())


def spoil(folder: Path) -> None:
    """Overwrite what is on disk, and let it have no other size."""
    for data in folder.glob("*/data"):
        data.write_bytes(b"\0" * data.stat().st_size)


async def test_what_is_in_memory_is_read_there(objects: Objects, tmp_path: Path) -> None:
    reader, file = Reader(tmp_path, memory_bytes=CAPACITY), objects.write("a")
    rows, cold = await reader.run(objects, SUMS, file)
    assert (rows, cold.bytes_from_memory) == (sums(), 0)
    rows, warm = await reader.run(objects, SUMS, file)
    assert (rows, warm.bytes_from_disk, warm.bytes_from_object_store) == (sums(), 0, 0)
    assert warm.bytes_from_memory == warm.bytes_from_cache > 2 * COLUMN_BYTES
    spoil(tmp_path / "cache")
    assert (await reader.run(objects, SUMS, file))[0] == sums()
    reader.cache.close()


async def test_what_finds_no_room_in_memory_is_read_on_disk(objects: Objects, tmp_path: Path) -> None:
    reader, file = Reader(tmp_path, memory_bytes=COLUMN_BYTES * 3 // 2), objects.write("a")
    for sql in ("SELECT sum(id) FROM t", "SELECT sum(id) FROM t", SUMS, SUMS):
        _, used = await reader.run(objects, sql, file)
    assert used.bytes_from_disk > 2 * COLUMN_BYTES
    assert used.bytes_from_object_store == 0
    assert reader.cache.memory_bytes <= COLUMN_BYTES * 3 // 2
    _, used = await reader.run(objects, "SELECT sum(id) FROM t", file)
    assert used.bytes_from_memory > COLUMN_BYTES
    assert used.bytes_from_disk == 0
    reader.cache.close()


async def test_a_task_is_counted_by_tier(objects: Objects, tmp_path: Path) -> None:
    """Of two files one is in memory."""
    reader, first, second = Reader(tmp_path, memory_bytes=1_500_000), objects.write("a"), objects.write("b")
    for files in ((first,), (first, second), (first, second)):
        rows, used = await reader.run(objects, SUMS, *files)
    assert rows == sums(files=2)
    assert used.bytes_from_object_store == 0
    assert abs(used.bytes_from_memory - used.bytes_from_disk) < COLUMN_BYTES // 100
    reader.cache.close()


async def test_another_process_begins_without_memory(objects: Objects, tmp_path: Path) -> None:
    file = objects.write("a")
    first = FileCache(tmp_path / "cache", CAPACITY, memory_bytes=CAPACITY)
    await asyncio.to_thread(require_whole, first, objects, file)
    assert memory_files()
    first.close()
    assert memory_files() == []
    objects.asked.clear()
    second = FileCache(tmp_path / "cache", CAPACITY, memory_bytes=CAPACITY)
    await asyncio.to_thread(require_whole, second, objects, file)
    assert objects.gets() == []
    second.close()


async def test_what_leaves_the_disk_leaves_memory(objects: Objects, tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "cache", CAPACITY, memory_bytes=CAPACITY)
    await asyncio.to_thread(require_whole, cache, objects, objects.write("a", 1000))
    one = cache.memory_bytes
    for version in range(1001, 1004):
        await asyncio.to_thread(require_whole, cache, objects, objects.write("a", version))
    assert (cache.memory_bytes, len(memory_files())) == (one, 1)
    cache.close()


async def test_a_reader_on_disk_and_one_in_memory_read_right_at_once(objects: Objects, tmp_path: Path) -> None:
    file = objects.write("a")
    cache = FileCache(tmp_path / "cache", CAPACITY, memory_bytes=COLUMN_BYTES * 3 // 2)

    def lease(column: str) -> tuple[Lease, Path]:
        made = cache.lease(objects.access, [file])
        assert made.bring([need(made.paths[file.uri], column)])
        return made, made.paths[file.uri]

    small, path = await asyncio.to_thread(lease, "id")
    assert os.readlink(path).startswith("/proc/self/fd/")
    large, _ = await asyncio.to_thread(lease, "text")
    assert os.readlink(path) == "data"
    small.close()
    assert os.readlink(path) == "data"
    small, _ = await asyncio.to_thread(lease, "id")
    del large  # as one that nobody closes
    await asyncio.to_thread(lambda: lease("id")[0].close())
    assert os.readlink(path).startswith("/proc/self/fd/")
    small.close()
    cache.close()


@pytest.mark.parametrize("memory_bytes", [500_000, 2_000_000])
async def test_readers_at_once_read_right_within_the_bytes(objects: Objects, tmp_path: Path, memory_bytes: int) -> None:
    """Random columns of more files than fit into memory, whose holds overlap."""
    files = [objects.write(f"{number}", 1000 + number) for number in range(4)]
    cache = FileCache(tmp_path / "cache", 4_000_000, memory_bytes=memory_bytes)
    above: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            with cache._memory._lock:  # so that nothing moves from one file to another meanwhile
                used, counted = sum(memory_files()), cache.memory_bytes
            if not used <= counted <= memory_bytes:
                above.append(used)

    def read(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(READS):
            try_read(cache, objects, draw.choice(files), draw.sample(COLUMNS, draw.randint(1, 2)))

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS + 1) as threads:  # the server of objects needs those of the loop
        watching = loop.run_in_executor(threads, watch)
        try:
            await asyncio.gather(*(loop.run_in_executor(threads, read, seed) for seed in range(THREADS)))
        finally:
            done.set()
            await watching
    assert above == []
    cache.close()
    assert memory_files() == []


def try_read(cache: FileCache, objects: Objects, file: DataFile, columns: list[str]) -> None:
    """Read columns and compare them, wherever they are."""
    lease = cache.lease(objects.access, [file])
    try:
        path = lease.paths.get(file.uri)
        if path is None or not lease.bring([need(path, *columns)]):
            return
        (held,) = lease.held.values()
        original = (objects.folder / file.uri.rpartition("/")[2]).read_bytes()
        for chunk in held.layout.chunks:
            if chunk.path in columns:
                with path.open("rb") as content:
                    content.seek(chunk.start)
                    assert content.read(chunk.end - chunk.start) == original[chunk.start : chunk.end]
    finally:
        lease.close()
