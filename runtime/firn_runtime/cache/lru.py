"""What a tier keeps within its bytes: an index of entries, least recently used first. Pure: it holds no data.

Ephemeral data has priority over the persistent cache (NSDI'20 paper, section 4.2): an ephemeral entry displaces
persistent ones, and nothing displaces it. Entries in use are pinned and stay. The sum of the entries' bytes never
exceeds the capacity, not even for a moment: `put` names what goes before what comes.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Priority(IntEnum):
    """Who gives way to whom: the lower to the higher."""

    PERSISTENT = 0
    EPHEMERAL = 1


@dataclass(slots=True)
class _Entry:
    size_bytes: int
    priority: Priority
    used_at: int
    pins: int = 0


_FORMERS = 1 << 17


class Formers(Generic[K]):
    """When entries were wanted last, those that are not there included; the oldest are forgotten."""

    def __init__(self) -> None:
        self._uses: OrderedDict[K, int] = OrderedDict()

    def wanted(self, keys: Collection[K], clock: int) -> int | None:
        """Note that entries are wanted; return when all of them had been before, None when one never was."""
        known = [self._uses[key] for key in keys if key in self._uses]
        for key in keys:
            self._uses[key] = clock
            self._uses.move_to_end(key)
        while len(self._uses) > _FORMERS:
            self._uses.popitem(last=False)
        return min(known) if known and len(known) == len(keys) else None


class Lru(Generic[K]):
    """An index of entries with their bytes. Times are counts of uses, not of a clock."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._entries: OrderedDict[K, _Entry] = OrderedDict()
        self._bytes = {Priority.PERSISTENT: 0, Priority.EPHEMERAL: 0}
        self._pinned_bytes = 0
        self._uses = 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all entries; at most the capacity unless pins keep a shrunk index above it."""
        return sum(self._bytes.values())

    @property
    def pinned_bytes(self) -> int:
        """Bytes of entries that cannot be displaced now: ephemeral or pinned."""
        return self._pinned_bytes + self._bytes[Priority.EPHEMERAL]

    @property
    def clock(self) -> int:
        """The count of uses so far."""
        return self._uses

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[K]:
        """Return the keys, least recently used first."""
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def size_bytes(self, key: K) -> int:
        """Return an entry's bytes. Raises KeyError."""
        return self._entries[key].size_bytes

    def used_at(self, key: K) -> int:
        """Return when an entry was last used, as a count of uses. Raises KeyError."""
        return self._entries[key].used_at

    def put(self, key: K, size_bytes: int, priority: Priority = Priority.PERSISTENT) -> list[K] | None:
        """Add an entry as the most recently used; return what it displaced, or None when there is no room for it.

        An entry that is there already is put in place of the old one, keeping its pins. Raises ValueError for a
        negative size.
        """
        if size_bytes < 0:
            raise ValueError("an entry has no fewer than 0 bytes")
        old = self._entries.get(key)
        pins = old.pins if old is not None else 0
        displaced = self._displaced_by(size_bytes - (old.size_bytes if old else 0), key)
        if displaced is None:
            return None
        for victim in displaced:
            self.remove(victim)
        if old is not None:
            self.remove(key)
        self._uses += 1
        self._entries[key] = _Entry(size_bytes, priority, self._uses, pins)
        self._bytes[priority] += size_bytes
        if pins and priority is Priority.PERSISTENT:
            self._pinned_bytes += size_bytes
        return displaced

    def touch(self, key: K) -> None:
        """Make an entry the most recently used. Raises KeyError."""
        self._uses += 1
        self._entries[key].used_at = self._uses
        self._entries.move_to_end(key)

    def pin(self, key: K) -> None:
        """Keep an entry until it is unpinned as often. Raises KeyError."""
        entry = self._entries[key]
        if entry.pins == 0 and entry.priority is Priority.PERSISTENT:
            self._pinned_bytes += entry.size_bytes
        entry.pins += 1

    def unpin(self, key: K) -> None:
        """Take one pin away; an entry that was removed in between is fine."""
        entry = self._entries.get(key)
        if entry is None or entry.pins == 0:
            return
        entry.pins -= 1
        if entry.pins == 0 and entry.priority is Priority.PERSISTENT:
            self._pinned_bytes -= entry.size_bytes

    def is_pinned(self, key: K) -> bool:
        """Tell whether an entry is there and in use."""
        entry = self._entries.get(key)
        return entry is not None and entry.pins > 0

    def remove(self, key: K) -> bool:
        """Take an entry out, pinned or not; return whether it was there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes[entry.priority] -= entry.size_bytes
        if entry.pins and entry.priority is Priority.PERSISTENT:
            self._pinned_bytes -= entry.size_bytes
        return True

    def resize(self, capacity_bytes: int) -> list[K]:
        """Change the capacity; return what had to go. Entries in use stay even above it, and block what is new."""
        self.capacity_bytes = capacity_bytes
        displaced = list(self._victims(self.used_bytes - capacity_bytes))
        for victim in displaced:
            self.remove(victim)
        return displaced

    def oldest_use(self, size_bytes: int, given: Callable[[K], bool] = lambda _: True) -> int | None:
        """Return the last use of the most recent entry that `size_bytes` more would displace; None for no room.

        0 when nothing would be displaced. Only entries for which `given` holds may go.
        """
        excess = self.used_bytes + size_bytes - self.capacity_bytes
        latest = 0
        for key in self._victims(excess, given):
            latest = self._entries[key].used_at
            excess -= self._entries[key].size_bytes
        return latest if excess <= 0 else None

    def admits(self, size_bytes: int, former_use: int | None) -> bool:
        """Whether bytes are worth what they would displace: used before, later than that was used last.

        `former_use` is the clock at their last use, as far as it is known. What displaces nothing is always worth it.
        So a scan of more than fits, or of what nobody reads again, leaves alone what is in use (decision 12).
        """
        latest = self.oldest_use(size_bytes)
        return latest == 0 or (latest is not None and former_use is not None and former_use >= latest)

    def _displaced_by(self, more_bytes: int, key: K) -> list[K] | None:
        """Return what must go for so many bytes more under a key; None when too little may go."""
        excess = self.used_bytes + more_bytes - self.capacity_bytes
        if excess <= 0:
            return []
        victims = list(self._victims(excess, lambda candidate: candidate != key))
        freed = sum(self._entries[victim].size_bytes for victim in victims)
        return victims if freed >= excess else None

    def _victims(self, excess_bytes: int, given: Callable[[K], bool] = lambda _: True) -> Iterator[K]:
        """Yield entries to displace, least recently used first, until their bytes reach the excess."""
        if excess_bytes <= 0:
            return
        for key, entry in self._entries.items():
            if entry.priority is Priority.PERSISTENT and entry.pins == 0 and given(key):
                yield key
                excess_bytes -= entry.size_bytes
                if excess_bytes <= 0:
                    return
