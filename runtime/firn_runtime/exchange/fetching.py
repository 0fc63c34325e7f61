"""Pieces brought to the node where they are read: what is here stays, the rest comes from peers or the object store."""

import asyncio
import base64
import time
from collections.abc import Iterable
from functools import partial

from firn_runtime.engine.stage import GREETING, LENGTH
from firn_runtime.engine.tasks import MISSING_PIECE, PIECE_LENGTH, Fetch, PieceAddress, TaskInput
from firn_runtime.errors import PieceLostError
from firn_runtime.exchange.peers import Peer
from firn_runtime.exchange.pieces import Piece, PieceStore
from firn_runtime.exchange.tickets import ticket
from firn_runtime.exchange.tiers import Tier


class Fetcher:
    """Brings pieces here, each once however many tasks of this node read it."""

    def __init__(self, store: PieceStore, key: bytes) -> None:
        self._store = store
        self._key = key
        self._coming: dict[tuple[str, str], asyncio.Future[None]] = {}
        self.bytes_from_peers = 0

    async def fetch(self, statement_id: str, inputs: Iterable[TaskInput]) -> dict[tuple[int, int], list[Piece]]:
        """Return the pieces of each stage and partition, all on this node. Raises PieceLostError, ExchangeFullError."""
        wanted = {piece.name: piece for each in inputs for piece in each.pieces}
        await self._bring(statement_id, wanted.values())
        return {
            (each.stage, each.partition): [self._found(statement_id, piece) for piece in each.pieces] for each in inputs
        }

    def _found(self, statement_id: str, address: PieceAddress) -> Piece:
        piece = self._store.find(statement_id, address.name)
        if piece is None or piece.tier is Tier.STORE:
            raise PieceLostError(address.node)
        return piece

    async def _bring(self, statement_id: str, pieces: Iterable[PieceAddress]) -> None:
        """Bring what is not here, one connection to each peer; wait for what other tasks bring already."""
        by_door: dict[str, list[PieceAddress]] = {}
        waits: list[asyncio.Future[None]] = []
        for piece in pieces:
            found = self._store.find(statement_id, piece.name)
            if found is not None and found.tier is not Tier.STORE:
                continue
            if piece.data:
                self._keep(statement_id, piece)
            elif (coming := self._coming.get((statement_id, piece.name))) is not None:
                waits.append(asyncio.shield(coming))
            else:
                by_door.setdefault("" if piece.uri else piece.door, []).append(piece)
        for door, group in by_door.items():
            future = asyncio.ensure_future(self._from(door, statement_id, group))
            for piece in group:
                self._coming[statement_id, piece.name] = future
            future.add_done_callback(partial(self._arrived, statement_id, group))
            waits.append(asyncio.shield(future))
        await asyncio.gather(*waits)

    def _keep(self, statement_id: str, piece: PieceAddress) -> None:
        """Keep a piece that came with the task. Raises ExchangeFullError."""
        data = base64.b64decode(piece.data)
        sink = self._store.sink(statement_id, piece.name, is_copy=True)
        try:
            sink.write(data)
            sink.stay()
            sink.finish(0)
        except BaseException:
            sink.abandon()
            raise
        self.bytes_from_peers += len(data)

    def _arrived(self, statement_id: str, group: list[PieceAddress], future: "asyncio.Future[None]") -> None:
        if not future.cancelled():
            future.exception()  # those who wait for it raise it
        for piece in group:
            self._coming.pop((statement_id, piece.name), None)

    async def _from(self, door: str, statement_id: str, pieces: list[PieceAddress]) -> None:
        if not door:
            for piece in pieces:
                await self._store.recall(statement_id, piece.name, piece.uri or "")
            return
        try:
            await self._from_peer(door, statement_id, pieces)
        except OSError as error:
            raise PieceLostError(pieces[0].node) from error

    async def _from_peer(self, door: str, statement_id: str, pieces: list[PieceAddress]) -> None:
        request = Fetch(statement_id=statement_id, names=tuple(piece.name for piece in pieces))
        body = request.model_dump_json().encode()
        peer = await Peer.connect(door)
        try:
            await peer.send(LENGTH.pack(len(body)) + ticket(self._key, body, time.time()) + body)
            await peer.exactly(len(GREETING))
            for piece in pieces:
                await self._receive(peer, statement_id, piece)
        finally:
            peer.close()

    async def _receive(self, peer: Peer, statement_id: str, piece: PieceAddress) -> None:
        (left,) = PIECE_LENGTH.unpack(await peer.exactly(PIECE_LENGTH.size))
        if left == MISSING_PIECE:
            raise PieceLostError(piece.node)
        sink = self._store.sink(statement_id, piece.name, is_copy=True)
        try:
            while left:
                data = await peer.some(left)
                sink.write(data)
                left -= len(data)
                self.bytes_from_peers += len(data)
            sink.stay()
            sink.finish(0)
        except BaseException:
            sink.abandon()
            raise
