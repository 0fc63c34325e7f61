"""The body of a dispatch's answer: a sequence of frames, so that rows, statistics and errors share one stream.

A frame is one type byte, the payload's length as four big-endian bytes, and the payload:

- `A`: bytes of one Arrow IPC stream (the concatenation of all `A` payloads is the whole stream);
- `P`: how far it is; JSON of `messages.Progress`. At most a few each second, never within another frame;
- `F`: the statement succeeded; JSON of `messages.Finish`. Last frame;
- `E`: the statement did not succeed; JSON of `messages.Failure`. Last frame.

A stream that ends without `F` or `E` means that the head was lost.
"""

import struct
from dataclasses import dataclass
from enum import Enum

HEADER_BYTES = 5
MAX_PAYLOAD_BYTES = 1 << 30


class FrameType(Enum):
    """The type byte of a frame."""

    ARROW = b"A"
    PROGRESS = b"P"
    FINISH = b"F"
    FAILURE = b"E"

    @property
    def is_last(self) -> bool:
        """Whether nothing follows it."""
        return self in (FrameType.FINISH, FrameType.FAILURE)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    type: FrameType
    payload: bytes


def encode(type_: FrameType, payload: bytes) -> bytes:
    """Return the bytes of one frame."""
    return type_.value + struct.pack(">I", len(payload)) + payload


class FrameReader:
    """Cuts a byte stream into frames, whatever the chunks it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames completed by `data`. Raises ValueError for a type or a length that cannot be."""
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= HEADER_BYTES:
            kind = FrameType(bytes(self._buffer[:1]))
            (length,) = struct.unpack_from(">I", self._buffer, 1)
            if length > MAX_PAYLOAD_BYTES:
                raise ValueError(f"a frame of {length} bytes is over the bound of {MAX_PAYLOAD_BYTES}")
            if len(self._buffer) < HEADER_BYTES + length:
                break
            frames.append(Frame(kind, bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + length])))
            del self._buffer[: HEADER_BYTES + length]
        return frames
