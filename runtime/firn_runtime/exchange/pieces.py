"""The pieces that an engine keeps: one file of Arrow IPC for what a task gave out for one partition.

In memory a piece is an anonymous file (memfd_create(2)), which the engine reads by its path below /proc and the kernel
frees with the process, whatever way that ends. On disk it is a file of the node's folder, which is emptied at start.
When neither has room it is an object below the statement's own prefix; its reader brings it back to its own disk.
"""

import asyncio
import base64
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from firn_runtime.errors import ExchangeFullError
from firn_runtime.exchange.tiers import Tier, Tiers

_CHUNK_BYTES = 4 << 20


class Overflow(Protocol):
    """The object store of a statement, for what finds no room on the node. Blocking."""

    def put(self, name: str, path: str) -> str:
        """Store a file; return its URI."""

    def get(self, uri: str, path: str) -> None:
        """Write an object to a file."""

    def clear(self, names: list[str]) -> None:
        """Delete what was stored under these names."""


@dataclass(slots=True)
class Piece:
    """A finished piece."""

    name: str
    tier: Tier
    size: int
    rows: int
    path: str
    """Where it is read on this node; its URI when it is in the object store."""
    descriptor: int | None = None


@dataclass(slots=True)
class _Statement:
    folder: Path
    pieces: dict[str, Piece] = field(default_factory=dict)
    overflow: Overflow | None = None
    stored: set[str] = field(default_factory=set)


