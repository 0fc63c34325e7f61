"""One cached file on local disk: a sparse file of the object's size, with those units of it that were written.

A unit is a set of byte ranges that comes and goes together. A journal beside the file says which units are whole, each
with its checksum: it is written after the unit's bytes, and before a unit's bytes are taken away. So what it names
after a crash is there, and what the crash left half-written is not named.
"""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firn_runtime.cache.layout import MAGIC, Range

FRAME = 0
"""The unit that holds a file's frame; chunk n is unit n + 1."""
DISK = "data"
"""The sparse file's name in its folder."""
BLOCK_BYTES = 4096
UNIT_BYTES = 256
"""What a unit costs beside its blocks: its lines in the journal."""
FILE_BYTES = 4 * BLOCK_BYTES
"""What a file costs beside its units: its folder, link and journal."""
VIEW = "view"
"""The name in its folder by which a file is read."""
_JOURNAL_LINES = 4096
_KEEP_SIZE_PUNCH_HOLE = 3
MODIFIED_NS = 1_000_000_000
"""The file's time never changes, so that the engine's cache of footers holds while units come and go."""
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


@dataclass(frozen=True, slots=True)
class Unit:
    """Ranges that are written, and the checksum of their bytes one after the other."""

    ranges: tuple[Range, ...]
    checksum: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the object that it holds."""
        return sum(end - start for start, end in self.ranges)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which version of which object a file is of."""

    endpoint: str
    uri: str
    etag: str
    size_bytes: int


def punch(descriptor: int, ranges: Iterable[Range], kept: Collection[Iterable[Range]]) -> None:
    """Free the blocks of a file that only these ranges touch, and clear their bytes in those of kept ones.

    Raises OSError.
    """
    others = [part for unit in kept for part in unit]
    for start, end in ranges:
        low, high = start // BLOCK_BYTES * BLOCK_BYTES, -(-end // BLOCK_BYTES) * BLOCK_BYTES
        low = max([low, len(MAGIC), *(stop for _, stop in others if low < stop <= start)])
        high = min([high, *(begin for begin, _ in others if end <= begin < high)])
        if low < high and _LIBC.fallocate(descriptor, _KEEP_SIZE_PUNCH_HOLE, low, high - low) != 0:
            raise OSError(ctypes.get_errno(), "cannot free a part of a cached file")
    os.utime(descriptor, ns=(MODIFIED_NS, MODIFIED_NS))


