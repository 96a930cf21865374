"""How large a reply to who has proved nothing can be: the relay must be no reflector."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random  # noqa: TID251  # what a test draws may be guessed
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tests.turn.network import LISTENER, LISTENER6, compose, network, unlimited
from turn.flows import Address
from turn.wire.attributes import ERROR_CODE, TABLE
from turn.wire.stun import parse

SOURCES = {4: (LISTENER, Address.of("8.8.8.8", 40000)), 16: (LISTENER6, Address.of("2606:4700::1", 40000))}
WORST = {4: 2.0, 16: 2.2}  # 56 bytes for Chromium's Allocate of 28; 44 for a Binding request of 20 over IPv6
TIMES: dict[int, float] = {  # by error code; a success by the bytes of the family's addresses
    4: 1.6,
    16: 2.2,
    400: 1.0,
    401: 2.0,
    438: 1.0,
    420: 1.5,  # 36 bytes for a Binding request of one unknown attribute without a value, else less
}
TYPES = [1, 3, 4, 6, 7, 8, 9, 10, 11, 0x16, 0x17, 0x101, 0x103, 0x113]
KINDS = [row for row in TABLE if row != 0x8028]
VALUES = [b"", b"\x11\0\0\0", b"\x06\0\0\0", b"alice", b"call", b"n" * 16, bytes(20)]
AT_A_TIME = 100  # messages of one seed: drawn piece by piece they cost hypothesis forty times as much


def datagram(dice: Random) -> bytes:
    """Mostly a message, with or without fingerprint and a signature; one in four any bytes."""
    if dice.random() < 0.25:
        return dice.randbytes(dice.randint(0, 200))
    pairs = [attribute(dice) for _ in range(dice.randint(0, 10))]
    kind = dice.choice([dice.choice(TYPES), dice.randint(0, 0x3FFF)])
    key = dice.choice([None, None, b"forged"])
    return compose(kind, pairs, fingerprint=dice.random() < 0.5, key=key)


def attribute(dice: Random) -> tuple[int, bytes]:
    kind = dice.choice([dice.choice(KINDS), dice.randint(0, 0xFFFF)])
    return kind, dice.choice([dice.choice(VALUES), dice.randbytes(dice.randint(0, 24))])


def datagrams(dice: Random) -> Iterator[tuple[bytes, int]]:
    """Each with the bytes of its family's addresses."""
    return ((datagram(dice), dice.choice([4, 16])) for _ in range(AT_A_TIME))


@effort(max_examples=30)
@given(st.randoms(use_true_random=True))
def test_no_reply_is_larger_than_its_kind_may_be_beside_what_was_asked(dice: Random) -> None:
    for data, size in datagrams(dice):
        check_reply(data, size)


def check_reply(data: bytes, size: int) -> None:
    here, there = SOURCES[size]
    sent = network(unlimited()).deliver(here, there, data)
    assert len(sent) <= 1
    for packet in sent:
        assert (packet.local, packet.remote) == (here, there)
        assert len(packet.data) <= WORST[size] * len(data)
        reply = parse(packet.data)
        assert reply.type & 0x0100  # an answer, and never to one
        assert not parse(data).type & 0x0110
        assert len(packet.data) <= TIMES[reply.get(ERROR_CODE) or size] * len(data)


PLACES = frozenset(
    Address.of(ip, port)
    for ip in (LISTENER.host, "192.0.2.2", LISTENER6.host, "2001:db8:5::2")
    for port in (3478, 3479)
)
LARGER = network(unlimited(listeners=PLACES, sha256=True, behaviour_discovery=True, classic_stun=True))
LOOSER = {4: 3.0, 16: 4.6}  # 84 bytes for an Allocate of 28; 92 for a Binding request of 20 over IPv6


@effort(max_examples=15)
@given(st.randoms(use_true_random=True))
def test_with_every_key_on_replies_are_larger_by_so_much_and_still_go_to_the_source(dice: Random) -> None:
    for data, size in datagrams(dice):
        check_larger_reply(data, size)


