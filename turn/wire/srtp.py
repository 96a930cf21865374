"""SRTP and SRTCP packets as seen from outside: which stream they are of, and what of them is encrypted."""

from __future__ import annotations

from struct import Struct
from typing import Final

RTP_HEAD = Struct("!BB6xI")  # the first two bytes, and the SSRC (RFC 3550 §5.1)
RTCP_HEAD = Struct("!BBH")
unpack_rtp, unpack_rtcp = RTP_HEAD.unpack_from, RTCP_HEAD.unpack_from

NOTHING: Final = -1  # not a packet of media that may pass
RTCP: Final = 1 << 32  # stands for all SRTCP of a direction; other streams are SSRCs, which are smaller
INWARD: Final = RTCP << 1  # is added to a stream from the peer in sets with streams of both directions

RTP_HEADER = 12  # bytes that are never encrypted, at least (RFC 3711 §3.1)
SHORTEST_TAG = 4  # AES_CM_128_HMAC_SHA1_32, which Firefox offers (RFC 5764 §4.1.2)
SHORTEST_RTP = RTP_HEADER + SHORTEST_TAG
LONGEST_EXTENSION = 256  # unencrypted bytes: calls have some tens, and more could carry data
EXTENSION_HEAD = 4  # profile and length (RFC 8285 §4.2)
CRYPTEX = (0xC0DE, 0xC2DE)  # profiles of extensions that are encrypted (RFC 9335 §5.1)
RTCP_IN_CLEAR = 8  # the first header and the sender's SSRC (RFC 3711 §3.4)
RTCP_TRAILER = 14  # index and tag at least: 4 and 10 bytes; 16 and 4 with AES-GCM (RFC 7714 §9)
RTCP_TAG = slice(-10, -4)  # bytes of the tag in both forms
MOST_IN_COMPOUND = 16  # RTCP packets that we look at in one datagram; browsers send up to five

# The core tests so many packets of a stream, and then an engine carries it. One of each 19 to 26 that the
# engine carries is looked at, too. That finds within 200 packets what becomes plain later, and costs little.
SAMPLE: Final = 64
LEAST_BETWEEN, SPREAD = 18, 8  # packets between two that are looked at; no sender should know which these are


def between(packet: bytes) -> int:
    """How many packets of a stream are not looked at after this one."""
    return LEAST_BETWEEN + hash(packet) % SPREAD


def stream_of(packet: bytes | memoryview, start: int, size: int) -> int:
    """The SSRC if this may be SRTP, RTCP if it may be SRTCP, else NOTHING. Runs for each packet of media."""
    if size < SHORTEST_RTP:
        return NOTHING
    ssrc: int
    first, second, ssrc = unpack_rtp(packet, start)
    if first & 0xC0 != 0x80:
        return NOTHING
    if second & 0xE0 != 0xC0:  # payload types 64 to 95 with a marker are RTCP's (RFC 5761 §4)
        return ssrc
    return RTCP if is_sealed(packet, start, size) else NOTHING


def streams(media: frozenset[int], *, inward: bool) -> frozenset[int]:
    """The streams of one direction, in the form of `stream_of`."""
    return frozenset(stream & ~INWARD for stream in media if bool(stream & INWARD) == inward)


def is_sealed(packet: bytes | memoryview, start: int, size: int) -> bool:
    """Whether this has the structure of SRTCP.

    The flag E says that it is encrypted (RFC 3711 §3.4), and there is room for index and tag after the first
    packet. Unencrypted RTCP packets end exactly where the datagram ends; these must not. One of two million
    with AES-GCM does by chance, and none with AES-CM.
    """
    end = start + size
    if size < RTCP_IN_CLEAR + RTCP_TRAILER or not (packet[end - 14] | packet[end - 4]) & 0x80:
        return False
    at = start + 4 + 4 * unpack_rtcp(packet, start)[2]
    if at + RTCP_TRAILER > end:
        return False
    left = MOST_IN_COMPOUND
    while left:
        if at + 4 > end:
            return bool(at != end)
        first, kind, words = unpack_rtcp(packet, at)
        if first & 0xC0 != 0x80 or kind & 0xE0 != 0xC0:
            return True
        at += 4 + 4 * words
        left -= 1
    return False


def sealed_part(packet: bytes, stream: int) -> bytes | None:
    """What is encrypted, or a tag, if the packet is what `stream_of` says; None if its header is too long.

    Header and extension of SRTP are not encrypted (RFC 3711 §3.1), except in Cryptex.
    """
    if stream == RTCP:
        return packet[RTCP_IN_CLEAR:-RTCP_TRAILER] + packet[RTCP_TAG]
    first = packet[0]
    at = RTP_HEADER + 4 * (first & 0x0F)
    if first & 0x10:
        head = int.from_bytes(packet[at : at + EXTENSION_HEAD], "big")
        at += EXTENSION_HEAD
        if head >> 16 not in CRYPTEX:
            size = 4 * (head & 0xFFFF)
            if size > LONGEST_EXTENSION:
                return None
            at += size
    return packet[at:] if at + SHORTEST_TAG <= len(packet) else None
