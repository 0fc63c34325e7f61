"""A statement's hold on the files that it reads: their versions, and the units that its scans need."""

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firn_runtime.cache.disk import Disk, Ranges, UnitKey
from firn_runtime.cache.hot_columns import HotHold
from firn_runtime.cache.layout import Layout
from firn_runtime.cache.memory import MemoryHold
from firn_runtime.cache.objects import StoredObject, Version
from firn_runtime.cache.scan_needs import ScanNeed
from firn_runtime.cache.sparse_file import FRAME

_REQUEST_BYTES = 8 << 20
_TRIES = 3


@dataclass(slots=True)
class Usage:
    """Bytes of files that a lease has brought, by where they came from."""

    object_store_bytes: int = 0
    disk_bytes: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """A file of a lease: its object, the version that the lease is about, its key in the disk tier."""

    stored: StoredObject
    version: Version
    key: str
    layout: Layout

    def ranges(self, number: int) -> Ranges:
        """Return the bytes of a unit."""
        if number == FRAME:
            return self.layout.frame
        chunk = self.layout.chunks[number - 1]
        return ((chunk.start, chunk.end),)


class Lease:
    """The files of one statement, held until it is closed."""

    def __init__(self, disk: Disk, pool: ThreadPoolExecutor, *, fills: bool = True) -> None:
        self.fills = fills
        """Whether what is not there is brought."""
        self.paths: dict[str, Path] = {}
        """Local file by address; a file without one is read from the object store."""
        self.held: dict[str, Held] = {}
        self.usage = Usage()
        self._disk = disk
        self._pool = pool
        self._pins: set[UnitKey] = set()
        self._risen: dict[str, MemoryHold] = {}
        self._from_disk: set[UnitKey] = set()
        self._hot: list[HotHold] = []
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
        complete = self._brought(wanted, limited)
        for key in wanted.keys() & self.held.keys():
            complete &= self.rise(key, wanted[key], fills=self.fills)
        return complete

    def _brought(self, wanted: Mapping[str, set[int]], limited: set[str]) -> bool:
        """Have all units on disk; return False when files had to be let go."""
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

    def rise(self, key: str, numbers: AbstractSet[int] = frozenset(), *, fills: bool = False) -> bool:
        """Have a held file read in memory if its frame and these units are there, or come there; else on disk.

        Let go of the file, and return False, when the disk fails.
        """
        held, before = self.held[key], self._risen.get(key)
        all_numbers = {FRAME, *numbers, *((before.numbers or ()) if before is not None else ())}
        try:
            hold = self._disk.rise(key, {number: held.ranges(number) for number in all_numbers}, fills=fills)
        except OSError:
            self._let_go(key)
            return False
        with self._lock:
            self._risen[key] = hold
            found = {(key, number) for number in hold.found} & self._from_disk
            self._from_disk -= found
            size = sum(_bytes(held.ranges(number)) for _, number in found)
            self.usage.memory_bytes += size
            self.usage.disk_bytes -= size
        if before is not None:
            self._disk.memory.release([before])
        return True

    def keep(self, hold: HotHold) -> None:
        """Keep decoded columns until the lease is closed, and count those that were found."""
        with self._lock:
            self._hot.append(hold)
            self.usage.memory_bytes += hold.found_bytes

    def __del__(self) -> None:
        """Let go also when nobody could: a statement that was cancelled while it was planned has no one to close it."""
        for hold in self._hot:
            hold.abandon()
        if self._pins:
            self._disk.memory.abandon(self._risen.values())
            self._disk.abandon(self._pins)

    def reads_by(self, description: str) -> bool:
        """Whether a scan, by its description, reads cached files."""
        return self._disk.folder.as_posix().lstrip("/") in description

    def bring_whole(self, held: Held) -> bool:
        """Bring all units of a file that was just written; return whether there is room for them."""
        numbers = set(range(1, len(held.layout.chunks) + 1))
        return self._bring({held.key: numbers}, set(), is_written=True)

    def close(self) -> None:
        """Let go of all files; the cache may displace them from then on."""
        self.held.clear()
        with self._lock:
            pins, self._pins = self._pins, set()
            risen, self._risen = self._risen, {}
            hot, self._hot = self._hot, []
        for hold in hot:
            hold.release()
        self._disk.memory.release(risen.values())
        self._disk.release(pins)

    def note(self, key: str, number: int, *, object_store_bytes: int = 0, disk_bytes: int = 0) -> None:
        """Note a unit that was pinned for this lease, and where its bytes came from."""
        with self._lock:
            self._pins.add((key, number))
            self.usage.object_store_bytes += object_store_bytes
            self.usage.disk_bytes += disk_bytes
            if disk_bytes:
                self._from_disk.add((key, number))

    def _missing(self, wanted: Mapping[str, set[int]]) -> dict[str, set[int]]:
        """Return the units that are not pinned yet, of files that are still held."""
        with self._lock:
            left = {
                key: {number for number in numbers if (key, number) not in self._pins}
                for key, numbers in wanted.items()
                if key in self.held
            }
        return {key: numbers for key, numbers in left.items() if numbers}

    def _bring(self, missing: Mapping[str, set[int]], limited: set[str], *, is_written: bool = False) -> bool:
        """Claim and fetch units; return whether all files could be kept."""
        complete = True
        fetches: list[tuple[str, Future[None]]] = []
        others: list[tuple[Held, int, Future[None]]] = []
        for key, numbers in missing.items():
            held = self.held[key]
            units = {number: held.ranges(number) for number in sorted(numbers)}
            skipped = (key in limited or not self.fills) and not self._disk.holds_all(key, units)
            claim = None if skipped else self._disk.claim(key, units, is_written=is_written)
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

    def _runs(self, held: Held, numbers: Sequence[int]) -> list[list[int]]:
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

    def _fetch(self, held: Held, run: list[int]) -> None:
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


def _bytes(ranges: Ranges) -> int:
    return sum(end - start for start, end in ranges)


def finish(futures: "Sequence[Future[Any]]") -> None:
    """Wait for all, then raise what the first one raised."""
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    if errors:
        raise errors[0]