class PieceStore:
    """All pieces of an engine, by statement and name."""

    def __init__(self, folder: Path, memory_bytes: int, disk_bytes: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        self.tiers = Tiers(memory_bytes, disk_bytes)
        self._statements: dict[str, _Statement] = {}

    def begin(self, statement_id: str, overflow: Overflow | None) -> None:
        """Keep pieces of a statement from now on."""
        if statement_id not in self._statements:
            folder = self._folder / statement_id.replace("/", "_")
            self._statements[statement_id] = _Statement(folder, overflow=overflow)

    def release(self, statement_id: str) -> list[str]:
        """Forget all pieces of a statement, unknown ones are fine; return the names that the object store still has."""
        statement = self._statements.pop(statement_id, None)
        if statement is None:
            return []
        for piece in statement.pieces.values():
            self._discard(piece)
        shutil.rmtree(statement.folder, ignore_errors=True)
        return sorted(statement.stored)

    def drop(self, statement_id: str, names: list[str]) -> None:
        """Forget some pieces of a statement that nobody reads any more."""
        statement = self._statements.get(statement_id)
        for name in names if statement else []:
            piece = statement.pieces.pop(name, None) if statement else None
            if piece is not None:
                self._discard(piece)

    def _discard(self, piece: Piece) -> None:
        self.tiers.give(piece.size, piece.tier)
        if piece.descriptor is not None:
            os.close(piece.descriptor)
        elif piece.tier is Tier.DISK:
            Path(piece.path).unlink(missing_ok=True)

    def holds(self, statement_id: str) -> bool:
        """Whether pieces of this statement are kept."""
        return statement_id in self._statements

    def find(self, statement_id: str, name: str) -> Piece | None:
        """Return a piece, or None when it is not here."""
        statement = self._statements.get(statement_id)
        return statement.pieces.get(name) if statement is not None else None

    def small(self, statement_id: str, name: str) -> str:
        """Return a small piece as Base64; nothing for one that is not in memory."""
        piece = self.find(statement_id, name)
        if piece is None or piece.descriptor is None:
            return ""
        return base64.b64encode(os.pread(piece.descriptor, piece.size, 0)).decode()

    async def recall(self, statement_id: str, name: str, uri: str) -> None:
        """Bring a piece from the object store to the node's disk. Raises ExchangeFullError."""
        statement = self._statements.get(statement_id)
        if statement is None or statement.overflow is None:
            raise ExchangeFullError("the statement has ended")
        statement.folder.mkdir(parents=True, exist_ok=True)
        path = statement.folder / f"{name}.recalled"
        await asyncio.to_thread(statement.overflow.get, uri, str(path))
        size = path.stat().st_size
        self.tiers.used[Tier.DISK] += size
        self._keeper(statement_id)(Piece(name, Tier.DISK, size, 0, str(path)))

    def sink(self, statement_id: str, name: str, is_copy: bool = False) -> "Sink":
        """Return where to write a new piece, or a copy of a peer's. Raises ExchangeFullError when it was released."""
        statement = self._statements.get(statement_id)
        if statement is None:
            raise ExchangeFullError("the statement has ended")
        statement.folder.mkdir(parents=True, exist_ok=True)
        return Sink(self.tiers, name, statement.folder / name, statement.overflow, self._keeper(statement_id), is_copy)

    def _keeper(self, statement_id: str) -> Callable[[Piece], None]:
        def keep(piece: Piece) -> None:
            statement = self._statements.get(statement_id)
            if statement is None:
                self._discard(piece)
                raise ExchangeFullError("the statement has ended")
            if (earlier := statement.pieces.pop(piece.name, None)) is not None:
                self._discard(earlier)
            statement.pieces[piece.name] = piece
            if piece.tier is Tier.STORE:
                statement.stored.add(piece.name)

        return keep


class Sink:
    """A piece that is being written: in memory while there is room, then on disk, in the end in the object store."""

    def __init__(
        self,
        tiers: Tiers,
        name: str,
        path: Path,
        overflow: Overflow | None,
        keep: Callable[[Piece], None],
        is_copy: bool,
    ) -> None:
        self._tiers = tiers
        self._name = name
        self._path = path
        self._overflow = overflow
        self._keep = keep
        self._is_copy = is_copy
        self._tier = Tier.MEMORY
        self._descriptor = os.memfd_create(name)
        self._uri = ""
        self.size = 0
        self.closed = False

    def write(self, data: bytes | memoryview | pa.Buffer) -> int:
        """Take bytes; move to the next tier when this one is full. Raises ExchangeFullError when all are."""
        view = memoryview(data)
        tier = self._tiers.take(view.nbytes, self._tier)
        if tier is not self._tier:
            self._move(tier, view.nbytes)
        self.size += view.nbytes
        left = view.cast("B")
        while left:
            left = left[os.write(self._descriptor, left) :]
        return view.nbytes

    def _move(self, tier: Tier, added: int) -> None:
        """Bring what is there to the tier where `added` bytes were counted in."""
        if tier is Tier.STORE and self._overflow is None and not self._is_copy:
            self._tiers.give(added, tier)
            raise ExchangeFullError("the node's memory and disk for exchanges are full")
        if self._tier is Tier.MEMORY:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            offset = 0
            while offset < self.size:
                offset += os.sendfile(file, self._descriptor, offset, _CHUNK_BYTES)
            os.close(self._descriptor)
            self._descriptor = file
        self._tiers.give(self.size, self._tier)
        self._tiers.used[tier] += self.size
        self._tier = tier

    @property
    def is_remote(self) -> bool:
        """Whether the piece will go to the object store, which takes its time."""
        return self._tier is Tier.STORE

    def stay(self) -> None:
        """Stay on the disk whatever its bound: what a task reads must be on its node."""
        if self.is_remote:
            self._tiers.give(self.size, Tier.STORE)
            self._tiers.used[Tier.DISK] += self.size
            self._tier = Tier.DISK

    def flush(self) -> None:
        """Nothing is held back."""

    def upload(self) -> None:
        """Bring a remote piece to the object store. Blocks."""
        assert self._overflow is not None, "only a statement with an object store has remote pieces"  # noqa: S101
        self._uri = self._overflow.put(self._name, str(self._path))
        self._path.unlink()

    def finish(self, rows: int) -> Piece:
        """Keep the piece and return it."""
        self.closed = True
        piece = Piece(self._name, self._tier, self.size, rows, str(self._path))
        if self._tier is Tier.MEMORY:
            piece.descriptor = self._descriptor
            piece.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        else:
            os.close(self._descriptor)
        if self._tier is Tier.STORE:
            piece.path = self._uri
        self._keep(piece)
        return piece

    def abandon(self) -> None:
        """Forget what was written."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)
            self._tiers.give(self.size, self._tier)
            self._path.unlink(missing_ok=True)
