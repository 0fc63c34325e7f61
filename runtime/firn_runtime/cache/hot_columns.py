"""The memory tier of decoded columns: the columns of row groups as the engine computes on them, in the leaf.

A column is of one version of a file (the key has the object's ETag), so none is ever stale: a rewritten file has other
keys, and the old ones go as the least recently used. Columns in use are pinned until their statement has ended, and
the bytes of all never exceed the capacity. All state changes under one lock, which is never held while bytes move;
columns are decoded by one scan at a time, so that what is decoded and not yet counted is one row group's.

Source: engine notes, "a memory tier that holds hot columns decoded".
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from firn_runtime.cache.heat import Asked, Verdict, room, verdict
from firn_runtime.cache.lru import Formers, Lru
from firn_runtime.engine.leaf import LeafModule, load

_FILES = 1 << 14
COLUMN_BYTES = 256
"""What a column costs beside its values: its entries in the indexes."""


class ColumnKey(NamedTuple):
    """One column of one row group of one version of a file, decoded to a type (as the plan has it, serialised)."""

    file: str
    row_group: int
    name: str
    type: bytes


@dataclass(frozen=True, slots=True)
class HotColumn:
    """A column in the leaf: its id there, its bytes, and the rows of its pieces."""

    number: int
    size_bytes: int
    rows: tuple[int, ...]


@dataclass(slots=True)
class HotHold:
    """Columns that a statement uses; they stay until it lets go."""

    tier: "HotColumns"
    columns: dict[ColumnKey, HotColumn]
    found_bytes: int
    """Bytes of those that were there before."""

    def release(self) -> None:
        """Let go."""
        self.tier.release(self.columns)

    def abandon(self) -> None:
        """Let go later, without a lock: who had them was collected as garbage, at any point of the code."""
        self.tier.abandon(self.columns)


Decode = Callable[[Sequence[ColumnKey]], Iterable[tuple[ColumnKey, Any]]]
"""Decodes columns; each comes with its Arrow C stream."""


@dataclass(slots=True)
class Counts:
    """What the tier has done so far."""

    served: int = 0
    filled: int = 0
    displaced: int = 0


class HotColumns:
    """Decoded columns within so many bytes. Calls may come from any thread."""

    def __init__(self, leaf: LeafModule, capacity_bytes: int, limit_bytes: int | None = None) -> None:
        """Keep columns of so many bytes at most, less while the process would take more than its limit by them."""
        self.leaf = leaf
        self.counts = Counts()
        self._most_bytes = capacity_bytes
        self._limit_bytes = limit_bytes
        self._lru: Lru[ColumnKey] = Lru(capacity_bytes)
        self._formers: Formers[ColumnKey] = Formers()
        self._columns: dict[ColumnKey, HotColumn] = {}
        self._promising: OrderedDict[str, bool] = OrderedDict()
        self._abandoned: deque[tuple[ColumnKey, ...]] = deque()
        self._filling = threading.Lock()
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Bytes of all columns; at most the capacity."""
        return self._lru.used_bytes

    def promises(self, files: Iterable[str]) -> bool:
        """Whether a plan over files, by their keys, may be served columns of some."""
        return any(self._promising.get(file, False) for file in files)

    def ask(self, sizes: Mapping[ColumnKey, int]) -> Verdict:
        """Note a use of columns, by about how many bytes each has, and return what to do about them."""
        with self._lock:
            self._release_abandoned()
            missing = [key for key in sizes if key not in self._lru]
            size = sum(sizes[key] + COLUMN_BYTES for key in missing)
            former = self._formers.wanted(missing, self._lru.clock) if missing else None
            found = verdict(Asked(len(missing), former, self._lru.oldest_use(size)))
            for file in {key.file for key in sizes}:
                self._promising[file] = found.is_promising
                self._promising.move_to_end(file)
            while len(self._promising) > _FILES:
                self._promising.popitem(last=False)
            return found

    def hold(self, keys: Collection[ColumnKey]) -> HotHold | None:
        """Pin columns that are all there; None when one is not."""
        with self._lock:
            return self._hold(keys, frozenset())

    def fill(self, keys: Collection[ColumnKey], decode: Decode) -> HotHold | None:
        """Have columns decoded that are missing, and pin all; None when there is no room for them after all.

        Raises what `decode` raises.
        """
        with self._filling:
            with self._lock:
                missing = [key for key in keys if key not in self._lru]
                there = self._pin([key for key in keys if key in self._lru])
            put: set[ColumnKey] = set()
            try:
                for key, stream in decode(missing) if missing else ():
                    if not self._put(key, stream):
                        return None
                    put.add(key)
                with self._lock:
                    return self._hold(keys, frozenset(put))
            finally:
                with self._lock:
                    self._unpin([*there, *put])

    def give_way(self, resident_bytes: int) -> None:
        """Shrink to what the process leaves of its limit at so much memory, or grow again; what is pinned stays."""
        if self._limit_bytes is None:
            return
        with self._lock:
            held = max(self._lru.used_bytes, self.leaf.held_bytes())
            capacity = room(self._most_bytes, self._limit_bytes, resident_bytes, held)
            if capacity != self._lru.capacity_bytes:
                self._drop(self._lru.resize(capacity))

    def release(self, keys: Iterable[ColumnKey]) -> None:
        """Take one pin off each column."""
        with self._lock:
            self._unpin(keys)
            if self._lru.used_bytes > self._lru.capacity_bytes:
                self._drop(self._lru.resize(self._lru.capacity_bytes))

    def abandon(self, keys: Iterable[ColumnKey]) -> None:
        """Take pins off later, without a lock."""
        self._abandoned.append(tuple(keys))

    def close(self) -> None:
        """Drop all columns."""
        with self._lock:
            self._promising.clear()
            for key in list(self._columns):
                self._lru.remove(key)
                self._drop([key])

    def _hold(self, keys: Collection[ColumnKey], new: frozenset[ColumnKey]) -> HotHold | None:
        """Pin columns that are all there; `new` ones were decoded for this."""
        if not all(key in self._lru for key in keys):
            return None
        self._pin(keys)
        columns = {key: self._columns[key] for key in keys}
        self.counts.served += len(columns)
        return HotHold(self, columns, sum(column.size_bytes for key, column in columns.items() if key not in new))

    def _put(self, key: ColumnKey, stream: Any) -> bool:
        """Keep a column, pinned; return whether there is room."""
        number, size, rows = self.leaf.put(stream)
        with self._lock:
            displaced = self._lru.put(key, size + COLUMN_BYTES)
            if displaced is None:
                self.leaf.drop(number)
                return False
            self._drop(displaced)
            self._columns[key] = HotColumn(number, size, tuple(rows))
            self._lru.pin(key)
            self.counts.filled += 1
            return True

    def _pin(self, keys: Iterable[ColumnKey]) -> list[ColumnKey]:
        pinned = list(keys)
        for key in pinned:
            self._lru.touch(key)
            self._lru.pin(key)
        return pinned

    def _unpin(self, keys: Iterable[ColumnKey]) -> None:
        for key in keys:
            self._lru.unpin(key)

    def _release_abandoned(self) -> None:
        while self._abandoned:
            self._unpin(self._abandoned.popleft())

    def _drop(self, displaced: Iterable[ColumnKey]) -> None:
        for key in displaced:
            column = self._columns.pop(key, None)
            if column is not None:
                self.leaf.drop(column.number)
                self.counts.displaced += 1


def tier(capacity_bytes: int, limit_bytes: int) -> HotColumns | None:
    """Return a node's tier, or None where it has no room for one, or no leaf that can be loaded."""
    leaf = load() if capacity_bytes > 0 else None
    return HotColumns(leaf, capacity_bytes, limit_bytes) if leaf is not None else None
