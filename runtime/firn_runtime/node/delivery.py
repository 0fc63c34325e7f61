"""Whether a peer's kernel has taken everything: until then a result is undelivered, and its node must stay."""

import asyncio
import fcntl
import socket
import struct
import termios

_FIRST_SECONDS = 0.0005
_LONGEST_SECONDS = 0.05


async def delivered(transport: asyncio.Transport | None) -> None:
    """Return when nothing that was written waits for the peer's acknowledgement, or the connection is gone.

    The kernel has no event for this (SIOCOUTQ, tcp(7)), so it is asked again; nearly always the first answer is final.
    """
    pause = _FIRST_SECONDS
    while transport is not None and not transport.is_closing() and _unacknowledged_bytes(transport):
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_SECONDS)


def _unacknowledged_bytes(transport: asyncio.Transport) -> int:
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0]) + transport.get_write_buffer_size()
