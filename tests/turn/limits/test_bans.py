"""Networks that are banned: who is covered, when it is over, and that one that was lifted stays so."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as some

from turn.limits.bans import LIFTED_SECONDS, MAX_BANS, BannedNetworks


def ip(text: str) -> bytes:
    return ip_address(text).packed


@pytest.mark.parametrize(
    ("banned", "client", "covered"),
    [
        ("192.0.2.7/32", "192.0.2.7", True),
        ("192.0.2.7/32", "192.0.2.8", False),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("2001:db8::/48", "2001:db8:0:ffff::1", True),
        ("2001:db8::/48", "2001:db8:1::1", False),
        ("c000::/3", "192.0.2.7", False),
        ("192.0.0.0/8", "c000::1", False),
    ],
)
def test_a_ban_covers_its_network(banned: str, client: str, covered: bool) -> None:
    network, bans = ip_network(banned), BannedNetworks()
    assert bans.ban(network.network_address.packed, network.prefixlen, 60.0, 0.0)
    assert bans.covers(ip(client), 59.0) is covered
    assert not bans.covers(ip(client), 60.0)


@given(
    some.lists(some.tuples(some.ip_addresses(v=4), some.integers(1, 32)), max_size=8), some.ip_addresses(v=4)
)
def test_it_covers_what_the_standard_library_says(rows: list[tuple[object, int]], client: object) -> None:
    bans, networks = (
        BannedNetworks(),
        [ip_network(f"{address}/{prefix}", strict=False) for address, prefix in rows],
    )
    for network in networks:
        bans.ban(network.network_address.packed, network.prefixlen, 60.0, 0.0)
    address = ip_address(str(client))
    assert bans.covers(address.packed, 0.0) is any(address in network for network in networks)
    assert {(start, prefix) for start, prefix, _ in bans.living(0.0)} == {
        (network.network_address.packed, network.prefixlen) for network in networks
    }


def test_a_ban_is_new_once() -> None:
    bans = BannedNetworks()
    assert [
        bans.ban(ip("192.0.2.7"), 32, end, now) for end, now in ((60.0, 0.0), (90.0, 30.0), (200.0, 99.0))
    ] == [
        True,
        False,
        True,
    ]


def test_what_was_lifted_is_known_for_a_while() -> None:
    bans, home = BannedNetworks(), ip("192.0.2.7")
    bans.lift(home, 32, 0.0)
    assert not bans.was_lifted(home, 32, 0.0)
    bans.ban(home, 32, 600.0, 0.0)
    bans.lift(home, 32, 10.0)
    assert not bans.covers(home, 10.0)
    assert bans.was_lifted(home, 32, 10.0)
    assert not bans.was_lifted(home, 32, 10.0 + LIFTED_SECONDS)
    assert bans.ban(home, 32, 600.0, 20.0)
    assert not bans.was_lifted(home, 32, 20.0)


def test_memory_is_bounded_and_what_is_over_is_forgotten() -> None:
    bans = BannedNetworks()
    for number in range(MAX_BANS + 5):
        assert bans.ban(number.to_bytes(4), 32, 60.0, 0.0) is (number < MAX_BANS)
    assert len(bans) == MAX_BANS
    bans.lift(bytes(4), 32, 0.0)
    assert bans.ban(b"\xff" * 4, 32, 60.0, 0.0)
    bans.purge(60.0)
    assert len(bans) == 0
    bans.purge(LIFTED_SECONDS)
    assert not bans._lifted
