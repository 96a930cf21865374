"""Behaviour discovery and RFC 3489: from where, to where, how large, and never but for the asker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import LISTENER, LISTENER6, Network, compose, network, settings
from turn.core.discovery import other_addresses, other_than, reply_source
from turn.flows import Address, Packet
from turn.policies import Limits
from turn.wire.attributes import (
    CHANGE_REQUEST,
    CHANGED_ADDRESS,
    ERROR_CODE,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    PADDING,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    SOFTWARE,
    SOURCE_ADDRESS,
    TABLE,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
)
from turn.wire.stun import parse, walk

CLIENT = Address.of("8.8.8.8", 40000)
A1, A2, B1, B2 = (Address.of(ip, port) for ip in ("192.0.2.1", "192.0.2.2") for port in (3478, 3479))
FOUR = frozenset((A1, A2, B1, B2))
OWN = frozenset((A1.ip, B1.ip))
NAMES = {"A1": A1, "A2": A2, "B1": B1, "B2": B2}


def discovering(listeners: frozenset[Address] = FOUR, **changes: Any) -> Network:
    given = {
        "behaviour_discovery": True,
        "classic_stun": True,
        "listeners": listeners,
        "own_addresses": OWN,
        **changes,
    }
    return network(settings(**given))


CHANGES = [(0, "A1"), (2, "A2"), (4, "B1"), (6, "B2"), (0xF9, "A1")]


@pytest.mark.parametrize(("flags", "name"), CHANGES)
@pytest.mark.parametrize("here", [A1, A2, B1, B2])
def test_an_answer_leaves_from_where_it_was_asked_to(flags: int, name: str, here: Address) -> None:
    other = other_than(here, settings(listeners=FOUR, own_addresses=OWN))
    assert other is not None
    turned = {
        "A1": here,
        "A2": here._replace(port=other.port),
        "B1": other._replace(port=here.port),
        "B2": other,
    }
    pairs = [(CHANGE_REQUEST, flags)] if flags else []
    (sent,) = discovering().deliver(here, CLIENT, compose(1, pairs))
    assert (sent.local, sent.remote) == (turned[name], CLIENT)
    reply = parse(sent.data)
    told = [reply.get(row) for row in (XOR_MAPPED_ADDRESS, RESPONSE_ORIGIN, OTHER_ADDRESS)]
    assert told == [CLIENT, sent.local, other]


LISTENING = [
    (FOUR, B2),
    (FOUR - {B2}, None),
    (FOUR - {A2}, None),
    (frozenset((A1, A2)), None),
    (frozenset((A1, B1)), None),
    (frozenset((A1,)), None),
    (FOUR | {LISTENER6, LISTENER6._replace(port=3479)}, B2),
    (frozenset(place._replace(transport="tcp") for place in FOUR) | {A1}, None),
    (frozenset((A1, A2, Address.of("127.0.0.1", 3478), Address.of("127.0.0.1", 3479))), None),
]


@pytest.mark.parametrize(("listeners", "other"), LISTENING)
def test_the_other_address_needs_all_four_places(
    listeners: frozenset[Address], other: Address | None
) -> None:
    given = settings(listeners=listeners, own_addresses=OWN)
    assert other_than(A1, given) == other
    assert other_addresses(given).get(A1) == other


def test_with_one_address_there_is_nothing_to_change() -> None:
    net = discovering(frozenset((A1,)))
    (sent,) = net.deliver(A1, CLIENT, compose(1))
    assert (parse(sent.data).has(OTHER_ADDRESS), len(sent.data)) == (False, 44)
    (sent,) = net.deliver(A1, CLIENT, compose(1, [(CHANGE_REQUEST, 2)]))
    assert (parse(sent.data).get(ERROR_CODE), parse(sent.data).get(UNKNOWN_ATTRIBUTES)) == (420, (3,))
    assert reply_source(A1, 0, None) == A1


BAD: list[tuple[int, list[tuple[Any, Any]]]] = [
    (400, [(PADDING, bytes(4)), (RESPONSE_PORT, 5000)]),
    (400, [(RESPONSE_PORT, b"\x12")]),
    (400, [(CHANGE_REQUEST, b"\0\0\2")]),
    (420, [(0x7FFF, b"")]),
]


@pytest.mark.parametrize(("code", "pairs"), BAD)
def test_mistakes(code: int, pairs: list[tuple[Any, Any]]) -> None:
    (sent,) = discovering().deliver(A1, CLIENT, compose(1, pairs))
    assert (sent.local, sent.remote, parse(sent.data).get(ERROR_CODE)) == (A1, CLIENT, code)


def test_another_port_is_always_the_clients_own_and_never_a_reflectors() -> None:
    net = discovering()
    (sent,) = net.deliver(A1, CLIENT, compose(1, [(RESPONSE_PORT, 5000)]))
    assert sent.remote == CLIENT._replace(port=5000)
    assert parse(sent.data).get(XOR_MAPPED_ADDRESS) == CLIENT
    for port in (0, 53, 123, 11211):
        assert net.deliver(A1, CLIENT, compose(1, [(RESPONSE_PORT, port)])) == []
    for own in (A1, B2):
        assert net.deliver(A1, own._replace(port=40000), compose(1, [(RESPONSE_PORT, own.port)])) == []


def test_over_a_stream_there_is_nothing_to_ask() -> None:
    listener, client = A1._replace(transport="tcp"), CLIENT._replace(transport="tcp")
    net = discovering(FOUR | {listener})
    (sent,) = net.deliver(listener, client, compose(1))
    assert parse(sent.data).get(RESPONSE_ORIGIN) == A1
    for pair in ((CHANGE_REQUEST, 6), (RESPONSE_PORT, 5000), (PADDING, bytes(8))):
        (sent,) = net.deliver(listener, client, compose(1, [pair]))
        assert parse(sent.data).get(UNKNOWN_ATTRIBUTES) == (pair[0].type,)


SIZES: list[tuple[list[tuple[Any, Any]], bool, int]] = [
    ([], False, 56),
    ([], True, 64),
    ([(SOFTWARE, "client")], False, 56),
    ([(PADDING, bytes(1500))], False, 56 + 4 + 1500),
    ([(PADDING, b"")], False, 60),
]


@pytest.mark.parametrize(("pairs", "marked", "size"), SIZES)
def test_sizes(pairs: list[tuple[Any, Any]], marked: bool, size: int) -> None:
    said = compose(1, pairs, fingerprint=marked)
    (sent,) = discovering().deliver(A1, CLIENT, said)
    assert len(sent.data) == size <= 2.8 * len(said)


def test_strangers_share_their_rate_here_too() -> None:
    net = discovering(limits=Limits(unauthenticated_per_second=10))
    asks = [
        compose(1),
        compose(1, [(RESPONSE_PORT, 5000)]),
        compose(1, [(0x7FFF, b"")]),
        bytes.fromhex(CLASSIC),
    ]
    assert sum(len(net.deliver(A1, CLIENT, asks[turn % 4])) for turn in range(400)) == 40


def test_behind_nat_the_public_addresses_are_told() -> None:
    public = {A1.ip: Address.of("6.6.6.6", 0).ip, B1.ip: Address.of("6.6.6.7", 0).ip}
    (sent,) = discovering(externals=public).deliver(A1, CLIENT, compose(1))
    reply = parse(sent.data)
    assert reply.get(RESPONSE_ORIGIN) == Address.of("6.6.6.6", 3478)
    assert reply.get(OTHER_ADDRESS) == Address.of("6.6.6.7", 3479)


CLASSIC = "00010000 000102030405060708090a0b0c0d0e0f"
CHANGING = "00010008 000102030405060708090a0b0c0d0e0f 00030004 "


def read(packet: Packet) -> dict[str, Address]:
    return {TABLE[kind].name: TABLE[kind].unpack(value, b"") for _, kind, value in walk(packet.data)}


@pytest.mark.parametrize(
    ("data", "here"), [(CLASSIC, A1), (CHANGING + "00000006", B2), (CHANGING + "00000002", A2)]
)
def test_a_client_of_rfc_3489(data: str, here: Address) -> None:
    (sent,) = discovering().deliver(A1, CLIENT, bytes.fromhex(data))
    assert (sent.local, sent.remote, sent.data[:2], len(sent.data)) == (here, CLIENT, b"\1\1", 56)
    assert sent.data[4:20] == bytes(range(16))
    named = {MAPPED_ADDRESS.name: CLIENT, SOURCE_ADDRESS.name: here, CHANGED_ADDRESS.name: B2}
    assert read(sent) == named


@pytest.mark.parametrize(
    ("listeners", "data"),
    [
        (FOUR, "00010000 0001"),
        (FOUR, "00010000 000102030405060708090a0b0c0d0e0f 00"),
        (FOUR, "0001000c 000102030405060708090a0b0c0d0e0f 00020008 0001 0d96 09090909"),
        (FOUR, "00030000 000102030405060708090a0b0c0d0e0f"),
        (frozenset((A1,)), CHANGING + "00000002"),
    ],
)
def test_what_gets_no_classic_answer(listeners: frozenset[Address], data: str) -> None:
    assert discovering(listeners).deliver(A1, CLIENT, bytes.fromhex(data)) == []


def test_classic_answers_are_for_ipv4_datagrams() -> None:
    net = discovering(FOUR | {LISTENER6, A1._replace(transport="tcp")})
    for here in (LISTENER6, A1._replace(transport="tcp")):
        assert net.deliver(here, CLIENT._replace(ip=here.ip), bytes.fromhex(CLASSIC)) == []


def test_off_by_default() -> None:
    net = network()
    assert net.deliver(LISTENER, CLIENT, bytes.fromhex(CLASSIC)) == []
    (sent,) = net.deliver(LISTENER, CLIENT, compose(1, [(CHANGE_REQUEST, 6)]))
    assert parse(sent.data).get(ERROR_CODE) == 420
