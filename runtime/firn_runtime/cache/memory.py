"""The memory tier: units of cached files in memory, over the disk tier, which has all of them too.

A file in memory is an anonymous file of the object's size with holes. The engine reads a cached file by one name, which
stands for the file on disk or the one in memory: for the latter while all units that all who read the file have pinned
are there. Both have the same bytes wherever anybody reads, so the name may change under a reader. Who opens the name
has a hold on the file, be it on the disk's: so none follows it to a descriptor that is another file's by then.

What is kept is decided as on disk, but by itself (NSDI'20 paper, section 4.2: independent policies). All state changes
under one lock, which is never held while bytes move. The disk's lock may be held by who calls, never the other way.
"""

import contextlib
import os
import resource
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from firn_runtime.cache.layout import Range
from firn_runtime.cache.lru import Formers, Lru
from firn_runtime.cache.sparse_file import BLOCK_BYTES, DISK, FRAME, MODIFIED_NS, SparseFile, cost_bytes, punch

_STRIPES = 64
_MOST_FILES = 4096

Ranges = tuple[Range, ...]
UnitKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class MemoryHold:
    """What one reader of a file has of it in memory, all that it reads or nothing."""

    key: str
    numbers: frozenset[int] | None
    """None for one that reads the file on disk."""
    found: frozenset[int] = frozenset()
    """Those of them that were in memory before, and are read there."""


@dataclass(slots=True)
class _File:
    file: SparseFile
    descriptor: int
    units: dict[int, Ranges]
    is_ready: bool = False
    """Whether its frame is there."""
    is_shown: bool = False


