"""A connection to a peer's engine, read into one buffer: bytes on their way are copied once, not by each layer."""

import asyncio
import socket

CHUNK_BYTES = 1 << 20
_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 30.0


class Peer:
    """A connected peer. What it raises is of OSError: ConnectionError at its end, TimeoutError when it is silent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    @classmethod
    async def connect(cls, door: str) -> "Peer":
        """Connect to a door, host:port."""
        host, _, port = door.rpartition(":")
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            try:
                connection.setblocking(False)
                await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
            except BaseException:
                connection.close()
                raise
        return cls(connection)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        async with asyncio.timeout(_SILENCE_SECONDS):
            await self._loop.sock_sendall(self._connection, data)

    async def some(self, most: int) -> memoryview:
        """Return the next bytes, no more than `most`; they are good until the next call."""
        async with asyncio.timeout(_SILENCE_SECONDS):
            size = await self._loop.sock_recv_into(self._connection, self._buffer[:most])
            await asyncio.sleep(0)  # a peer that is always ahead must not keep the loop to itself
        if not size:
            raise ConnectionResetError("the peer has ended")
        return self._buffer[:size]

    async def exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        data = b""
        while len(data) < size:
            data += await self.some(size - len(data))
        return data

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
