"""An allocation as bytes, for the process that follows this one: a record of at most so many bytes.

What does not fit is left out, the least important last: clients renew permissions in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isnan
from struct import Struct
from struct import error as StructError
from typing import TypeVar, get_args

from turn.core.allocations import Channel
from turn.core.relay import KeptAllocation
from turn.flows import Address, Transport
from turn.gate.kept import KeptPair
from turn.gate.sessions import KeptSession

T = TypeVar("T")

BYTE, SHORT, TIME, STREAM, FOUR_TIMES = (Struct(f"<{form}") for form in ("B", "H", "d", "Q", "4d"))
TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
FAMILIES = (4, 16)  # bytes of an address
TRUTHS: tuple[bool | None, ...] = (None, False, True)


class BadRecord(ValueError):
    """These bytes are no allocation."""


class Reader:
    """Takes values from the front of bytes. All methods raise BadRecord if there are none such."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise BadRecord
        return self.data[self.at - size : self.at]

    def number(self, form: Struct, below: int) -> int:
        (found,) = form.unpack(self.take(form.size))
        if found >= below:
            raise BadRecord
        return int(found)

    def time(self) -> float:
        (found,) = TIME.unpack(self.take(TIME.size))
        if isnan(found):
            raise BadRecord
        return float(found)

    def octets(self) -> bytes:
        return self.take(self.number(SHORT, 1 << 16))

    def text(self) -> str:
        return self.octets().decode()

    def ip(self) -> bytes:
        size = self.number(BYTE, 256)
        if size not in FAMILIES:
            raise BadRecord
        return self.take(size)

    def address(self) -> Address:
        transport = TRANSPORTS[self.number(BYTE, len(TRANSPORTS))]
        return Address(self.ip(), self.number(SHORT, 1 << 16), transport)

    def truth(self) -> bool:
        return bool(self.number(BYTE, 2))

    def each(self, read: Callable[[], T]) -> tuple[T, ...]:
        return tuple(read() for _ in range(self.number(SHORT, 1 << 16)))

    def stream(self) -> int:
        return self.number(STREAM, 1 << 64)

    def channel(self) -> tuple[int, Channel]:
        return self.number(SHORT, 1 << 16), Channel(self.address(), self.time())

    def permission(self) -> tuple[bytes, float]:
        return self.ip(), self.time()

    def session(self) -> KeptSession:
        one, other = sorted((self.octets(), self.octets()))
        state = self.truth(), self.truth(), self.truth(), TRUTHS[self.number(BYTE, len(TRUTHS))]
        return KeptSession((one, other), *state, self.each(self.stream))

    def pair(self) -> KeptPair:
        peer, session, client = self.address(), self.session(), self.number(BYTE, 2)
        out, back, kept_out, kept_back = (self.time() for _ in range(4))
        return KeptPair(peer, session, client, (out, back), (kept_out, kept_back), self.each(self.stream))


def unpack(data: bytes) -> KeptAllocation:
    """Raises BadRecord; whatever the bytes are, nothing else."""
    try:
        return read_allocation(Reader(data))
    except UnicodeDecodeError:
        raise BadRecord from None


def read_allocation(reader: Reader) -> KeptAllocation:
    return KeptAllocation(
        reader.address(),
        reader.address(),
        reader.address(),
        reader.text(),
        reader.text(),
        reader.octets(),
        reader.ip(),
        reader.octets(),
        reader.time(),
        reader.octets(),
        reader.octets(),
        reader.truth(),
        reader.each(reader.channel),
        reader.each(reader.pair),
        reader.each(reader.permission),
        reader.each(reader.address),
    )


def pack(kept: KeptAllocation, most: int) -> bytes:
    """At most so many bytes. Raises BadRecord if not even the allocation itself has room."""
    try:
        packed = packed_head(kept)
    except StructError:
        raise BadRecord from None
    latest = sorted(kept.permissions, key=lambda permission: -permission[1])
    lists = (
        map(packed_channel, kept.channels),
        map(packed_pair, kept.pairs),
        map(packed_permission, latest),
        map(packed_address, kept.sent_to),
    )
    for number, items in enumerate(lists, 1):
        packed += packed_list(items, most - len(packed) - SHORT.size * (len(lists) - number))
    if len(packed) > most:
        raise BadRecord
    return packed


def packed_head(kept: KeptAllocation) -> bytes:
    return b"".join(
        (
            *map(packed_address, (kept.client, kept.listener, kept.relay)),
            packed_octets(kept.username.encode()),
            packed_octets(kept.user.encode()),
            packed_octets(kept.key),
            packed_ip(kept.charged_ip),
            packed_octets(kept.transaction),
            TIME.pack(kept.ends),
            packed_octets(kept.algorithm),
            packed_octets(kept.answer),
            BYTE.pack(kept.wants_icmp),
        )
    )


def packed_list(items: Iterable[bytes], room: int) -> bytes:
    """The first items that have room, with their count before them."""
    chosen: list[bytes] = []
    size = SHORT.size
    for item in items:
        size += len(item)
        if size > room:
            break
        chosen.append(item)
    return SHORT.pack(len(chosen)) + b"".join(chosen)


def packed_octets(octets: bytes) -> bytes:
    return SHORT.pack(len(octets)) + octets


def packed_ip(ip: bytes) -> bytes:
    return BYTE.pack(len(ip)) + ip


def packed_address(address: Address) -> bytes:
    ip, port, transport = address
    return BYTE.pack(TRANSPORTS.index(transport)) + packed_ip(ip) + SHORT.pack(port)


def packed_streams(streams: tuple[int, ...]) -> bytes:
    return SHORT.pack(len(streams)) + b"".join(map(STREAM.pack, streams))


def packed_channel(item: tuple[int, Channel]) -> bytes:
    number, channel = item
    return SHORT.pack(number) + packed_address(channel.peer) + TIME.pack(channel.ends)


def packed_permission(item: tuple[bytes, float]) -> bytes:
    ip, ends = item
    return packed_ip(ip) + TIME.pack(ends)


def packed_session(session: KeptSession) -> bytes:
    truths = session.open, session.unified, session.refused, TRUTHS.index(session.srtp)
    names = b"".join(map(packed_octets, session.ufrags))
    return names + bytes(truths) + packed_streams(session.ssrcs)


def packed_pair(pair: KeptPair) -> bytes:
    times = FOUR_TIMES.pack(*pair.answers, *pair.keepalives)
    packed = packed_address(pair.peer), packed_session(pair.session), BYTE.pack(pair.client), times
    return b"".join(packed) + packed_streams(pair.tested)