def check_larger_reply(data: bytes, size: int) -> None:
    here, there = SOURCES[size]
    sent = LARGER.deliver(here, there, data)
    assert len(sent) <= 1
    for packet in sent:
        assert packet.remote.ip == there.ip
        assert packet.local in LARGER.relay.listeners
        assert len(packet.data) <= LOOSER[size] * len(data)


@given(st.lists(st.integers(0, 0x7FFF), max_size=40), st.booleans())
def test_a_list_of_what_is_unknown_adds_less_than_was_sent(kinds: list[int], marked: bool) -> None:
    data = compose(1, [(kind, b"") for kind in kinds], fingerprint=marked)
    for packet in network(unlimited()).deliver(*SOURCES[4], data):
        assert len(packet.data) <= len(data) + 12
        assert len(packet.data) <= 1.6 * len(data)


STARTS = [  # what a forger sends to one relay in the name of another
    compose(1),
    compose(1, [(0x7FFF, b"")]),
    compose(3, [(0x0019, 17)]),
    compose(4, [(0x0006, b"alice"), (0x0014, b"call"), (0x0015, b"n" * 16)], key=b"forged"),
    compose(0x0101),
    compose(0x0113, [(0x0009, 401)]),
    bytes.fromhex("4000 0004 00010000"),
]


@pytest.mark.parametrize("data", STARTS, ids=lambda data: data[:2].hex())
def test_two_relays_do_not_keep_each_other_busy(data: bytes) -> None:
    other = Address.of("198.41.0.4", 3478)
    relays = {
        LISTENER: network(unlimited()),
        other: network(unlimited(listeners=frozenset([other]), own_addresses=frozenset([other.ip]))),
    }
    said, packets = 0, relays[LISTENER].deliver(LISTENER, other, data)
    while packets and said < 10:
        said += len(packets)
        packets = [
            answer
            for one in packets
            for answer in relays[one.remote].deliver(one.remote, one.local, one.data)
        ]
    assert said <= 1


BOUNDS: list[tuple[str, int, list[tuple[Any, Any]], bool, int, int]] = [
    # title, type, attributes, fingerprint, family's bytes, size of the reply
    ("Binding", 1, [], False, 4, 32),
    ("Binding over IPv6", 1, [], False, 16, 44),
    ("Binding with fingerprint", 1, [], True, 4, 40),
    ("Chromium's first Allocate", 3, [(0x0019, 17)], False, 4, 56),
    ("Firefox's first Allocate", 3, [(0x0019, 17), (0x000D, 3600)], True, 4, 64),
    ("bare Allocate", 3, [], False, 4, 0),
    ("bare Refresh", 4, [], False, 4, 0),
    ("bare CreatePermission", 8, [], False, 4, 0),
    ("bare ChannelBind", 9, [], False, 4, 0),
    ("Binding with an unknown attribute", 1, [(0x7FFF, b"")], False, 4, 36),
    ("Binding with two", 1, [(0x7FFF, b""), (0x7FFE, b"")], False, 4, 36),
    ("Binding with eight", 1, [(0x7FF0 + kind, b"") for kind in range(8)], False, 4, 48),
    ("Binding with thirty", 1, [(0x7FF0 - kind, b"") for kind in range(30)], False, 4, 48),
]


@pytest.mark.parametrize(
    ("title", "kind", "pairs", "marked", "size", "reply"), BOUNDS, ids=[row[0] for row in BOUNDS]
)
def test_sizes_of_replies(
    title: str, kind: int, pairs: list[tuple[Any, Any]], marked: bool, size: int, reply: int
) -> None:
    sent = network(unlimited()).deliver(*SOURCES[size], compose(kind, pairs, fingerprint=marked))
    assert sum(len(packet.data) for packet in sent) == reply
