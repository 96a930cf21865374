"""SRTP and SRTCP packets as seen from outside: which stream they are of, and if it looks encrypted."""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import Final

SSRC = Struct("!8xI")
RTCP_HEAD = Struct("!BBH")

NOTHING: Final = -1  # not a packet of media that may pass
RTCP: Final = 1 << 32  # stands for all SRTCP of a direction; other streams are SSRCs, which are smaller
INWARD: Final = RTCP << 1  # is added to a stream from the peer in sets with streams of both directions

RTP_HEADER = 12  # bytes that are never encrypted, at least (RFC 3711 §3.1)
SHORTEST_TAG = 4  # AES_CM_128_HMAC_SHA1_32, which Firefox offers (RFC 5764 §4.1.2)
SHORTEST_RTP = RTP_HEADER + SHORTEST_TAG
RTCP_IN_CLEAR = 8  # the first header and the sender's SSRC (RFC 3711 §3.4)
RTCP_SHORTEST_BODY = 28  # header, index and the longest tag: a longer packet has something between them
LONGEST_EXTENSION = 256  # unencrypted bytes: calls have some tens, and more could carry data
RTCP_TRAILER = 14  # index and tag at least: 4 and 10 bytes; 16 and 4 with AES-GCM (RFC 7714 §9)
MOST_IN_COMPOUND = 16  # RTCP packets that we look at in one datagram; browsers send up to five

# So many pairs of equal bytes, among the first bytes of so many payloads, show that these are not encrypted:
# of streams of random bytes, one in 10^12 has more. We count pairs, so that one odd packet does no harm.
MOST_PAIRS = {8: 16, 16: 23, 32: 37, 64: 57}
SAMPLE = max(MOST_PAIRS)  # packets after which a stream counts as tested


def stream_of(packet: bytes | memoryview, start: int, size: int) -> int:
    """The SSRC if this may be SRTP, RTCP if it may be SRTCP, else NOTHING. Runs for each packet of media."""
    if size < SHORTEST_RTP or packet[start] & 0xC0 != 0x80:
        return NOTHING
    if packet[start + 1] & 0xE0 != 0xC0:  # payload types 64 to 95 with a marker are RTCP's (RFC 5761 §4)
        ssrc: int = SSRC.unpack_from(packet, start)[0]
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
    at = start + 4 + 4 * RTCP_HEAD.unpack_from(packet, start)[2]
    if at + RTCP_TRAILER > end:
        return False
    for _ in range(MOST_IN_COMPOUND):
        if at + 4 > end:
            return bool(at != end)
        first, kind, words = RTCP_HEAD.unpack_from(packet, at)
        if first & 0xC0 != 0x80 or kind & 0xE0 != 0xC0:
            return True
        at += 4 + 4 * words
    return False


def sealed_at(packet: bytes, stream: int) -> int | None:
    """Where the encrypted part begins; None if the RTP header is too long, or SRTCP has no such part.

    In SRTP, the header and its extension are not encrypted (RFC 3711 §3.1).
    """
    if stream == RTCP:
        has_body = packet[2] or packet[3] > 1 or len(packet) > RTCP_SHORTEST_BODY
        return RTCP_IN_CLEAR if has_body else None
    at = RTP_HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        extension = 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
        if extension > LONGEST_EXTENSION:
            return None
        at += 4 + extension
    return at if at + SHORTEST_TAG <= len(packet) else None


def looks_plain(firsts: bytes | bytearray) -> bool:
    """Whether the first bytes of a stream's payloads repeat more often than encrypted ones do.

    It is called after each packet, and decides at the numbers of packets in MOST_PAIRS.
    """
    most = MOST_PAIRS.get(len(firsts))
    return most is not None and pairs(firsts) >= most


def pairs(firsts: bytes | bytearray) -> int:
    """How many pairs of these bytes are equal."""
    return sum(times * (times - 1) // 2 for times in Counter(firsts).values())
