"""How large a reply to who has proved nothing can be: the relay must be no reflector."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tests.turn.network import LISTENER, LISTENER6, compose, network, unlimited
from turn.flows import Address
from turn.wire.attributes import TABLE
from turn.wire.stun import parse

SOURCES = {4: (LISTENER, Address.of("8.8.8.8", 40000)), 16: (LISTENER6, Address.of("2606:4700::1", 40000))}
WORST = {4: 2.0, 16: 2.2}  # 56 bytes for Chromium's Allocate of 28; 44 for a Binding request of 20 over IPv6
TYPES = st.one_of(
    st.sampled_from([1, 3, 4, 6, 7, 8, 9, 10, 11, 0x16, 0x17, 0x101, 0x103, 0x113]), st.integers(0, 0x3FFF)
)
KINDS = st.one_of(st.sampled_from([row for row in TABLE if row != 0x8028]), st.integers(0, 0xFFFF))
VALUES = st.one_of(
    st.binary(max_size=24),
    st.sampled_from([b"", b"\x11\0\0\0", b"\x06\0\0\0", b"alice", b"call", b"n" * 16, bytes(20)]),
)
MESSAGES = st.builds(
    lambda kind, pairs, marked, key: compose(kind, pairs, fingerprint=marked, key=key),
    TYPES,
    st.lists(st.tuples(KINDS, VALUES), max_size=10),
    st.booleans(),
    st.sampled_from([None, None, b"forged"]),
)


@effort(max_examples=1500)
@given(st.one_of(MESSAGES, st.binary(max_size=200)), st.sampled_from([4, 16]))
def test_no_reply_is_more_than_twice_what_was_asked(data: bytes, size: int) -> None:
    here, there = SOURCES[size]
    sent = network(unlimited()).deliver(here, there, data)
    assert len(sent) <= 1
    for packet in sent:
        assert (packet.here, packet.there) == (here, there)
        assert len(packet.data) <= WORST[size] * len(data)
        assert parse(packet.data).type & 0x0100  # an answer, and never to one
        assert not parse(data).type & 0x0110


PLACES = frozenset(
    Address.of(ip, port)
    for ip in (LISTENER.host, "192.0.2.2", LISTENER6.host, "2001:db8:5::2")
    for port in (3478, 3479)
)
LARGER = network(unlimited(listeners=PLACES, sha256=True, behaviour_discovery=True, classic_stun=True))
LOOSER = {4: 3.0, 16: 4.6}  # 84 bytes for an Allocate of 28; 92 for a Binding request of 20 over IPv6


@effort(max_examples=700)
@given(st.one_of(MESSAGES, st.binary(max_size=200)), st.sampled_from([4, 16]))
def test_with_every_key_on_replies_are_larger_by_so_much_and_still_go_to_the_source(
    data: bytes, size: int
) -> None:
    here, there = SOURCES[size]
    sent = LARGER.deliver(here, there, data)
    assert len(sent) <= 1
    for packet in sent:
        assert packet.there.ip == there.ip
        assert packet.here in LARGER.relay.listeners
        assert len(packet.data) <= LOOSER[size] * len(data)


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
]


@pytest.mark.parametrize(
    ("title", "kind", "pairs", "marked", "size", "reply"), BOUNDS, ids=[row[0] for row in BOUNDS]
)
def test_sizes_of_replies(
    title: str, kind: int, pairs: list[tuple[Any, Any]], marked: bool, size: int, reply: int
) -> None:
    sent = network(unlimited()).deliver(*SOURCES[size], compose(kind, pairs, fingerprint=marked))
    assert sum(len(packet.data) for packet in sent) == reply
