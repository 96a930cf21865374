"""The two kinds of frame that carry media on a client's leg: read, written, and cut from a stream.

ChannelData (RFC 8656 §12.4) is a channel number, a length and the data. The other is an indication that
holds XOR-PEER-ADDRESS and DATA and at most a FINGERPRINT: Send from the client (§11.2), Data towards it
(§11.3). The header is written into the free space in front of the data, so that data is never copied.
"""

from __future__ import annotations

import struct
import zlib

from turn.flows import Address

HEADROOM = 48  # bytes kept free in front of data: the longest header, a Data indication about an IPv6 peer
TAILROOM = 4  # bytes kept free behind it, for padding
GAP = TAILROOM + HEADROOM  # bytes between the data of two packets in one buffer
LARGEST = 65535  # bytes; no UDP payload is longer
LARGEST_DATAGRAM = {4: 65507, 16: 65527}  # bytes of payload, by the length of the family's addresses

COOKIE = b"\x21\x12\xa4\x42"
SEND, DATA_INDICATION = 0x0016, 0x0017
XOR_PEER_ADDRESS, DATA, FINGERPRINT = 0x0012, 0x0013, 0x8028
FINGERPRINT_XOR = 0x5354554E  # RFC 8489 §14.7

LARGEST_FRAME = 65532  # bytes, in a stream: the largest multiple of 4 that fits where a datagram does

HEADER = struct.Struct("!HH4s12s")
PAIR = struct.Struct("!HH")  # channel and length; attribute type and length: the same shape
read_pair, write_pair = PAIR.unpack_from, PAIR.pack_into
WORD = struct.Struct("!I")


def is_channel(first: int) -> bool:
    """Whether ChannelData begins with this byte (RFC 8656 §12.4, numbers 0x4000 to 0x7FFE)."""
    return 0x40 <= first < 0x80


class BadStream(Exception):
    """No frame begins at these bytes, so nobody knows where the next one would begin."""


def frame_size(view: memoryview, start: int, end: int) -> int:
    """How many bytes the frame at `start` of a stream has, with padding (RFC 8656 §12.5); 0: not known yet.

    Raises BadStream. The sum is never cut to 16 bits: otherwise a frame with one of the largest lengths would
    count as a short one, and the data in it as a request.
    """
    have = end - start
    if have and view[start] >= 0x80:
        raise BadStream
    if have < 4:
        return 0
    length = int.from_bytes(view[start + 2 : start + 4])
    if is_channel(view[start]):
        size = 4 + (length + 3 & ~3)
    elif length & 3 or (have >= 8 and view[start + 4 : start + 8] != COOKIE):
        raise BadStream
    else:
        size = 20 + length
    if size > LARGEST_FRAME:
        raise BadStream
    return size


def largest_frame(client: Address) -> int:
    """How many bytes a frame towards this client may have: as a datagram, or in a stream."""
    return LARGEST_DATAGRAM[len(client.ip)] if client.transport == "udp" else LARGEST_FRAME


def xored(peer: Address, transaction: bytes) -> bytes:
    """The value of XOR-PEER-ADDRESS (RFC 8489 §14.2)."""
    mask = int.from_bytes((COOKIE + transaction)[: len(peer.ip)])
    ip = (int.from_bytes(peer.ip) ^ mask).to_bytes(len(peer.ip))
    return struct.pack("!BBH", 0, 1 if len(ip) == 4 else 2, peer.port ^ 0x2112) + ip


def peer_key(peer: Address) -> bytes:
    """How `read_send` names this peer: by the attribute's value with a transaction id of zeros."""
    return xored(peer, bytes(12))


def read_send(view: memoryview, start: int, size: int) -> tuple[bytes, int, int] | None:
    """The peer's key, where the data begins and how long it is; None if this is not a Send of media alone."""
    if size < 36 or size & 3:
        return None
    kind, length, cookie, transaction = HEADER.unpack_from(view, start)
    if kind != SEND or cookie != COOKIE or length != size - 20:
        return None
    peer = data_start = None
    data_length = 0
    at, end = start + 20, start + size
    while at < end:
        kind, length = read_pair(view, at)
        at += 4
        if at + length > end:
            return None
        if kind == DATA and data_start is None:
            data_start, data_length = at, length
        elif kind == XOR_PEER_ADDRESS and peer is None:
            peer = bytes(view[at : at + length])
        elif kind != FINGERPRINT or not fingerprint_matches(view, start, at, end):
            return None
        at += (length + 3) & ~3
    if peer is None or data_start is None:
        return None
    return (peer if len(peer) == 8 else unmask(peer, transaction)), data_start, data_length


def unmask(value: bytes, transaction: bytes) -> bytes:
    """An IPv6 peer's key: the attribute's value, with the transaction id removed from it."""
    if len(value) != 20:
        return b""
    return value[:8] + (int.from_bytes(value[8:]) ^ int.from_bytes(transaction)).to_bytes(12)


def fingerprint_matches(view: memoryview, start: int, at: int, end: int) -> bool:
    """Whether the FINGERPRINT whose value is at `at` is the last attribute, and right (RFC 8489 §14.7)."""
    if at + 4 != end or view[at - 1] != 4:
        return False
    (crc,) = WORD.unpack_from(view, at)
    return bool(crc == zlib.crc32(view[start : at - 4]) ^ FINGERPRINT_XOR)


class ChannelFrame:
    """Writes ChannelData of one channel."""

    __slots__ = ("channel",)

    def __init__(self, channel: int) -> None:
        self.channel = channel

    def largest(self, room: int) -> int:
        """How long data may be so that its frame, padded for a stream, has no more than `room` bytes."""
        return room - 4

    def wrap(self, view: memoryview, start: int, length: int) -> memoryview:
        """The whole frame around the data at `start`."""
        write_pair(view, start - 4, self.channel, length)
        return view[start - 4 : start + length]


class DataFrame:
    """Writes Data indications about one peer; all have one transaction id, since none is ever answered."""

    __slots__ = ("head",)

    def __init__(self, peer: Address, transaction: bytes) -> None:
        value = xored(peer, transaction)
        self.head = (
            HEADER.pack(DATA_INDICATION, 0, COOKIE, transaction)
            + PAIR.pack(XOR_PEER_ADDRESS, len(value))
            + value
            + PAIR.pack(DATA, 0)
        )

    def largest(self, room: int) -> int:
        """How long data may be so that its frame, with padding, has no more than `room` bytes."""
        return (room & ~3) - len(self.head)

    def wrap(self, view: memoryview, start: int, length: int) -> memoryview:
        """The whole frame around the data at `start`."""
        begin, end = start - len(self.head), start + length
        padding = -length & 3
        view[begin:start] = self.head
        write_pair(view, begin, DATA_INDICATION, end + padding - begin - 20)
        write_pair(view, start - 4, DATA, length)
        view[end : end + padding] = bytes(padding)
        return view[begin : end + padding]
