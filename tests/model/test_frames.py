"""Frames survive any chunking, and what cannot be a frame is refused."""

import struct

import pytest
from firn_model.frames import HEADER_BYTES, MAX_PAYLOAD_BYTES, Frame, FrameReader, FrameType, encode
from hypothesis import given
from hypothesis import strategies as st

frames = st.lists(st.builds(Frame, st.sampled_from(FrameType), st.binary(max_size=300)), max_size=12)


@given(frames, st.data())
def test_round_trip_whatever_the_chunks(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(encode(frame.type, frame.payload) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader, received = FrameReader(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.feed(stream[begin:end])
    assert received == sent


@given(frames.filter(bool), st.data())
def test_a_frame_that_is_cut_short_is_not_there_yet(sent: list[Frame], data: st.DataObject) -> None:
    last = encode(sent[-1].type, sent[-1].payload)
    missing = data.draw(st.integers(1, len(last)))
    stream = b"".join(encode(frame.type, frame.payload) for frame in sent)
    assert FrameReader().feed(stream[:-missing]) == sent[:-1]


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="not a valid FrameType"):
        FrameReader().feed(b"Z" + struct.pack(">I", 0))


def test_an_unknown_type_is_refused_before_its_payload_has_come() -> None:
    with pytest.raises(ValueError, match="not a valid FrameType"):
        FrameReader().feed(b"Z" + struct.pack(">I", 1000))


def test_a_length_over_the_bound_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=f"{MAX_PAYLOAD_BYTES + 1} bytes is over the bound"):
        FrameReader().feed(b"A" + struct.pack(">I", MAX_PAYLOAD_BYTES + 1))


def test_the_header_is_one_type_byte_and_a_big_endian_length() -> None:
    assert encode(FrameType.ARROW, b"x" * 258) == b"A\x00\x00\x01\x02" + b"x" * 258
    assert HEADER_BYTES == 5
