"""The two media frames, alone: what is read is what another wrote, and what is written another can read."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from itertools import pairwise

import pytest
from aioice import stun as aioice_stun
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.engines.world import attribute, crc32, send_indication, stun
from turn.engines.framing import (
    HEADROOM,
    LARGEST_FRAME,
    TAILROOM,
    BadStream,
    ChannelFrame,
    DataFrame,
    frame_size,
    peer_key,
    read_send,
)
from turn.flows import Address

PEERS = [Address.of("192.0.2.7", 40000), Address.of("2001:db8::7", 1), Address.of("255.255.255.255", 65535)]
peers = pytest.mark.parametrize("peer", PEERS, ids=str)
SIZES = [*range(9), 160, 1200]


def in_buffer(data: bytes) -> memoryview:
    view = memoryview(bytearray(b"\xff" * (HEADROOM + len(data) + TAILROOM)))
    view[HEADROOM : HEADROOM + len(data)] = data
    return view


def text(peer: Address) -> tuple[str, int]:
    return peer.host, peer.port


@peers
@pytest.mark.parametrize("fingerprint", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_reads_what_aioice_writes(peer: Address, size: int, fingerprint: bool) -> None:
    message = aioice_stun.Message(
        message_method=aioice_stun.Method.SEND, message_class=aioice_stun.Class.INDICATION
    )
    message.attributes.update({"XOR-PEER-ADDRESS": text(peer), "DATA": b"d" * size})
    if fingerprint:
        message.add_fingerprint()
    frame = bytes(message)
    view = in_buffer(frame)
    media = read_send(view, HEADROOM, len(frame))
    assert media is not None
    key, start, length = media
    assert (key, bytes(view[start : start + length])) == (peer_key(peer), b"d" * size)


@peers
@pytest.mark.parametrize("size", SIZES)
def test_aioice_reads_what_is_written(peer: Address, size: int) -> None:
    view = in_buffer(b"d" * size)
    message = aioice_stun.parse_message(bytes(DataFrame(peer, b"transaction!").wrap(view, HEADROOM, size)))
    assert (message.message_method, message.message_class) == (
        aioice_stun.Method.DATA,
        aioice_stun.Class.INDICATION,
    )
    assert message.attributes == {"XOR-PEER-ADDRESS": text(peer), "DATA": b"d" * size}


def test_channel_data() -> None:
    view = in_buffer(b"voice")
    assert bytes(ChannelFrame(0x4001).wrap(view, HEADROOM, 5)) == b"\x40\x01\x00\x05voice"


def test_peers_have_keys_of_their_own() -> None:
    others = [peer._replace(port=peer.port ^ 1) for peer in PEERS]
    assert len({peer_key(peer) for peer in PEERS + others}) == len(PEERS + others)


def test_the_fingerprints_of_these_tests_are_crc_32() -> None:
    assert crc32(b"voice") == zlib.crc32(b"voice")


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_whatever_comes_is_read_within_its_bounds(junk: bytes, at: int, value: int) -> None:
    frame = bytearray(send_indication(PEERS[1], junk[:64], fingerprint=True))
    frame[at % len(frame)] = value
    for data in (junk, bytes(frame), b"\x00\x16" + junk):
        view = in_buffer(data)
        media = read_send(view, HEADROOM, len(data))
        if media is not None:
            _, start, length = media
            assert start >= HEADROOM + 20
            assert start + length <= HEADROOM + len(data)


def padded(channel: int, data: bytes) -> bytes:
    return struct.pack("!HH", channel, len(data)) + data + bytes(-len(data) % 4)


def cut(stream: bytes) -> list[bytes]:
    """The whole frames at the beginning of a stream, and what is left of it."""
    view, at, found = memoryview(stream), 0, []
    while (size := frame_size(view, at, len(view))) and at + size <= len(view):
        found.append(stream[at : at + size])
        at += size
    return [*found, stream[at:]]


stream_frames = st.one_of(
    st.binary(max_size=40).map(lambda data: stun(0x0001, attribute(0x8022, data))),
    st.builds(padded, st.integers(0x4000, 0x7FFE), st.binary(max_size=40)),
)


@given(st.lists(stream_frames, max_size=8), st.lists(st.integers(0, 300), max_size=8))
def test_however_a_stream_is_split_its_frames_are_the_same(frames: list[bytes], places: list[int]) -> None:
    stream, rest, found = b"".join(frames), b"", []
    for start, end in pairwise([0, *sorted(min(place, len(stream)) for place in places), len(stream)]):
        *whole, rest = cut(rest + stream[start:end])
        found += whole
    assert (found, rest) == (frames, b"")


BROKEN = {
    "first byte 0x80": b"\x80",
    "first byte 0xff": b"\xff\0\0\0",
    "a length that is no multiple of 4": stun(0x0001, bytes(4))[:2] + b"\0\5",
    "another cookie": b"\0\1\0\0\x21\x12\xa4\x43",
    "the hello of TLS": bytes.fromhex("16030100 f8010000"),
    "channel data of 65529": b"\x40\0\xff\xf9",
    **{f"length {size}": struct.pack("!HH", 1, size) for size in range(65516, 65536, 4)},
}


@pytest.mark.parametrize("name", BROKEN)
def test_where_no_frame_begins_the_stream_is_bad(name: str) -> None:
    view = memoryview(BROKEN[name])
    with pytest.raises(BadStream):
        frame_size(view, 0, len(view))


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"", 0),
        (b"\0", 0),
        (b"\x40\1\0", 0),
        (b"\x40\1\0\0", 4),
        (b"\x40\1\0\5", 12),
        (b"\x40\1\0\x08", 12),
        (b"\0\1\0\0", 20),
        (struct.pack("!HH", 0x4000, 65528), LARGEST_FRAME),
        (struct.pack("!HH", 1, 65512), LARGEST_FRAME),
    ],
)
def test_a_head_says_how_long_its_frame_is(head: bytes, size: int) -> None:
    assert frame_size(memoryview(head), 0, len(head)) == size


def test_padding_that_is_left_out_shows_at_the_next_head() -> None:
    unpadded = padded(0x4001, b"voice")[:-3] + stun(0x0001, b"")
    with pytest.raises(BadStream):
        cut(unpadded)


@given(st.binary(max_size=64))
def test_whatever_a_stream_begins_with_has_a_size_or_is_bad(junk: bytes) -> None:
    with suppress(BadStream):
        assert 0 <= frame_size(memoryview(junk), 0, len(junk)) <= LARGEST_FRAME