def cost_bytes(ranges: Iterable[Range]) -> int:
    """Return an upper bound of the disk space that ranges take: all blocks that they touch."""
    return UNIT_BYTES + sum((-(-end // BLOCK_BYTES) - start // BLOCK_BYTES) * BLOCK_BYTES for start, end in ranges)


class SparseFile:
    """A cached file's folder: `data`, `journal`, and the link `view` to where it is read.

    One thread at a time, but for reading and writing bytes.
    """

    def __init__(self, folder: Path, identity: Identity, units: dict[int, Unit]) -> None:
        self.folder = folder
        self.identity = identity
        self.units = units
        self._coming: dict[int, tuple[Range, ...]] = {}
        self._lines = len(units)

    @property
    def data(self) -> Path:
        """The sparse file."""
        return self.folder / DISK

    @property
    def _journal(self) -> Path:
        return self.folder / "journal"

    @classmethod
    def create(cls, folder: Path, identity: Identity) -> "SparseFile":
        """Make an empty file of the object's size. Raises OSError."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made = cls(folder, identity, {})
        with made.data.open("wb") as file:
            file.write(MAGIC)
            file.truncate(identity.size_bytes)
        os.utime(made.data, ns=(MODIFIED_NS, MODIFIED_NS))
        made._rewrite()
        made.show(DISK)
        return made

    @classmethod
    def load(cls, folder: Path, needed: int) -> "SparseFile":
        """Return what an earlier process left whole, one unit of it at least; its bytes are still to be checked.

        Raises OSError, ValueError.
        """
        head, *lines = (folder / "journal").read_text().split("\n")
        identity = Identity(*json.loads(_checked(head)))
        units: dict[int, Unit] = {}
        for line in lines:
            try:
                number, checksum, ranges = json.loads(_checked(line))
            except ValueError:
                continue  # torn by a crash
            if ranges is None:
                units.pop(number, None)
            else:
                units[number] = Unit(tuple((start, end) for start, end in ranges), checksum)
        loaded = cls(folder, identity, units)
        if needed not in units or loaded.data.stat().st_size != identity.size_bytes:
            raise ValueError(f"{folder} is no cached file")
        loaded._punch_unknown()
        loaded._rewrite()
        loaded.show(DISK)
        return loaded

    def expect(self, number: int, ranges: tuple[Range, ...]) -> None:
        """Leave the space of a unit alone while it is being written: until it is noted, or given up."""
        self._coming[number] = ranges

    def give_up(self, number: int) -> None:
        """Free what was written of a unit that will not be noted."""
        with contextlib.suppress(OSError):
            self._punch(self._coming.pop(number, ()))

    def write(self, parts: Sequence[tuple[Range, memoryview]]) -> Unit:
        """Write a unit's bytes; it is there only when it is noted. Raises OSError."""
        checksum = 0
        descriptor = os.open(self.data, os.O_WRONLY)
        try:
            for (start, _), data in parts:
                checksum = zlib.crc32(data, checksum)
                view, at = data, start
                while view:
                    written = os.pwrite(descriptor, view, at)
                    view, at = view[written:], at + written
        finally:
            os.close(descriptor)
        os.utime(self.data, ns=(MODIFIED_NS, MODIFIED_NS))
        return Unit(tuple(part for part, _ in parts), checksum)

    def note(self, number: int, unit: Unit) -> None:
        """Say that a unit is written. Raises OSError."""
        self._append([number, unit.checksum, unit.ranges])
        self.units[number] = unit
        self._coming.pop(number, None)

    def is_whole(self, number: int) -> bool:
        """Whether a unit's bytes are those that were written; False when the disk cannot read them."""
        unit = self.units[number]
        checksum = 0
        try:
            for part in unit.ranges:
                checksum = zlib.crc32(self.read(part), checksum)
        except OSError:
            return False
        return checksum == unit.checksum

    def read(self, part: Range) -> bytes:
        """Return the bytes of a range. Raises OSError."""
        with self.data.open("rb", buffering=0) as file:
            file.seek(part[0])
            data = file.read(part[1] - part[0])
        if len(data) != part[1] - part[0]:
            raise OSError(errno.EIO, "the cached file is shorter than it was", str(self.data))
        return data

    def drop(self, number: int) -> None:
        """Give up a unit and its disk space, as far as the disk still obeys."""
        unit = self.units.pop(number, None)
        if unit is None:
            return
        with contextlib.suppress(OSError):
            self._append([number, 0, None])
            self._punch(unit.ranges)

    def show(self, where: str) -> None:
        """Have the file read elsewhere, from the next read on. Raises OSError."""
        fresh = self.folder / "view.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(where)
        fresh.replace(self.folder / VIEW)

    def used(self) -> None:
        """Note the time of use, by which the next process orders files."""
        with contextlib.suppress(OSError):
            os.utime(self._journal)

    @property
    def used_at_ns(self) -> int:
        """When the file was last used. Raises OSError."""
        return self._journal.stat().st_mtime_ns

    def remove(self) -> None:
        """Delete the file with all its units."""
        self.units.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _punch(self, ranges: Iterable[Range]) -> None:
        """Free the blocks that only these ranges touch, and clear their bytes in the others."""
        kept = [*(unit.ranges for unit in self.units.values()), *self._coming.values()]
        descriptor = os.open(self.data, os.O_WRONLY)
        try:
            punch(descriptor, ranges, kept)
        finally:
            os.close(descriptor)

    def _punch_unknown(self) -> None:
        """Free what a crash left behind: all that no unit holds. Raises OSError."""
        at, holes = len(MAGIC), []
        for start, end in sorted(part for unit in self.units.values() for part in unit.ranges):
            if start > at:
                holes.append((at, start))
            at = max(at, end)
        if at < self.identity.size_bytes:
            holes.append((at, self.identity.size_bytes))
        self._punch(holes)

    def _append(self, entry: object) -> None:
        self._lines += 1
        if self._lines > 2 * len(self.units) + _JOURNAL_LINES // 64:
            self._rewrite()
        descriptor = os.open(self._journal, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, _line(entry))
        finally:
            os.close(descriptor)

    def _rewrite(self) -> None:
        """Write the journal anew, in one step."""
        identity = self.identity
        lines = [_line([identity.endpoint, identity.uri, identity.etag, identity.size_bytes])]
        lines += [_line([number, unit.checksum, unit.ranges]) for number, unit in self.units.items()]
        fresh = self.folder / "journal.new"
        fresh.write_bytes(b"".join(lines))
        fresh.rename(self._journal)
        self._lines = len(self.units)


def _line(entry: object) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _checked(line: str) -> str:
    """Return a journal line's text. Raises ValueError unless it is whole."""
    checksum, _, text = line.partition(" ")
    if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(text.encode()):
        raise ValueError("a torn line")
    return text
