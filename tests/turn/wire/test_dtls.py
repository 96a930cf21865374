"""Records and fragments: what fills a datagram, and what browsers send."""

from __future__ import annotations

from collections import Counter
from struct import pack

import pytest

from tests.turn.call import client_hello, fragment, hello, record, unified
from tests.turn.captures import load
from turn.wire.dtls import (
    ACK,
    ALERT,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    DATA,
    HANDSHAKE,
    MOST_ACKED,
    MOST_FRAGMENTS,
    MOST_RECORDS,
    Fragment,
    Record,
    parse_fragments,
    parse_records,
)
from turn.wire.stun import WireError

ALERTED = record(b"\2\x28", ALERT)
SEALED = bytes(17)
# What Firefox acknowledged in clear: its partner's hello, and three records of epoch 2 that came before it.
NAMED = pack("!H8Q", 64, 0, 0, 2, 0, 2, 1, 2, 2)


def ack(records: int) -> bytes:
    return (16 * records).to_bytes(2, "big") + bytes(16 * records)


@pytest.mark.parametrize(
    ("datagram", "records"),
    [
        (ALERTED, [Record(ALERT, 0, b"\2\x28")]),
        (record(b"\2\x28", ALERT, version=0xFEFF), [Record(ALERT, 0, b"\2\x28")]),
        (record(b"\1", CHANGE_CIPHER_SPEC), [Record(CHANGE_CIPHER_SPEC, 0, b"\1")]),
        (record(ack(MOST_ACKED), ACK), [Record(ACK, 0, ack(MOST_ACKED))]),
        (record(NAMED, ACK), [Record(ACK, 0, NAMED)]),
        (record(SEALED, DATA, 1), [Record(DATA, 1, SEALED)]),
        (record(SEALED, HANDSHAKE, 65535), [Record(HANDSHAKE, 65535, SEALED)]),
        (ALERTED * MOST_RECORDS, [Record(ALERT, 0, b"\2\x28")] * MOST_RECORDS),
        (b"\x2e\0\0\0\x11" + SEALED, [Record(DATA, 2, SEALED, unified=True)]),
        (b"\x26\0\0\x11" + SEALED, [Record(DATA, 2, SEALED, unified=True)]),
        (b"\x2b\0\0" + SEALED, [Record(DATA, 3, SEALED, unified=True)]),
        (b"\x20\0" + SEALED + b"rest", [Record(DATA, 0, SEALED + b"rest", unified=True)]),
        (b"", []),
    ],
)
def test_records(datagram: bytes, records: list[Record]) -> None:
    assert parse_records(datagram) == records
    assert [read.encrypted for read in records] == [read.epoch > 0 or read.unified for read in records]


@pytest.mark.parametrize(
    "datagram",
    [
        ALERTED[:-1],
        ALERTED + b"\x16",
        ALERTED * (MOST_RECORDS + 1),
        record(b"", ALERT),
        record(b"\2\x28\0", ALERT),
        record(b"\2\x28", ALERT, version=0x0303),
        record(b"\0", CHANGE_CIPHER_SPEC),
        record(b"hello", DATA),
        record(bytes(3), 24),
        record(SEALED, 25, 1),
        record(SEALED, 24, 1),
        record(SEALED, 27, 1),
        record(SEALED[1:], DATA, 1),
        record(ack(MOST_ACKED + 1), ACK),
        record(b"\0\5hello", ACK),
        record(ack(1), ACK) * 2,
        record(ack(1).replace(bytes(8), bytes(7) + b"\4", 1), ACK),
        record(ack(1).replace(bytes(8), b"\1" + bytes(7), 1), ACK),
        record(ack(1)[:10] + b"\1" + ack(1)[11:], ACK),
        record(b"\0", ACK),
        record(b"not a handshake"),
        b"\x3e\0\0\0\x11" + SEALED,
        b"\x2e\0\0\0\x10" + SEALED[1:],
        b"\x2e\0\0\0\x12" + SEALED,
        b"\x2e\0\0",
        b"\x2a\0\0" + SEALED[1:],
    ],
)
def test_what_are_none(datagram: bytes) -> None:
    with pytest.raises(WireError):
        parse_records(datagram)


def test_fragments_follow_each_other() -> None:
    body = client_hello()
    content = fragment(CLIENT_HELLO, body, 0, 30, number=3) + fragment(CLIENT_HELLO, body, 30, 50, number=3)
    assert parse_fragments(content) == [
        Fragment(CLIENT_HELLO, 3, len(body), 0, body[:30]),
        Fragment(CLIENT_HELLO, 3, len(body), 30, body[30:50]),
    ]
    assert parse_fragments(fragment(14, b"")) == [Fragment(14, 0, 0, 0, b"")]


@pytest.mark.parametrize(
    "content",
    [
        fragment(CLIENT_HELLO, b"body")[:-1],
        fragment(CLIENT_HELLO, b"body") + b"\1",
        fragment(CLIENT_HELLO, b"body", length=3),
        fragment(CLIENT_HELLO, b"body", 2, length=3),
        fragment(CLIENT_HELLO, b"body", 0, 0),
        fragment(CLIENT_HELLO, b""),
        fragment(14, b"", length=5),
        fragment(14, b"x"),
        fragment(CLIENT_HELLO, b"body") * (MOST_FRAGMENTS + 1),
        fragment(0, b"body"),
        fragment(8, b"body"),
        fragment(20, bytes(12)),
        fragment(255, b"body"),
    ],
)
def test_what_are_no_fragments(content: bytes) -> None:
    with pytest.raises(WireError):
        parse_fragments(content)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("chr12", {(22, False), (26, True), (23, True)}),
        ("ff", {(22, False), (23, True)}),
        ("ff12", {(22, False), (22, True), (20, False), (23, True)}),
    ],
)
def test_all_of_a_recorded_call(name: str, kinds: set[tuple[int, bool]]) -> None:
    seen = [packet.payload for packet in load(name) if 20 <= packet.payload[0] < 64]
    records = [read for datagram in seen for read in parse_records(datagram)]
    found = Counter((read.kind, read.encrypted) for read in records)
    assert sum(found.values()) >= len(seen) > 80
    assert found[HANDSHAKE, False] >= 3
    assert {(HANDSHAKE, False), (DATA, True)} <= found.keys() <= kinds | {(ACK, False), (ALERT, True)}


def test_builders_make_what_is_read() -> None:
    assert parse_records(unified(20))[0].unified
    assert parse_records(hello(CLIENT_HELLO, client_hello()))[0].kind == HANDSHAKE
