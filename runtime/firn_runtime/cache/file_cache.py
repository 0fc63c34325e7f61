"""The node's cache of persistent files: units of files on local disk, filled by reads and written through by writes.

A statement leases the files that it reads. The lease holds the version of each that was in the object store when the
statement began, brings what its scans need, each unit fetched once however many statements want it, and pins it until
the lease is closed. The engine then reads a local file of the object's size that has holes where nothing reads.

A file that has no ETag, or for which there is no room or no working disk, is not leased: the engine reads it from the
object store. One process at a time uses a cache's folder.

Source: NSDI'20 paper, section 4.2; engine notes, "Cache by column chunk".
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from firn_model.messages import DataFile, ObjectStoreAccess
from firn_model.statements import StatementError

from firn_runtime.cache.disk import FRAME, Disk, Ranges, UnitKey
from firn_runtime.cache.layout import Layout, Range
from firn_runtime.cache.objects import RewrittenError, StoredObject, Version
from firn_runtime.cache.scan_needs import ScanNeed
from firn_runtime.cache.sparse_file import Identity
from firn_runtime.errors import StatementFailedError

SMALL_BYTES = 128 << 10
"""A file of no more bytes is fetched whole, as its frame."""
_TAIL_BYTES = 64 << 10
_TRAILER_BYTES = 8
_REQUEST_BYTES = 8 << 20
_FETCHERS = 16
_TRIES = 3


@dataclass(slots=True)
class Usage:
    """Bytes of files that a lease has brought, by where they came from."""

    object_store_bytes: int = 0
    disk_bytes: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    """A file of a lease: its object, the version that the lease is about, its key in the disk tier."""

    stored: StoredObject
    version: Version
    key: str
    layout: Layout

    def ranges(self, number: int) -> Ranges:
        """Return the bytes of a unit that is a chunk."""
        chunk = self.layout.chunks[number - 1]
        return ((chunk.start, chunk.end),)


class FileCache:
    """A cache in a folder. Calls block and may come from any thread."""

    def __init__(self, folder: Path, disk_bytes: int) -> None:
        """Take up what an earlier process of this node left in the folder. Raises OSError."""
        self._disk = Disk(folder, disk_bytes)
        self._opening: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="cache")

    @property
    def disk_bytes(self) -> int:
        """Bytes on local disk: an upper bound, and at most what the cache may take."""
        return self._disk.used_bytes

    def lease(self, access: ObjectStoreAccess | None, files: Iterable[DataFile]) -> "Lease":
        """Look up each file's version and hold what the cache can; its frames are there then. No access, no files.

        Raises StatementFailedError for a file that is missing, not of its size, or not to be reached.
        """
        lease = Lease(self._disk, self._pool)
        if access is None:
            return lease
        unique = list({file.uri: file for file in files}.values())
        try:
            for file, held in zip(
                unique, _all(self._pool, lambda f: self._held(lease, access, f), unique), strict=True
            ):
                if held is not None:
                    lease.held[held.key] = held
                    lease.paths[file.uri] = self._disk.path(held.key)
        except BaseException:
            lease.close()
            raise
        return lease

    def _held(self, lease: "Lease", access: ObjectStoreAccess, file: DataFile) -> _Held | None:
        """Return a file as the lease holds it, or None when the engine has to read it from the object store."""
        stored = StoredObject(access, file.uri)
        for _ in range(_TRIES):
            version = stored.version()
            if version is None:
                return None
            require_size(file, version.size_bytes)
            identity = Identity(access.endpoint, file.uri, version.etag, version.size_bytes)
            key = _key(identity)
            self._disk.supersede(access.endpoint, file.uri, key)
            try:
                layout = self._opened(lease, stored, version, identity, key)
            except RewrittenError:
                continue
            except OSError:
                return None
            return _Held(stored, version, key, layout) if layout is not None else None
        raise rewritten(file.uri)

    def _opened(
        self, lease: "Lease", stored: StoredObject, version: Version, identity: Identity, key: str
    ) -> Layout | None:
        """Hold a file's frame, fetched by one reader for all; return the layout, or None when there is no room.

        Raises RewrittenError, StatementFailedError, OSError.
        """
        while True:
            with self._lock:
                coming = self._opening.get(key)
                if coming is None:
                    mine = self._opening[key] = Future()
            if coming is not None:
                with contextlib.suppress(BaseException):
                    coming.result()
                continue
            try:
                return self._open(lease, stored, version, identity, key)
            finally:
                with self._lock:
                    del self._opening[key]
                mine.set_result(None)

    def _open(
        self, lease: "Lease", stored: StoredObject, version: Version, identity: Identity, key: str
    ) -> Layout | None:
        if self._disk.hold_frame(key):
            layout = self._disk.layout(key)
            if layout is not None:
                lease.note(key, FRAME, disk_bytes=sum(end - start for start, end in layout.frame))
                return layout
            self._disk.release([(key, FRAME)])
            if not self._disk.forget(key):
                return None
        fetched = _frame(stored, version)
        if fetched is None:
            return None
        layout, frame = fetched
        if not self._disk.add(key, identity, layout, frame):
            return None
        lease.note(key, FRAME, object_store_bytes=sum(end - start for start, end in layout.frame))
        return layout


class Lease:
    """The files of one statement, held until it is closed."""

    def __init__(self, disk: Disk, pool: ThreadPoolExecutor) -> None:
        self.paths: dict[str, Path] = {}
        """Local file by address; a file without one is read from the object store."""
        self.held: dict[str, _Held] = {}
        self.usage = Usage()
        self._disk = disk
        self._pool = pool
        self._pins: set[UnitKey] = set()
        self._lock = threading.Lock()

    def bring(self, needs: Iterable[ScanNeed]) -> bool:
        """Bring what scans of the held files need; return False when files had to be let go for want of room.

        Raises RewrittenError when a file is not its version any more, StatementFailedError.
        """
        wanted: dict[str, set[int]] = {}
        limited: set[str] = set()
        for need in needs:
            held = self.held.get(need.file_key)
            if held is not None:
                numbers = held.layout.wanted(need.columns, need.ranges, need.bounds)
                wanted.setdefault(held.key, set()).update(number + 1 for number in numbers)
                if need.is_limited:
                    limited.add(held.key)
        complete = True
        for _ in range(_TRIES):
            missing = self._missing(wanted)
            if not missing:
                return complete
            complete &= self._bring(missing, limited)
        for key in self._missing(wanted):
            self._let_go(key)
            complete = False
        return complete

    def reads_by(self, description: str) -> bool:
        """Whether a scan, by its description, reads cached files."""
        return self._disk.folder.as_posix().lstrip("/") in description

    def close(self) -> None:
        """Let go of all files; the cache may displace them from then on."""
        self.held.clear()
        with self._lock:
            pins, self._pins = self._pins, set()
        self._disk.release(pins)

    def note(self, key: str, number: int, *, object_store_bytes: int = 0, disk_bytes: int = 0) -> None:
        """Note a unit that was pinned for this lease, and where its bytes came from."""
        with self._lock:
            self._pins.add((key, number))
            self.usage.object_store_bytes += object_store_bytes
            self.usage.disk_bytes += disk_bytes

    def _missing(self, wanted: Mapping[str, set[int]]) -> dict[str, set[int]]:
        """Return the units that are not pinned yet, of files that are still held."""
        with self._lock:
            left = {
                key: {number for number in numbers if (key, number) not in self._pins}
                for key, numbers in wanted.items()
                if key in self.held
            }
        return {key: numbers for key, numbers in left.items() if numbers}

    def _bring(self, missing: Mapping[str, set[int]], limited: set[str]) -> bool:
        """Claim and fetch units; return whether all files could be kept."""
        complete = True
        fetches: list[tuple[str, Future[None]]] = []
        others: list[tuple[_Held, int, Future[None]]] = []
        for key, numbers in missing.items():
            held = self.held[key]
            units = {number: held.ranges(number) for number in sorted(numbers)}
            skipped = key in limited and not self._disk.holds_all(key, units)
            claim = None if skipped else self._disk.claim(key, units)
            if claim is None:
                self._let_go(key)
                complete = False
                continue
            for number in claim.held:
                self.note(key, number, disk_bytes=_bytes(units[number]))
            fetches += [(key, self._pool.submit(self._fetch, held, run)) for run in self._runs(held, claim.mine)]
            others += [(held, number, future) for number, future in claim.others.items()]
        for held, number, future in others:
            with contextlib.suppress(Exception):  # who fetches it reports why not; here it is tried again
                future.result()
                self.note(held.key, number, disk_bytes=_bytes(held.ranges(number)))
        return self._fetched(fetches) and complete

    def _fetched(self, fetches: "Sequence[tuple[str, Future[None]]]") -> bool:
        """Wait for fetches; let go of files that the disk does not take. Raises what the first other failure raises."""
        errors = [(key, future.exception()) for key, future in fetches]
        for key, error in errors:
            if isinstance(error, OSError):
                self._let_go(key)
            elif error is not None:
                raise error
        return not any(error for _, error in errors)

    def _let_go(self, key: str) -> None:
        if self.held.pop(key, None) is not None:
            path = self._disk.path(key)
            self.paths = {uri: other for uri, other in self.paths.items() if other != path}

    def _runs(self, held: _Held, numbers: Sequence[int]) -> list[list[int]]:
        """Return units that are to be fetched in runs that follow each other in the file, each for one request."""
        runs: list[list[int]] = []
        at = size = 0
        for number in sorted(numbers):
            if self._disk.recall(held.key, number, held.ranges(number)):
                self.note(held.key, number, disk_bytes=_bytes(held.ranges(number)))
                continue
            ((start, end),) = held.ranges(number)
            if not runs or start != at or size + end - start > _REQUEST_BYTES:
                runs.append([])
                size = 0
            runs[-1].append(number)
            at, size = end, size + end - start
        return runs

    def _fetch(self, held: _Held, run: list[int]) -> None:
        """Fetch units that follow each other. Raises RewrittenError, StatementFailedError, OSError."""
        left = list(run)
        try:
            first, last = held.ranges(run[0])[0][0], held.ranges(run[-1])[0][1]
            data = held.stored.read(held.version, first, last)
            for number in run:
                ((start, end),) = held.ranges(number)
                self._disk.write(held.key, number, [((start, end), data[start - first : end - first])])
                left.remove(number)
                self.note(held.key, number, object_store_bytes=end - start)
        except BaseException as error:
            for number in left:
                self._disk.fail(held.key, number, error)
            raise


def require_size(file: DataFile, size_bytes: int) -> None:
    """Raise StatementFailedError unless a file has the size that its table's snapshot says."""
    if not 0 < size_bytes == file.size_bytes:
        raise StatementFailedError(
            StatementError.CORRUPT_FILE,
            f"{file.uri} has {size_bytes} bytes, but the table was registered with {file.size_bytes} bytes of it. "
            "Put the file back, or register the table again.",
        )