class Memory:
    """Units in memory, within so many bytes. Calls may come from any thread."""

    def __init__(self, capacity_bytes: int) -> None:
        """Take this many bytes at most, in a quarter of the files that the process may have open."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._least_bytes = capacity_bytes // max(1, min(_MOST_FILES, descriptors // 4))
        self._lru: Lru[UnitKey] = Lru(capacity_bytes)
        self._formers: Formers[UnitKey] = Formers()
        self._files: dict[str, _File] = {}
        self._disk_readers: dict[str, int] = {}
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._abandoned: deque[MemoryHold] = deque()
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Bytes that the units may take: an upper bound, at most the capacity."""
        return self._lru.used_bytes

    def hold(self, file: SparseFile, units: Mapping[int, Ranges], *, fills: bool) -> MemoryHold:
        """Let a reader have units of a file, its frame among them, all pinned on disk; copy them if there is room.

        Raises OSError when the reader can have the file neither way.
        """
        key = file.folder.name
        with self._stripes[hash(key) % _STRIPES]:
            with self._lock:
                self._release_abandoned()
                found = frozenset(number for number in units if (key, number) in self._lru)
                missing = {number: ranges for number, ranges in units.items() if number not in found}
                entry = self._claim(file, found, missing) if fills or not missing else None
                if entry is None:
                    return self._from_disk(key)
            if missing and not _copied(entry, missing):
                with self._lock:
                    self._unpin(key, found)
                    self._give_up(key, missing)
                    return self._from_disk(key)
            with self._lock:
                entry.is_ready = True
                self._show(key)
                return MemoryHold(key, frozenset(units), found if entry.is_shown else frozenset())

    def release(self, holds: Iterable[MemoryHold]) -> None:
        """Let readers go."""
        with self._lock:
            self._release_abandoned()
            for hold in holds:
                self._release(hold)

    def abandon(self, holds: Iterable[MemoryHold]) -> None:
        """Let readers go later, without a lock: they were collected as garbage, at any point of the code."""
        self._abandoned.extend(holds)

    def forget(self, key: str, number: int = FRAME) -> None:
        """Drop a unit that the disk has dropped; with its frame the whole file goes."""
        with self._lock:
            if (key, number) in self._lru:
                self._give_up(key, (number,))

    def close(self) -> None:
        """Drop all files."""
        with self._lock:
            for key in list(self._files):
                self._give_up(key, (FRAME,))

    def _claim(self, file: SparseFile, found: frozenset[int], missing: Mapping[int, Ranges]) -> _File | None:
        """Pin units, those that are still to come too; return their file, None when there is no room."""
        key = file.folder.name
        for number in found:
            self._lru.touch((key, number))
            self._lru.pin((key, number))
        cost = sum(self._cost(number, ranges) for number, ranges in missing.items())
        former = self._formers.wanted([(key, number) for number in missing], self._lru.clock)
        entry = self._opened(file) if not missing or self._lru.admits(cost, former) else None
        if entry is None:
            self._unpin(key, found)
            return None
        for number, ranges in missing.items():
            self._drop(self._lru.put((key, number), self._cost(number, ranges)) or [])
            self._lru.pin((key, number))
            entry.units[number] = ranges
        self._lru.touch((key, FRAME))  # newer than its chunks: it goes last
        return entry

    def _cost(self, number: int, ranges: Ranges) -> int:
        """Return the memory that a unit takes at most; a file's first block stays with its frame."""
        cost = cost_bytes(ranges)
        return cost if number != FRAME else max(self._least_bytes, cost + BLOCK_BYTES)

    def _opened(self, file: SparseFile) -> _File | None:
        """Return a file in memory, made now if it is not there; None when there cannot be one more."""
        key = file.folder.name
        if key not in self._files:
            try:
                descriptor = os.memfd_create(f"firn-cache-{key}", os.MFD_CLOEXEC)
                os.truncate(descriptor, file.identity.size_bytes)
                os.utime(descriptor, ns=(MODIFIED_NS, MODIFIED_NS))
            except OSError:
                return None
            self._files[key] = _File(file, descriptor, {})
        return self._files[key]

    def _from_disk(self, key: str) -> MemoryHold:
        self._disk_readers[key] = self._disk_readers.get(key, 0) + 1
        try:
            self._show(key)
        except OSError:
            self._release(MemoryHold(key, None))
            raise
        return MemoryHold(key, None)

    def _release(self, hold: MemoryHold) -> None:
        if hold.numbers is not None:
            self._unpin(hold.key, hold.numbers)
            return
        self._disk_readers[hold.key] -= 1
        if not self._disk_readers[hold.key]:
            del self._disk_readers[hold.key]
            with contextlib.suppress(OSError):  # then it is read from disk
                self._show(hold.key)

    def _unpin(self, key: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._lru.unpin((key, number))

    def _release_abandoned(self) -> None:
        while self._abandoned:
            self._release(self._abandoned.popleft())

    def _give_up(self, key: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._lru.remove((key, number))
        self._drop((key, number) for number in numbers)

    def _drop(self, displaced: Iterable[UnitKey]) -> None:
        """Free the memory of units that have left the index; without its frame the whole file goes."""
        for key, number in displaced:
            entry = self._files.get(key)
            if entry is None:
                continue
            if number != FRAME:
                with contextlib.suppress(OSError):
                    punch(entry.descriptor, entry.units.pop(number, ()), entry.units.values())
                continue
            for other in entry.units:
                self._lru.remove((key, other))
            del self._files[key]
            entry.is_ready = False
            with contextlib.suppress(OSError):  # a name that stands for it all the same keeps it open
                self._show_as(entry, in_memory=False)
                os.close(entry.descriptor)

    def _show(self, key: str) -> None:
        """Let the file's name stand for memory or disk. Raises OSError."""
        entry = self._files.get(key)
        if entry is not None:
            self._show_as(entry, in_memory=entry.is_ready and key not in self._disk_readers)

    def _show_as(self, entry: _File, *, in_memory: bool) -> None:
        if in_memory != entry.is_shown:
            entry.file.show(f"/proc/self/fd/{entry.descriptor}" if in_memory else DISK)
            entry.is_shown = in_memory


def _copied(entry: _File, units: Mapping[int, Ranges]) -> bool:
    """Copy units from disk; return whether all were."""
    try:
        for ranges in units.values():
            for part in ranges:
                data, at = memoryview(entry.file.read(part)), part[0]
                while data:
                    written = os.pwrite(entry.descriptor, data, at)
                    data, at = data[written:], at + written
        os.utime(entry.descriptor, ns=(MODIFIED_NS, MODIFIED_NS))
    except OSError:
        return False
    return True
