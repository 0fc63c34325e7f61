"""The node's cache of persistent files: units of files in memory and on local disk, filled by reads and writes.

A statement leases the files that it reads. The lease holds the version of each that was in the object store when the
statement began, brings what its scans need, each unit fetched once however many statements want it, and pins it until
the lease is closed. The engine then reads a local file of the object's size that has holes where nothing reads.

A file that has no ETag, or for which there is no room or no working disk, is not leased: the engine reads it from the
object store. One process at a time uses a cache's folder.

Source: NSDI'20 paper, section 4.2; engine notes, "Cache by column chunk".
"""

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from firn_model.messages import DataFile, ObjectStoreAccess
from firn_model.statements import StatementError

from firn_runtime.cache.disk import Disk
from firn_runtime.cache.layout import Layout, Range
from firn_runtime.cache.lease import Held, Lease, finish
from firn_runtime.cache.local_copy import LocalCopy
from firn_runtime.cache.memory import Memory
from firn_runtime.cache.objects import NO_VERSIONS, RewrittenError, StoredObject, Version, Versions
from firn_runtime.cache.sparse_file import FRAME, Identity
from firn_runtime.errors import StatementFailedError

SMALL_BYTES = 128 << 10
"""A file of no more bytes is fetched whole, as its frame."""
_TAIL_BYTES = 64 << 10
_TRAILER_BYTES = 8
_FETCHERS = 16
_TRIES = 3

_Hold = Callable[[DataFile], Held | None]


@dataclass(frozen=True, slots=True)
class _Written(StoredObject):
    """An object whose bytes are at hand."""

    data: memoryview

    def read(self, version: Version, start: int, end: int) -> memoryview:
        """Return the bytes from `start` to before `end`."""
        return self.data[start:end]


