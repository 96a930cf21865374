"""What an Allocate asks for, and the code that it gets: the first mistake counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.turn.network import LISTENER, LISTENER6, TYPES, Client, network, settings
from turn.wire.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    EVEN_PORT,
    LIFETIME,
    MOBILITY_TICKET,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    SOFTWARE,
)

UDP = (REQUESTED_TRANSPORT, 17)
TOKEN = (RESERVATION_TOKEN, bytes(8))
WISHES: list[tuple[int, list[tuple[Any, Any]]]] = [
    (0, [UDP]),
    (0, [UDP, (LIFETIME, 600), (SOFTWARE, "client")]),
    (0, [UDP, (EVEN_PORT, True)]),
    (0, [UDP, (REQUESTED_ADDRESS_FAMILY, 2), (EVEN_PORT, False)]),
    (400, []),
    (400, [(REQUESTED_TRANSPORT, b"\x11")]),
    (400, [UDP, (LIFETIME, b"\0\0\2")]),
    (400, [UDP, (EVEN_PORT, b"")]),
    (400, [UDP, (REQUESTED_ADDRESS_FAMILY, b"\1")]),
    (400, [UDP, (REQUESTED_ADDRESS_FAMILY, 1), (ADDITIONAL_ADDRESS_FAMILY, 2)]),
    (400, [UDP, (ADDITIONAL_ADDRESS_FAMILY, 1)]),
    (400, [UDP, (ADDITIONAL_ADDRESS_FAMILY, 2), (EVEN_PORT, True)]),
    (400, [UDP, TOKEN, (EVEN_PORT, False)]),
    (405, [(MOBILITY_TICKET, b"")]),
    (440, [UDP, (REQUESTED_ADDRESS_FAMILY, 0)]),
    (440, [UDP, (REQUESTED_ADDRESS_FAMILY, 3)]),
    (442, [(REQUESTED_TRANSPORT, 6)]),
    (442, [(REQUESTED_TRANSPORT, 6), (REQUESTED_ADDRESS_FAMILY, 3)]),
    (508, [UDP, TOKEN]),
]


@pytest.mark.parametrize(("code", "pairs"), WISHES)
def test_a_wish_and_its_code(code: int, pairs: list[tuple[Any, Any]]) -> None:
    net = network()
    assert Client(net).code(TYPES["allocate"], *pairs) == code
    assert len(list(net.relay.sessions(0.0))) == (code == 0)
    assert bool(net.open) == (code == 0)


@pytest.mark.parametrize(("code", "wish"), [(508, True), (0, False)])
def test_a_pair_is_not_kept_where_its_owner_may_come_to_another(code: int, wish: bool) -> None:
    net = network(settings(many_processes=True))
    assert Client(net).code(TYPES["allocate"], UDP, (EVEN_PORT, wish)) == code
    assert len(net.open) == (not wish)


def test_a_family_is_what_was_asked_for_and_else_ipv4() -> None:
    net = network()
    assert len(Client(net).allocate().ip) == 4
    assert len(Client(net, port=40001).allocate((REQUESTED_ADDRESS_FAMILY, 2)).ip) == 16
    over6 = Client(net, "2606:4700::1", listener=LISTENER6)
    assert len(over6.allocate().ip) == 4
    assert (
        len(Client(net, "2606:4700::2", listener=LISTENER6).allocate((REQUESTED_ADDRESS_FAMILY, 2)).ip) == 16
    )


def test_where_there_is_only_ipv6_nobody_need_ask_for_it() -> None:
    net = network(settings(own_addresses=frozenset((LISTENER6.ip,)), listeners=frozenset((LISTENER6,))))
    client = Client(net, "2606:4700::1", listener=LISTENER6)
    assert len(client.allocate().ip) == 16
    other = Client(net, "2606:4700::2", listener=LISTENER6)
    assert other.code(TYPES["allocate"], UDP, (REQUESTED_ADDRESS_FAMILY, 1)) == 440


@pytest.mark.parametrize(
    ("unknown", "family", "code"),
    [((4,), 1, 508), ((4,), 2, 0), ((4, 16), 2, 508), ((16,), 1, 0), ((16,), 2, 440), ((4,), 3, 508)],
)
def test_a_family_whose_public_address_is_not_known_yet_may_be_asked_for_again_later(
    unknown: tuple[int, ...], family: int, code: int
) -> None:
    given = settings(unknown_families=frozenset(unknown))
    net = network(given)
    assert Client(net).code(TYPES["allocate"], UDP, (REQUESTED_ADDRESS_FAMILY, family)) == code
    assert Client(net, port=40001).code(TYPES["allocate"], UDP) == (508 if len(unknown) == 2 else 0)
    net.relay.reload(replace(given, unknown_families=frozenset()), 0.0)
    assert len(Client(net, port=40002).allocate().ip) == 4


def test_where_there_is_only_ipv4_nobody_gets_ipv6() -> None:
    net = network(settings(own_addresses=frozenset((LISTENER.ip,)), listeners=frozenset((LISTENER,))))
    assert Client(net).code(TYPES["allocate"], UDP, (REQUESTED_ADDRESS_FAMILY, 2)) == 440
