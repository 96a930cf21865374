"""The two media frames, alone: what is read is what another wrote, and what is written another can read."""

from __future__ import annotations

import zlib

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from tests.turn.engines.world import crc32, send_indication
from turn.engines.framing import ROOM, TAIL, ChannelFrame, DataFrame, peer_key, read_send
from turn.flows import Address

PEERS = [Address.of("192.0.2.7", 40000), Address.of("2001:db8::7", 1), Address.of("255.255.255.255", 65535)]
peers = pytest.mark.parametrize("peer", PEERS, ids=str)
SIZES = [*range(9), 160, 1200]


def in_buffer(data: bytes) -> memoryview:
    view = memoryview(bytearray(b"\xff" * (ROOM + len(data) + TAIL)))
    view[ROOM : ROOM + len(data)] = data
    return view


def text(peer: Address) -> tuple[str, int]:
    return peer.host, peer.port


@peers
@pytest.mark.parametrize("fingerprint", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_reads_what_aioice_writes(peer: Address, size: int, fingerprint: bool) -> None:
    message = stun.Message(message_method=stun.Method.SEND, message_class=stun.Class.INDICATION)
    message.attributes.update({"XOR-PEER-ADDRESS": text(peer), "DATA": b"d" * size})
    if fingerprint:
        message.add_fingerprint()
    frame = bytes(message)
    view = in_buffer(frame)
    media = read_send(view, ROOM, len(frame))
    assert media is not None
    key, start, length = media
    assert (key, bytes(view[start : start + length])) == (peer_key(peer), b"d" * size)


@peers
@pytest.mark.parametrize("size", SIZES)
def test_aioice_reads_what_is_written(peer: Address, size: int) -> None:
    view = in_buffer(b"d" * size)
    message = stun.parse_message(bytes(DataFrame(peer, b"transaction!").wrap(view, ROOM, size)))
    assert (message.message_method, message.message_class) == (stun.Method.DATA, stun.Class.INDICATION)
    assert message.attributes == {"XOR-PEER-ADDRESS": text(peer), "DATA": b"d" * size}


def test_channel_data() -> None:
    view = in_buffer(b"voice")
    assert bytes(ChannelFrame(0x4001).wrap(view, ROOM, 5)) == b"\x40\x01\x00\x05voice"


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
        media = read_send(view, ROOM, len(data))
        if media is not None:
            _, start, length = media
            assert start >= ROOM + 20
            assert start + length <= ROOM + len(data)