class FileCache:
    """A cache in a folder. Calls block and may come from any thread."""

    def __init__(self, folder: Path, disk_bytes: int, storage_bytes: int | None = None, memory_bytes: int = 0) -> None:
        """Take up what an earlier process of this node left in the folder. Raises OSError.

        The cache takes `disk_bytes` at most, and less while what is beside its folder, which has priority, leaves less
        of `storage_bytes` to it. Of that it has `memory_bytes` at most in memory too.
        """
        self._folder = folder
        self._disk_bytes = disk_bytes
        self._storage_bytes = storage_bytes
        self._memory = Memory(memory_bytes)
        self._disk = Disk(folder, disk_bytes, self._memory)
        self._copies = folder.with_name("written")
        shutil.rmtree(self._copies, ignore_errors=True)
        self._opening: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="cache")

    @property
    def disk_bytes(self) -> int:
        """Bytes on local disk: an upper bound, and at most what the cache may take."""
        return self._disk.used_bytes

    @property
    def memory_bytes(self) -> int:
        """Bytes in memory: an upper bound, and at most what the cache may take."""
        return self._memory.used_bytes

    def lease(
        self,
        access: ObjectStoreAccess | None,
        files: Iterable[DataFile],
        *,
        fills: bool = True,
        versions: Versions = NO_VERSIONS,
    ) -> Lease:
        """Hold each file's version, as far as the cache can; its frames are there then. No access, no files.

        A lease that does not fill holds what is there already, and nothing comes to the cache by it. Versions that
        the statement has looked up are not looked up again, unless the store has none of them any more.
        Raises StatementFailedError for a file that is missing, not of its size, or not to be reached.
        """
        lease = Lease(self._disk, self._pool, fills=fills)
        if access is None:
            return lease
        self.give_way()
        unique = list({file.uri: file for file in files}.values())
        try:
            found = self._all(access, unique, versions, lambda f: self._held(lease, access, f, versions.get(f.uri)))
            for file, held in zip(unique, found, strict=True):
                if held is not None:
                    lease.held[held.key] = held
                    if not lease.rise(held.key):
                        continue
                    lease.paths[file.uri] = self._disk.path(held.key)
        except BaseException:
            lease.close()
            raise
        return lease

    def put(self, access: ObjectStoreAccess, uri: str, etag: str, data: bytes | memoryview) -> bool:
        """Take up a file that was just written to the object store with this ETag; return whether there was room.

        It is kept whole, as what it would be if all of it had been read. Nothing that is amiss here fails the write.
        """
        view = memoryview(data)
        version = Version(etag, len(view))
        identity = Identity(access.endpoint, uri, etag, len(view))
        key = _key(identity)
        self._disk.supersede(access.endpoint, uri, key)
        lease = Lease(self._disk, self._pool)
        try:
            layout = self._opened(lease, _Written(access, uri, view), version, identity, key)
            if layout is None:
                return False
            held = Held(_Written(access, uri, view), version, key, layout)
            lease.held[key] = held
            return lease.bring_whole(held)
        except (OSError, RewrittenError):
            return False
        finally:
            lease.close()

    def copy(self) -> LocalCopy:
        """Begin a copy of a file that is on its way to the object store, for `keep`."""
        return LocalCopy(self._copies, self._disk_bytes)

    def keep(self, access: ObjectStoreAccess, uri: str, copy: LocalCopy) -> bool:
        """Take up a file that has just been written, and that no other writes, from its copy; return whether it did.

        Nothing that is amiss here fails the write.
        """
        try:
            data = copy.view()
            version = StoredObject(access, uri).version() if data is not None else None
            if data is None or version is None or version.size_bytes != len(data):
                return False
            return self.put(access, uri, version.etag, data)
        except StatementFailedError:
            return False
        finally:
            copy.close()

    def drop(self, access: ObjectStoreAccess, uri: str) -> None:
        """Give up a file that is deleted from the object store, unless somebody holds it."""
        self._disk.supersede(access.endpoint, uri, "")

    def give_way(self) -> None:
        """Shrink to what spills and exchanges leave of the local storage, or grow again; what is leased stays."""
        if self._storage_bytes is not None:
            left = self._storage_bytes - used_beside(self._folder)
            self._disk.resize(max(0, min(self._disk_bytes, left)))

    def close(self) -> None:
        """End the cache's threads and let go of its memory; leases must be closed by then."""
        self._pool.shutdown()
        self._memory.close()

    def _all(
        self, access: ObjectStoreAccess, files: list[DataFile], versions: Versions, call: _Hold
    ) -> list[Held | None]:
        """Return the call's results for all files, after all of them have ended. Raises what the first one raises."""
        if len(files) == 1 or all(f.uri in versions and self._disk.has_any(access.endpoint, f.uri) for f in files):
            return [call(file) for file in files]  # which asks the store for nothing, most likely
        futures = [self._pool.submit(call, file) for file in files]
        finish(futures)
        return [future.result() for future in futures]

    def _held(self, lease: Lease, access: ObjectStoreAccess, file: DataFile, known: Version | None) -> Held | None:
        """Return a file as the lease holds it, or None when the engine has to read it from the object store."""
        stored = StoredObject(access, file.uri)
        if not lease.fills and not self._disk.has_any(access.endpoint, file.uri):
            return None
        for _ in range(_TRIES):
            version, known = known or stored.version(), None
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
            return Held(stored, version, key, layout) if layout is not None else None
        raise rewritten(file.uri)

    def _opened(
        self, lease: Lease, stored: StoredObject, version: Version, identity: Identity, key: str
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
        self, lease: Lease, stored: StoredObject, version: Version, identity: Identity, key: str
    ) -> Layout | None:
        if self._disk.hold_frame(key):
            layout = self._disk.layout(key)
            if layout is not None:
                lease.note(key, FRAME, disk_bytes=sum(end - start for start, end in layout.frame))
                return layout
            self._disk.release([(key, FRAME)])
            if not self._disk.forget(key):
                return None
        if not lease.fills:
            return None
        fetched = _frame(stored, version)
        if fetched is None:
            return None
        layout, frame, fetched_bytes = fetched
        if not self._disk.add(key, identity, layout, frame):
            return None
        lease.note(key, FRAME, object_store_bytes=fetched_bytes)
        return layout


def used_beside(folder: Path) -> int:
    """Return the bytes on disk of all files beside a folder, those that vanish meanwhile left out."""
    total = 0
    for where, folders, files in os.walk(folder.parent):  # which passes over folders that vanish
        if Path(where) == folder.parent and folder.name in folders:
            folders.remove(folder.name)
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
    return total


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


def _frame(stored: StoredObject, version: Version) -> tuple[Layout, list[tuple[Range, memoryview]], int] | None:
    """Fetch a file's frame; return it with how many bytes that took, or None when it cannot be kept in parts."""
    size = version.size_bytes
    if size <= SMALL_BYTES:
        return Layout.whole(size), [((0, size), stored.read(version, 0, size))], size
    start = size - _TAIL_BYTES
    tail = stored.read(version, start, size)
    fetched_bytes = len(tail)
    footer = int.from_bytes(tail[-_TRAILER_BYTES:-4], "little") + _TRAILER_BYTES
    if footer > size:
        return None
    if footer > len(tail):
        start = size - footer
        tail = stored.read(version, start, size)
        fetched_bytes += len(tail)
    try:
        layout = Layout.of(pq.read_metadata(pa.BufferReader(tail)), size)
    except (ValueError, pa.ArrowException):
        return None
    parts: list[tuple[Range, memoryview]] = []
    for low, high in layout.frame:
        if low >= start:
            data = tail[low - start : high - start]
        else:
            data = stored.read(version, low, high)
            fetched_bytes += len(data)
        parts.append(((low, high), data))
    return layout, parts, fetched_bytes


def _key(identity: Identity) -> str:
    text = "\n".join((identity.endpoint, identity.uri, identity.etag, str(identity.size_bytes)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
