"""Targets for the relay's readers of bytes: messages, attributes, RFC 3489, and frames in a stream."""

from __future__ import annotations

from contextlib import suppress

from turn.engines.framing import HEADROOM, TAILROOM, BadStream, frame_size, peer_key, read_send
from turn.errors import BadRequest
from turn.flows import Transport
from turn.wire.attributes import DATA, ERROR_CODE, TABLE, XOR_PEER_ADDRESS
from turn.wire.classic import parse_classic
from turn.wire.notices import MAX_VALUE, SERVER_BYTES, pack_notification, unpack_notification
from turn.wire.proxy_protocol import LARGEST, PREFIX, BadHeader, client_of, header_size
from turn.wire.stun import (
    HEADER_BYTES,
    SEND_INDICATION,
    StunMessage,
    WireError,
    parse,
    parse_channel_data,
    parse_send,
    walk,
)

KEY = b"a key that nobody has"
CARRIED: tuple[Transport, ...] = ("udp", "tcp", "tls")


def messages(data: bytes) -> None:
    """Whatever is read is what stands there, byte by byte; nothing else is raised."""
    with suppress(WireError):
        number, payload = parse_channel_data(data)
        assert data.startswith(number.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload)
    with suppress(WireError):
        check(parse(data))
    by_hand = parse_send(data)
    if by_hand is not None:
        walked = parse(data)
        assert (walked.get(XOR_PEER_ADDRESS), walked.get(DATA)) == by_hand


def check(message: StunMessage) -> None:
    for kind, value in message.attributes:
        assert kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value in message.data
    assert message.integrity <= len(message.data) - HEADER_BYTES
    assert not message.verify(KEY)
    assert not message.verify_sha256(KEY)
    assert all(kind < 0x8000 for kind in message.unknown(frozenset()))


def attributes(data: bytes) -> None:
    """The first two bytes choose the row: a value is refused, or packs to one that unpacks to it again."""
    row = TABLE.get(int.from_bytes(data[:2], "big"))
    value, transaction = data[14:], data[2:14].ljust(12, b"\0")
    if row is None:
        return
    with suppress(BadRequest):
        read = row.unpack(value, transaction)
        again = row.unpack(row.pack(read, transaction), transaction)
        assert again == read or row is ERROR_CODE


def classic(data: bytes) -> None:
    with suppress(WireError):
        change = parse_classic(data)
        assert 0 <= change < 1 << 32
        assert all(number == 3 for _, number, _ in walk(data))


def stream(data: bytes) -> None:
    """Frames of a stream follow each other without a gap, and half of one is never taken for a whole."""
    view, at = memoryview(data), 0
    with suppress(BadStream):
        while size := frame_size(view, at, len(data)):
            assert size % 4 == 0
            if at + size > len(data):
                break
            for end in (at + 4, at + size // 2 + 2, at + size - 1):
                with suppress(BadStream):
                    assert frame_size(view, at, end) in (0, size)
            at += size
    check_media(data)


def check_media(data: bytes) -> None:
    """What an engine carries by itself is what the core would read in it."""
    buffer = memoryview(bytearray(HEADROOM) + data + bytes(TAILROOM))
    media = read_send(buffer, HEADROOM, len(data)) if len(data) >= 4 else None
    if media is None:
        return
    key, start, length = media
    message = parse(data)
    peer, payload = message.get(XOR_PEER_ADDRESS), message.get(DATA)
    assert message.type == SEND_INDICATION
    assert peer is not None
    assert (peer_key(peer), payload) == (key, bytes(buffer[start : start + length]))


def notices(data: bytes) -> None:
    """What a server tells is refused, or is what its own bytes say, within bounds."""
    with suppress(BadRequest):
        told = unpack_notification(data)
        assert len(data) <= MAX_VALUE
        assert len(told.server) == SERVER_BYTES
        assert unpack_notification(pack_notification(told)) == told
        assert len(pack_notification(told)) <= len(data)


def proxied(data: bytes) -> None:
    """A header is as long as its beginning says, however little of it is there, and names a client that can
    be, the same one for whatever follows it."""
    with suppress(BadHeader):
        size = header_size(data)
        assert PREFIX <= size <= LARGEST
        assert all(header_size(data[:end]) in (PREFIX, size) for end in range(min(len(data), PREFIX + 1)))
        for transport in CARRIED if len(data) >= size else ():
            check_client(data[:size], transport)


def check_client(header: bytes, transport: Transport) -> None:
    with suppress(BadHeader):
        client = client_of(header, transport)
        assert client is None or (client.transport == transport and client.port > 0)
        assert client is None or (len(client.ip) in (4, 16) and any(client.ip))
