"""ICE's messages: what each must hold and may hold, and that those of browsers pass."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.turn.call import INTEGRITY, MAPPED, PRIORITY, Attributes, ping, pong, request, stun, success
from tests.turn.captures import load
from turn.wire.ice import (
    BINDING_ERROR,
    BINDING_INDICATION,
    BINDING_SUCCESS,
    DTLS,
    LONGEST,
    MAX_UNKNOWN,
    PING_ERROR,
    PING_REQUEST,
    PING_SUCCESS,
    IceMessage,
    parse_ice,
)
from turn.wire.integrity import add_fingerprint
from turn.wire.stun import BINDING_REQUEST, COOKIE_BYTES, WireError

ID = b"transaction!"
NAME = (0x0006, b"theirs:ours")


@pytest.mark.parametrize(
    ("message", "check"),
    [
        (request(ID), IceMessage(BINDING_REQUEST, ID, (b"ours", b"theirs"))),
        (
            request(ID, extra=[(DTLS, b"\x16dtls")]),
            IceMessage(BINDING_REQUEST, ID, (b"ours", b"theirs"), b"\x16dtls"),
        ),
        (
            request(ID, extra=[(0x8022, b"libnice 0.1"), (0x0025, b"")]),
            IceMessage(1, ID, (b"ours", b"theirs")),
        ),
        (success(ID), IceMessage(BINDING_SUCCESS, ID)),
        (
            success(ID, extra=[(0x0006, b"a" * 32 + b":" + b"b" * 32)]),
            IceMessage(BINDING_SUCCESS, ID, repeated=(b"b" * 32, b"a" * 32)),
        ),
        (
            stun(BINDING_ERROR, [(0x0009, bytes((0, 0, 4, 87)) + b"Role Conflict"), INTEGRITY], ID),
            IceMessage(0x0111, ID),
        ),
        (stun(BINDING_INDICATION, [], ID, marked=False), IceMessage(BINDING_INDICATION, ID)),
        (ping(ID), IceMessage(PING_REQUEST, ID)),
        (pong(ID), IceMessage(PING_SUCCESS, ID)),
        (ping(ID, PING_ERROR), IceMessage(PING_ERROR, ID)),
    ],
)
def test_what_browsers_say(message: bytes, check: IceMessage) -> None:
    assert parse_ice(message) == check


def unknown(count: int, size: int) -> Attributes:
    return [(0xD000 + number, bytes(size)) for number in range(count)]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        request(ID)[:-1],
        request(ID) + bytes(4),
        stun(0x0003, [NAME, INTEGRITY], ID),
        stun(0x0016, [(0x0012, bytes(8)), (0x0013, b"data")], ID),
        stun(BINDING_REQUEST, [INTEGRITY], ID),
        stun(BINDING_REQUEST, [NAME], ID),
        stun(BINDING_REQUEST, [NAME, INTEGRITY], ID, marked=False),
        stun(BINDING_REQUEST, [(0x0006, b"nocolon"), INTEGRITY], ID),
        stun(BINDING_REQUEST, [(0x0006, b":ours"), INTEGRITY], ID),
        stun(BINDING_REQUEST, [(0x0006, b"theirs:"), INTEGRITY], ID),
        stun(BINDING_REQUEST, [(0x0006, b"a:" + b"b" * 127), INTEGRITY], ID),
        stun(BINDING_REQUEST, [NAME, NAME, INTEGRITY], ID),
        stun(BINDING_REQUEST, [NAME, (0x0024, bytes(5)), INTEGRITY], ID),
        stun(BINDING_REQUEST, [NAME, (0x0008, bytes(16))], ID),
        stun(BINDING_REQUEST, [NAME, INTEGRITY, PRIORITY], ID),
        stun(BINDING_REQUEST, [NAME, INTEGRITY, (0xD000, b"data")], ID),
        add_fingerprint(request(ID)),
        stun(BINDING_SUCCESS, [INTEGRITY], ID),
        stun(BINDING_SUCCESS, [MAPPED], ID),
        stun(BINDING_ERROR, [INTEGRITY], ID),
        stun(BINDING_ERROR, [(0x0009, bytes(65))], ID),
        stun(PING_REQUEST, [], ID, marked=False),
        request(ID, extra=unknown(1, 65)),
        request(ID, extra=unknown(MAX_UNKNOWN + 1, 0)),
        request(ID, extra=[(0xC071, bytes(17))]),
        request(ID, extra=[(0x0009, bytes(33)), (0x000A, bytes(16)), (0x0020, bytes(20))]),
        success(ID, extra=[(0x0006, b"nocolon")]),
        success(ID, extra=[(0x0006, b"theirs:" + b"o" * 122)]),
        stun(BINDING_INDICATION, [(DTLS, bytes(65))], ID, marked=False),
        stun(PING_REQUEST, [(0xC060, bytes(4)), (0x0006, bytes(65))], ID, marked=False),
        request(ID, extra=[(DTLS, bytes(LONGEST - 70))]),
        request(ID)[:-1] + bytes((request(ID)[-1] ^ 1,)),
    ],
)
def test_what_is_none(message: bytes) -> None:
    with pytest.raises(WireError):
        parse_ice(message)


@pytest.mark.parametrize("extra", [unknown(1, 64), unknown(MAX_UNKNOWN, 8), [(0xC071, bytes(16))]])
def test_what_nobody_knows_may_be_a_little(extra: Attributes) -> None:
    assert parse_ice(request(ID, extra=extra)).kind == BINDING_REQUEST


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("chr12", {0x0001: 35, 0x0101: 35}),
        ("chrsped", {0x0001: 35, 0x0101: 35}),
        ("chrgping", {0x0001: 8, 0x0101: 8, 0x0200: 26, 0x0300: 26}),
        ("turn_ff", {0x0001: 25, 0x0101: 24}),
    ],
)
def test_all_of_a_recorded_call(name: str, kinds: dict[int, int]) -> None:
    checks = [parse_ice(seen.payload) for seen in load(name) if seen.payload[4:8] == COOKIE_BYTES]
    assert Counter(check.kind for check in checks) == kinds
    assert sum(bool(check.dtls) for check in checks) == (2 if name == "chrsped" else 0)
