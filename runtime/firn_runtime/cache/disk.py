"""The disk tier: which units of which files are on local disk, which are coming, and who holds them.

All state changes under one lock, which is never held while bytes move.
"""

import contextlib
import shutil
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from firn_runtime.cache.layout import Layout, Range
from firn_runtime.cache.lru import Formers, Lru
from firn_runtime.cache.memory import Memory, MemoryHold
from firn_runtime.cache.sparse_file import FILE_BYTES, FRAME, VIEW, Identity, SparseFile, cost_bytes

_LAYOUTS = 1024

UnitKey = tuple[str, int]
"""A file's key and the unit's number in it."""
Ranges = tuple[Range, ...]


@dataclass(slots=True)
class Claim:
    """What one reader makes of the units that it wants of a file: all are pinned for it."""

    held: list[int] = field(default_factory=list)
    mine: list[int] = field(default_factory=list)
    """To be fetched by this reader, and then noted or failed."""
    others: dict[int, "Future[None]"] = field(default_factory=dict)
    """Under way, by other readers."""


class Disk:
    """Files below a folder, within so many bytes."""

    def __init__(self, folder: Path, capacity_bytes: int, memory: Memory) -> None:
        """Take up what an earlier process left in the folder. Raises OSError when the folder cannot be used.

        What is dropped here is dropped in the tier above too.
        """
        self.folder = folder
        self.memory = memory
        self._lru: Lru[UnitKey] = Lru(capacity_bytes)
        self._files: dict[str, SparseFile] = {}
        self._layouts: OrderedDict[str, Layout] = OrderedDict()
        self._versions: dict[tuple[str, str], str] = {}
        self._coming: dict[UnitKey, Future[None]] = {}
        self._formers: Formers[UnitKey] = Formers()
        self._unchecked: set[UnitKey] = set()
        self._abandoned: deque[tuple[UnitKey, ...]] = deque()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._load()

    @property
    def used_bytes(self) -> int:
        """Bytes that the files may take on disk: an upper bound, at most the capacity."""
        return self._lru.used_bytes

    def path(self, key: str) -> Path:
        """Return where a file's bytes are read, whether it is there or not."""
        return self.folder / key / VIEW

    def resize(self, capacity_bytes: int) -> None:
        """Change the capacity; what is held stays."""
        with self._lock:
            self._release_abandoned()
            if capacity_bytes != self._lru.capacity_bytes or self._lru.used_bytes > capacity_bytes:
                self._drop(self._lru.resize(capacity_bytes))

    def hold_frame(self, key: str) -> bool:
        """Pin a file's frame; return whether it is there."""
        with self._lock:
            self._release_abandoned()
            there = (key, FRAME) in self._lru
            if there:
                self._lru.touch((key, FRAME))
                self._lru.pin((key, FRAME))
                self._files[key].used()
            return there

    def layout(self, key: str) -> Layout | None:
        """Return the layout of a file whose frame is held, or None when the disk does not give it back unchanged."""
        with self._lock:
            file, known = self._files[key], self._layouts.get(key)
            unchecked = (key, FRAME) in self._unchecked
            if known is not None:
                self._layouts.move_to_end(key)
                return known
        if unchecked and not file.is_whole(FRAME):
            return None
        try:
            size = file.identity.size_bytes
            whole = file.units[FRAME].ranges == ((0, size),)
            layout = Layout.whole(size) if whole else Layout.of(pq.read_metadata(file.data), size)
        except (OSError, ValueError, pa.ArrowException):
            return None
        with self._lock:
            self._unchecked.discard((key, FRAME))
            self._know(key, layout)
        return layout

    def add(self, key: str, identity: Identity, layout: Layout, frame: list[tuple[Range, memoryview]]) -> bool:
        """Take up a file with its frame, pinned; return whether there is room. Raises OSError."""
        ranges = tuple(part for part, _ in frame)
        with self._lock:
            displaced = self._lru.put((key, FRAME), FILE_BYTES + cost_bytes(ranges))
            if displaced is None:
                return False
            self._drop(displaced)
            self._lru.pin((key, FRAME))
        try:
            file = SparseFile.create(self.folder / key, identity)
            file.note(FRAME, file.write(frame))
        except OSError:
            with self._lock:
                self._lru.remove((key, FRAME))
            shutil.rmtree(self.folder / key, ignore_errors=True)
            raise
        with self._lock:
            self._files[key] = file
            self._versions[identity.endpoint, identity.uri] = key
            self._know(key, layout)
        return True

    def holds_all(self, key: str, numbers: Iterable[int]) -> bool:
        """Tell whether so many units of a file are there or coming."""
        with self._lock:
            return all((key, number) in self._lru for number in numbers)

    def claim(self, key: str, units: Mapping[int, Ranges], *, is_written: bool = False) -> Claim | None:
        """Pin units of a file whose frame is held, those that are not there yet too; None when there is no room.

        Nor is there for units that displace more recent ones, unless they were just written.
        """
        with self._lock:
            self._release_abandoned()
            file, claim = self._files[key], Claim()
            missing = [number for number in units if (key, number) not in self._lru]
            there = [number for number in units if (key, number) in self._lru]
            for number in there:
                self._lru.touch((key, number))
                self._lru.pin((key, number))
            cost = sum(cost_bytes(units[number]) for number in missing)
            if not self._is_room(key, missing, cost, is_written):
                for number in there:
                    self._lru.unpin((key, number))
                return None
            for number in missing:
                displaced = self._lru.put((key, number), cost_bytes(units[number]))
                self._drop(displaced or [])
                self._lru.pin((key, number))
                file.expect(number, units[number])
                self._coming[key, number] = Future()
                claim.mine.append(number)
            for number in there:
                coming = self._coming.get((key, number))
                if coming is not None:
                    claim.others[number] = coming
                elif (key, number) in self._unchecked:
                    self._unchecked.discard((key, number))
                    self._coming[key, number] = Future()
                    claim.mine.append(number)
                else:
                    claim.held.append(number)
            self._lru.touch((key, FRAME))  # newer than its chunks: it goes last
        return claim

    def _is_room(self, key: str, missing: list[int], cost: int, is_written: bool) -> bool:
        """Whether missing units are admitted; note that they were wanted."""
        former = self._formers.wanted([(key, number) for number in missing], self._lru.clock)
        return self._lru.admits(cost, self._lru.clock if is_written else former)

    def rise(self, key: str, units: Mapping[int, Ranges], *, fills: bool) -> MemoryHold:
        """Let who has pinned units of a file read them in memory, if there is room for all, else on disk.

        Raises OSError when the disk fails.
        """
        return self.memory.hold(self._files[key], units, fills=fills)

    def recall(self, key: str, number: int, ranges: Ranges) -> bool:
        """Tell whether a claimed unit was left whole by an earlier process; then it is there for all."""
        file = self._files[key]
        if number not in file.units:
            return False
        if not file.is_whole(number):
            with self._lock:
                file.drop(number)
                file.expect(number, ranges)
            return False
        self._arrived(key, number)
        return True

    def write(self, key: str, number: int, parts: list[tuple[Range, memoryview]]) -> None:
        """Write a claimed unit; then it is there for all. Raises OSError."""
        file = self._files[key]
        unit = file.write(parts)
        with self._lock:
            file.note(number, unit)
        self._arrived(key, number)

    def fail(self, key: str, number: int, error: BaseException) -> None:
        """Give up a claimed unit, for all who wait for it."""
        with self._lock:
            self._lru.remove((key, number))
            self._files[key].give_up(number)
            coming = self._coming.pop((key, number), None)
        if coming is not None:
            coming.set_exception(error)

    def release(self, pins: Iterable[UnitKey]) -> None:
        """Take one pin off each unit."""
        with self._lock:
            for key in pins:
                self._lru.unpin(key)

    def abandon(self, pins: Iterable[UnitKey]) -> None:
        """Take pins off later, without a lock: who had them was collected as garbage, at any point of the code."""
        self._abandoned.append(tuple(pins))

    def _release_abandoned(self) -> None:
        while self._abandoned:
            for key in self._abandoned.popleft():
                self._lru.unpin(key)

    def forget(self, key: str) -> bool:
        """Drop a file; return False when somebody holds it, and it stays."""
        with self._lock:
            if self._lru.is_pinned((key, FRAME)):
                return False
            if key in self._files:
                self._lru.remove((key, FRAME))
                self._drop([(key, FRAME)])
            return True

    def has_any(self, endpoint: str, uri: str) -> bool:
        """Tell whether some version of an object is here."""
        return (endpoint, uri) in self._versions

    def supersede(self, endpoint: str, uri: str, key: str) -> None:
        """Drop the version of an object that is here under another key, unless somebody holds it."""
        before = self._versions.get((endpoint, uri))
        if before is not None and before != key:
            self.forget(before)

    def _arrived(self, key: str, number: int) -> None:
        with self._lock:
            coming = self._coming.pop((key, number))
        coming.set_result(None)

    def _know(self, key: str, layout: Layout) -> None:
        self._layouts[key] = layout
        while len(self._layouts) > _LAYOUTS:
            self._layouts.popitem(last=False)

    def _drop(self, displaced: Iterable[UnitKey]) -> None:
        """Free the disk space of units that have left the index; without its frame the whole file goes."""
        for key, number in displaced:
            file = self._files.get(key)
            if file is None:
                continue
            self._unchecked.discard((key, number))
            self.memory.forget(key, number)
            if number != FRAME:
                file.drop(number)
                continue
            for other in [FRAME, *file.units]:
                self._lru.remove((key, other))
                self._unchecked.discard((key, other))
            del self._files[key]
            self._layouts.pop(key, None)
            named = (file.identity.endpoint, file.identity.uri)
            if self._versions.get(named) == key:
                del self._versions[named]
            file.remove()

    def _load(self) -> None:
        """Take up the files that an earlier process left, the least recently used first; their bytes are unchecked."""
        found: list[tuple[int, SparseFile]] = []
        for folder in self.folder.iterdir():
            try:
                file = SparseFile.load(folder, FRAME)
                found.append((file.used_at_ns, file))
            except (OSError, ValueError, TypeError):
                with contextlib.suppress(OSError):
                    shutil.rmtree(folder)
        for _, file in sorted(found, key=lambda item: item[0]):
            key = file.folder.name
            self._files[key] = file
            self._versions[file.identity.endpoint, file.identity.uri] = key
            for number in [*(n for n in file.units if n != FRAME), FRAME]:
                cost = cost_bytes(file.units[number].ranges) + (FILE_BYTES if number == FRAME else 0)
                displaced = self._lru.put((key, number), cost)
                self._unchecked.add((key, number))
                self._drop([(key, number)] if displaced is None else displaced)
                if key not in self._files:
                    break