def rewritten(uri: str) -> StatementFailedError:
    """Return the error of a file that changes again and again while a statement begins."""
    return StatementFailedError(
        StatementError.CORRUPT_FILE,
        f"{uri} was rewritten while the statement read it. Run the statement again.",
        retryable=True,
    )


def _frame(stored: StoredObject, version: Version) -> tuple[Layout, list[tuple[Range, memoryview]]] | None:
    """Fetch a file's frame; None when it is no Parquet file that can be kept in parts."""
    size = version.size_bytes
    if size <= SMALL_BYTES:
        return Layout.whole(size), [((0, size), stored.read(version, 0, size))]
    start = size - _TAIL_BYTES
    tail = stored.read(version, start, size)
    footer = int.from_bytes(tail[-_TRAILER_BYTES:-4], "little") + _TRAILER_BYTES
    if footer > size:
        return None
    if footer > len(tail):
        start = size - footer
        tail = stored.read(version, start, size)
    try:
        layout = Layout.of(pq.read_metadata(pa.BufferReader(tail)), size)
    except (ValueError, pa.ArrowException):
        return None
    parts: list[tuple[Range, memoryview]] = []
    for low, high in layout.frame:
        data = tail[low - start : high - start] if low >= start else stored.read(version, low, high)
        parts.append(((low, high), data))
    return layout, parts


def _key(identity: Identity) -> str:
    text = "\n".join((identity.endpoint, identity.uri, identity.etag, str(identity.size_bytes)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _bytes(ranges: Ranges) -> int:
    return sum(end - start for start, end in ranges)


def _all(
    pool: ThreadPoolExecutor, call: Callable[[DataFile], _Held | None], files: list[DataFile]
) -> list[_Held | None]:
    """Return the call's results for all files, after all of them have ended. Raises what the first one raises."""
    if len(files) == 1:
        return [call(files[0])]
    futures = [pool.submit(call, file) for file in files]
    _finish(futures)
    return [future.result() for future in futures]


def _finish(futures: "Sequence[Future[Any]]") -> None:
    """Wait for all, then raise what the first one raised."""
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    if errors:
        raise errors[0]
