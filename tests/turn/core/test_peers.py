"""Our own addresses as peers, and which of them to relay from."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turn.network import LISTENER, LISTENER6, settings
from turn.core.peers import Destinations, relay_ip
from turn.errors import Forbidden
from turn.flows import Address
from turn.policies import PeerTable, networks


def ip(text: str) -> bytes:
    return Address.of(text, 0).ip


OURS = Address(LISTENER.ip, 50000)
LOOP = Address.of("127.0.0.1", 50000)
OWN = frozenset((LISTENER.ip, LISTENER6.ip, ip("127.0.0.1"), ip("::1")))
OPEN = settings(
    own_addresses=OWN, peers=PeerTable(loopback=True), listeners=frozenset((Address(LOOP.ip, 3478), LISTENER))
)
SHUT = settings(own_addresses=OWN)

ELSEWHERE = settings(own_addresses=OWN, relayed_elsewhere={OURS, LOOP})  # in other processes of ours

# settings, live relayed addresses, peer -> permission granted, channel granted, data moves
ASKED = [
    (SHUT, [], Address.of("9.9.9.9", 5000), True, True, True),
    (SHUT, [], Address.of("10.0.0.1", 5000), False, False, True),
    (SHUT, [], OURS, True, False, False),
    (SHUT, [OURS], OURS, True, True, True),
    (SHUT, [OURS], OURS._replace(port=50001), True, False, False),
    (ELSEWHERE, [], OURS, True, True, True),
    (ELSEWHERE, [], OURS._replace(port=50001), True, False, False),
    (ELSEWHERE, [], LOOP, True, True, True),
    (SHUT, [OURS], LISTENER, True, False, False),
    (SHUT, [], LOOP, False, False, False),
    (SHUT, [LOOP], LOOP, True, True, True),
    (SHUT, [LOOP], LOOP._replace(port=80), False, False, False),
    (SHUT, [], Address.of("127.0.0.2", 5000), False, False, True),
    (OPEN, [], LOOP, True, True, True),
    (OPEN, [], LOOP._replace(port=3478), True, False, False),
    (OPEN, [], Address.of("127.0.0.2", 5000), True, True, True),
]


@pytest.mark.parametrize(("given", "live", "peer", "permission", "channel", "data"), ASKED)
def test_who_may_be_reached(
    given: Any, live: list[Address], peer: Address, permission: bool, channel: bool, data: bool
) -> None:
    reach = Destinations(given, live)
    assert grants(reach.check_permission, peer) is permission
    assert grants(reach.check_binding, peer) is channel
    assert reach.may_send_to(peer) is data


def grants(check: Any, peer: Address) -> bool:
    try:
        check(peer)
    except Forbidden:
        return False
    return True


def test_one_to_one_nat_is_translated_both_ways() -> None:
    reach = Destinations(settings(externals={LISTENER.ip: ip("6.6.6.6")}), [])
    outer = Address.of("6.6.6.6", 50000)
    assert reach.to_public(OURS) == outer
    assert reach.to_local(outer) == OURS
    assert reach.to_local(OURS) == OURS
    stranger = Address.of("9.9.9.9", 1)
    assert reach.to_public(stranger) == reach.to_local(stranger) == stranger


LOCAL4, LOCAL6, LOOP4, LOOP6 = ip("10.0.0.5"), ip("2600::5"), ip("127.0.0.1"), ip("::1")
EVERY = frozenset((LOCAL4, LOCAL6, LOOP4, LOOP6, ip("10.0.0.4"), ip("7.7.7.7")))
PRIVATE = PeerTable(allow=networks("10.0.0.4/32"))

# changes of the settings, reached, bytes of the family -> relayed from
CHOSEN: list[tuple[dict[str, Any], bytes, int, bytes | None]] = [
    ({}, LISTENER.ip, 4, LISTENER.ip),
    ({}, LISTENER.ip, 16, LISTENER6.ip),
    ({"own_addresses": EVERY}, LOCAL6, 4, ip("7.7.7.7")),
    ({"own_addresses": EVERY, "externals": {LOCAL4: ip("6.6.6.6")}}, LOCAL6, 4, LOCAL4),
    ({"own_addresses": EVERY, "default_sources": {LOCAL4}}, LOCAL6, 4, LOCAL4),
    ({"own_addresses": EVERY, "default_sources": {LOCAL4}, "peers": PRIVATE}, LOCAL6, 4, LOCAL4),
    ({"own_addresses": EVERY, "default_sources": {LOCAL4}, "peers": PRIVATE}, LOOP6, 4, LOOP4),
    ({"own_addresses": EVERY, "default_sources": {LOCAL4}}, ip("10.0.0.4"), 4, ip("10.0.0.4")),
    (
        {"own_addresses": EVERY, "default_sources": {LOCAL4}, "externals": {ip("10.0.0.4"): ip("6.6.6.6")}},
        *(LOCAL6, 4, ip("10.0.0.4")),
    ),
    ({"own_addresses": EVERY | {ip("fd00::1")}, "default_sources": {LOCAL6}}, LOCAL4, 16, LOCAL6),
    (
        {"own_addresses": EVERY | {ip("fd00::1")}, "default_sources": {ip("fd00::1")}},
        LOCAL4,
        16,
        ip("fd00::1"),
    ),
    ({"unknown_families": {4}}, LISTENER.ip, 4, None),
    ({"unknown_families": {4}}, LISTENER6.ip, 4, None),
    ({"unknown_families": {4}}, LISTENER.ip, 16, LISTENER6.ip),
    ({"unknown_families": {4}, "relay_addresses": (LOCAL4,)}, LOCAL4, 4, None),
    ({"own_addresses": EVERY}, LOOP6, 4, LOOP4),
    ({"own_addresses": EVERY}, LOOP4, 16, LOOP6),
    ({"own_addresses": frozenset((LOCAL4, LOOP6))}, LOCAL4, 16, None),
    ({"own_addresses": frozenset((LOCAL4, ip("fe80::5")))}, LOCAL4, 16, None),
    ({"relay_addresses": (LOCAL4, ip("10.0.0.4"))}, LISTENER.ip, 4, LOCAL4),
    ({"relay_addresses": (LOCAL4, ip("10.0.0.4"))}, ip("10.0.0.4"), 4, ip("10.0.0.4")),
    ({"relay_addresses": (LOCAL4,)}, LISTENER6.ip, 16, None),
]


@pytest.mark.parametrize(("changes", "reached", "size", "expected"), CHOSEN)
def test_where_to_relay_from(
    changes: dict[str, Any], reached: bytes, size: int, expected: bytes | None
) -> None:
    assert relay_ip(settings(**changes), reached, size) == expected


def test_an_operators_ranges_hold_for_strangers() -> None:
    given = settings(peers=PeerTable(allow=networks("10.1.0.0/16"), deny=networks("9.9.9.0/24")))
    reach = Destinations(given, [])
    reach.check_permission(Address.of("10.1.2.3", 1))
    with pytest.raises(Forbidden):
        reach.check_permission(Address.of("9.9.9.9", 1))
