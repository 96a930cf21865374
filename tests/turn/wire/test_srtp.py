"""Streams, the structure of SRTCP, and what of a packet is encrypted."""

from __future__ import annotations

import pytest

from tests.turn.call import VOICE, rtcp, rtp, srtcp
from tests.turn.captures import load
from turn.wire.srtp import (
    INWARD,
    LEAST_BETWEEN,
    NOTHING,
    RTCP,
    SPREAD,
    between,
    sealed_part,
    stream_of,
    streams,
)


def whose(packet: bytes) -> int:
    return stream_of(packet, 0, len(packet))


def is_rtcp(packet: bytes) -> bool:
    return packet[0] & 0xC0 == 0x80 and packet[1] & 0xE0 == 0xC0


@pytest.mark.parametrize(
    ("packet", "stream"),
    [
        (rtp(VOICE, 1), VOICE),
        (rtp(VOICE, 1)[:16], VOICE),
        (rtp(VOICE, 1)[:15], NOTHING),
        (b"\x40" + rtp(VOICE, 1)[1:], NOTHING),
        (b"\xc0" + rtp(VOICE, 1)[1:], NOTHING),
        (srtcp(1), RTCP),
        (srtcp(1, body=0), RTCP),
        (srtcp(1, body=200), RTCP),
        (srtcp(1)[:21], NOTHING),
        (rtcp(), NOTHING),
        (rtcp(7, 3, 12), NOTHING),
        (rtcp(*range(6, 26)), NOTHING),
        (rtcp(7) + b"\x80" + bytes(13), RTCP),
        (bytes((0x80, 200, 0, 9)) + bytes(20) + b"\x80" + bytes(13), NOTHING),
        (rtcp(7) + bytes(14), NOTHING),
        (bytes((0x80, 200, 0xFF, 0xFF)) + bytes(15) + b"\x80" + bytes(10), NOTHING),
        (b"", NOTHING),
    ],
)
def test_whose_stream_a_packet_is_of(packet: bytes, stream: int) -> None:
    assert whose(packet) == stream
    assert stream_of(memoryview(b"before" + packet + b"behind"), 6, len(packet)) == stream


@pytest.mark.parametrize("name", ["chr12", "chrrestart", "ff", "ff12", "turn_ff"])
def test_of_recorded_srtcp_none_is_taken_for_plain(name: str) -> None:
    sealed = [seen.payload for seen in load(name) if is_rtcp(seen.payload)]
    assert len(sealed) > 300
    assert {whose(packet) for packet in sealed} == {RTCP}


@pytest.mark.parametrize("name", ["chrplain", "turn_plain"])
def test_all_of_recorded_plain_rtcp_is_seen(name: str) -> None:
    plain = [seen.payload for seen in load(name) if is_rtcp(seen.payload)]
    assert len(plain) > 300
    assert {whose(packet) for packet in plain} == {NOTHING}


SEALED = b"sealed"
ONE_BYTE, TWO_BYTE, CRYPTEX = b"\xbe\xde", b"\x10\0", b"\xc0\xde"


@pytest.mark.parametrize(
    ("packet", "sealed"),
    [
        (rtp(VOICE, 1, SEALED), SEALED),
        (rtp(VOICE, 1, bytes(8) + SEALED, first=0x82), SEALED),
        (rtp(VOICE, 1, ONE_BYTE + b"\0\2" + bytes(8) + SEALED, first=0x90), SEALED),
        (rtp(VOICE, 1, TWO_BYTE + b"\0\2" + bytes(8) + SEALED, first=0x90), SEALED),
        (rtp(VOICE, 1, bytes(4) + ONE_BYTE + b"\0\1" + bytes(4) + SEALED, first=0x91), SEALED),
        (rtp(VOICE, 1, ONE_BYTE + b"\xff\xff" + bytes(20), first=0x90), None),
        (rtp(VOICE, 1, bytes(8), first=0x8F), None),
        (rtp(VOICE, 1, ONE_BYTE, first=0x90), None),
        (rtp(VOICE, 1, ONE_BYTE + b"\0\0sea", first=0x90), None),
        (rtp(VOICE, 1, ONE_BYTE + b"\0\x40" + bytes(256) + SEALED, first=0x90), SEALED),
        (rtp(VOICE, 1, ONE_BYTE + b"\0\x41" + bytes(260) + SEALED, first=0x90), None),
        (rtp(VOICE, 1, CRYPTEX + b"\0\1list" + SEALED, first=0x90), b"list" + SEALED),
        (rtp(VOICE, 1, b"\xc2\xde\0\x41" + bytes(260) + SEALED, first=0x90), bytes(260) + SEALED),
        (rtp(VOICE, 1, SEALED + bytes(3), first=0xA0), SEALED + bytes(3)),  # padding is encrypted, too
    ],
)
def test_what_is_encrypted_of_srtp(packet: bytes, sealed: bytes | None) -> None:
    assert sealed_part(packet, VOICE) == sealed


@pytest.mark.parametrize("body", [b"", b"body", b"a longer body"])
def test_what_is_encrypted_of_srtcp_in_both_forms(body: bytes) -> None:
    """The index may be anything, so it is left out wherever it stands."""
    head, index = b"in clear", b"\x80\0\0\1"
    cm = sealed_part(head + body + index + b"tag of ten", RTCP)
    gcm = sealed_part(head + body + b"tag of sixteen b" + index, RTCP)
    assert cm == body + b"tag of"
    assert gcm == body + b"tag of" + b"teen b"


def test_nobody_knows_which_packets_are_looked_at() -> None:
    gaps = {between(rtp(VOICE, number)) for number in range(200)}
    assert gaps == set(range(LEAST_BETWEEN, LEAST_BETWEEN + SPREAD))


def test_streams_go_by_direction() -> None:
    media = frozenset((VOICE, 7 | INWARD, RTCP, RTCP | INWARD))
    assert streams(media, inward=False) == {VOICE, RTCP}
    assert streams(media, inward=True) == {7, RTCP}
