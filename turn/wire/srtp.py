"""What SRTP and SRTCP packets look like from outside: whose stream they are of, and whether it looks
encrypted."""

from __future__ import annotations

from collections import Counter
from struct import Struct
from typing import Final

SSRC = Struct("!8xI")
RTCP_HEAD = Struct("!BBH")

NOTHING: Final = -1  # no packet of media that may pass
RTCP: Final = 1 << 32  # stands for all SRTCP of a direction where streams go by their SSRC, which is smaller
INWARD: Final = RTCP << 1  # added to a stream from the peer where those of both directions stand together

RTP_HEADER = 12  # bytes in clear at least (RFC 3711 §3.1)
SHORTEST_TAG = 4  # AES_CM_128_HMAC_SHA1_32, which Firefox offers (RFC 5764 §4.1.2)
SHORTEST_RTP = RTP_HEADER + SHORTEST_TAG
RTCP_IN_CLEAR = 8  # the first header and the sender's SSRC (RFC 3711 §3.4)
RTCP_SHORTEST_BODY = 28  # header, index and the longest tag: what is longer has something between them
LONGEST_EXTENSION = 256  # bytes in clear: those of calls have tens, and data could travel in the rest
RTCP_TRAILER = 14  # index and tag at least: 4 and 10 bytes; 16 and 4 with AES-GCM (RFC 7714 §9)
MOST_IN_COMPOUND = 16  # packets that are walked in one datagram; browsers send up to five

# How many pairs of equal bytes among the first bytes of so many payloads show that they are not encrypted:
# more are seen in one of 10^12 streams of random bytes. Counts and not a mean, so that one odd packet does no
# harm.
MOST_PAIRS = {8: 16, 16: 23, 32: 37, 64: 57}
SAMPLE = max(MOST_PAIRS)  # packets after which a stream counts as tested


def stream_of(packet: bytes | memoryview, start: int, size: int) -> int:
    """The SSRC of what may be SRTP, RTCP for what may be SRTCP, else NOTHING: asked for each packet of
    media."""
    if size < SHORTEST_RTP or packet[start] & 0xC0 != 0x80:
        return NOTHING
    if packet[start + 1] & 0xE0 != 0xC0:  # payload types 64 to 95 with a marker are RTCP's (RFC 5761 §4)
        ssrc: int = SSRC.unpack_from(packet, start)[0]
        return ssrc
    return RTCP if is_sealed(packet, start, size) else NOTHING


def streams(media: frozenset[int], *, inward: bool) -> frozenset[int]:
    """Those of one direction, as `stream_of` names them."""
    return frozenset(stream & ~INWARD for stream in media if bool(stream & INWARD) == inward)


def is_sealed(packet: bytes | memoryview, start: int, size: int) -> bool:
    """Whether this is SRTCP by its structure: the flag E says encrypted (RFC 3711 §3.4), the first packet
    leaves room for index and tag, and the packets that follow each other do not end exactly where the
    datagram does, as RTCP in clear would. One of two million with AES-GCM does by chance, and none with
    AES-CM."""
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
    """Where the encrypted part begins; None where an RTP header is too long or passes the end, or SRTCP has
    no such part. Of RTP the header and its extension are in clear (RFC 3711 §3.1)."""
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
    """Whether the first bytes of that many payloads of one stream repeat as encrypted ones would not. Asked
    after each packet; answers where MOST_PAIRS has a row."""
    most = MOST_PAIRS.get(len(firsts))
    return most is not None and pairs(firsts) >= most


def pairs(firsts: bytes | bytearray) -> int:
    """How many pairs of them are equal."""
    return sum(times * (times - 1) // 2 for times in Counter(firsts).values())
