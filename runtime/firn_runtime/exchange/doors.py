"""The requests about pieces: keep a statement's, forget some, send some."""

import asyncio
import contextlib
import os
from typing import BinaryIO

from firn_model.frames import FrameType, encode

from firn_runtime.engine.tasks import MISSING_PIECE, PIECE_LENGTH, Discard, Drop, Fetch, Hold
from firn_runtime.exchange.overflow import StoreOverflow
from firn_runtime.exchange.peers import CHUNK_BYTES
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tiers import Tier
from firn_runtime.writing.writes import delete_files

_DONE = encode(FrameType.FINISH, b"{}")


class PieceDoors:
    """Answers requests about the pieces of an engine."""

    def __init__(self, pieces: PieceStore) -> None:
        self._pieces = pieces

    async def hold(self, request: Hold, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep a statement's pieces until the coordinator closes the connection, or dies."""
        overflow = None
        if request.object_store is not None and request.overflow_uri is not None:
            overflow = StoreOverflow(request.object_store, request.overflow_uri)
        self._pieces.begin(request.statement_id, overflow)
        try:
            writer.write(_DONE)
            with contextlib.suppress(ConnectionError):
                await reader.read(1)
        finally:
            stored = self._pieces.release(request.statement_id)
            if overflow is not None and stored:
                await asyncio.to_thread(overflow.clear, stored)

    async def drop(self, request: Drop, writer: asyncio.StreamWriter) -> None:
        """Forget pieces."""
        self._pieces.drop(request.statement_id, list(request.names))
        writer.write(_DONE)

    async def discard(self, request: Discard, writer: asyncio.StreamWriter) -> None:
        """Delete files, as far as the object store answers."""
        await asyncio.to_thread(delete_files, request.object_store, request.uris)
        writer.write(_DONE)

    async def send(self, request: Fetch, writer: asyncio.StreamWriter) -> None:
        """Send pieces, each with its length before it."""
        for name in request.names:
            piece = self._pieces.find(request.statement_id, name)
            if piece is None or piece.tier is Tier.STORE:
                writer.write(PIECE_LENGTH.pack(MISSING_PIECE))
                continue
            with open(piece.path, "rb") as file:  # noqa: ASYNC230  of this node, mostly in memory
                writer.write(PIECE_LENGTH.pack(os.fstat(file.fileno()).st_size))
                await _send_file(writer, file)
        await writer.drain()


async def _send_file(writer: asyncio.StreamWriter, file: BinaryIO) -> None:
    """Send a file without its bytes going through this process, where the loop can. Raises OSError."""
    if writer.transport.is_closing():
        raise ConnectionResetError("the peer has ended")
    try:
        await asyncio.get_running_loop().sendfile(writer.transport, file)
    except NotImplementedError:  # uvloop, which Ray's actors may run on
        while data := file.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
