"""Networks that are banned: who is covered, when it is over, and that one that was lifted stays so."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as some

from turn.limits.bans import (
    LIFTED_SECONDS,
    MAX_BANS,
    MAX_KEYS,
    PURGE_SECONDS,
    BanKey,
    BannedNetwork,
    BannedNetworks,
)

SERVER_KEY = b"k" * 32
KEY = BanKey(SERVER_KEY)


def named(network: str, key: BanKey = KEY) -> BannedNetwork:
    banned = ip_network(network)
    return key.network(banned.network_address.packed, banned.prefixlen)


def bans(*networks: str) -> BannedNetworks:
    known = BannedNetworks()
    known.set_keys((b"another key", SERVER_KEY))
    for network in networks:
        assert known.ban(named(network), 60.0, 0.0)
    return known


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
    assert bans(banned).covers(ip(client), 59.0) is covered
    assert not bans(banned).covers(ip(client), 60.0)


rows = some.lists(some.tuples(some.ip_addresses(v=4), some.integers(1, 32)), max_size=8)


@given(rows, some.ip_addresses(v=4))
def test_it_covers_what_the_standard_library_says(
    rows: list[tuple[IPv4Address, int]], client: IPv4Address
) -> None:
    networks = {IPv4Network((address, prefix), strict=False) for address, prefix in rows}
    known = bans(*map(str, networks))
    assert known.covers(client.packed, 0.0) is any(client in network for network in networks)
    assert {network for network, _ in known.living(0.0)} == {named(str(network)) for network in networks}


def test_without_its_key_a_tag_says_nothing() -> None:
    known = BannedNetworks()
    known.set_keys((b"another key",))
    known.ban(named("192.0.2.7/32"), 60.0, 0.0)
    assert not known.covers(ip("192.0.2.7"), 0.0)
    assert named("192.0.2.7/32", BanKey(b"another key")).tag != named("192.0.2.7/32").tag


def test_a_ban_is_new_once() -> None:
    known = BannedNetworks()
    times = ((60.0, 0.0), (90.0, 30.0), (200.0, 99.0))
    assert [known.ban(named("192.0.2.7/32"), end, now) for end, now in times] == [True, False, True]


def test_what_was_lifted_is_known_for_a_while() -> None:
    known, network = BannedNetworks(), named("192.0.2.7/32")
    known.lift(network, 0.0)
    assert not known.was_lifted(network, 0.0)
    known.ban(network, 600.0, 0.0)
    known.lift(network, 10.0)
    assert list(known.living(10.0)) == []
    assert known.was_lifted(network, 10.0)
    assert not known.was_lifted(network, 10.0 + LIFTED_SECONDS)
    assert known.ban(network, 600.0, 20.0)
    assert not known.was_lifted(network, 20.0)


def test_memory_is_bounded_and_what_is_over_is_forgotten() -> None:
    known = BannedNetworks()
    networks = [KEY.network(number.to_bytes(4), 32) for number in range(MAX_BANS + 5)]
    assert [known.ban(network, 60.0, 0.0) for network in networks] == [True] * MAX_BANS + [False] * 5
    assert len(known) == MAX_BANS
    known.lift(networks[0], 0.0)
    assert known.ban(networks[-1], 60.0, 0.0)
    later = LIFTED_SECONDS + PURGE_SECONDS
    assert known.ban(networks[-2], later + 1, later)
    assert (len(known), len(known._lifted)) == (1, 0)


def test_bans_under_a_key_that_is_used_no_more_hold_and_take_no_place_from_those_under_the_new_one() -> None:
    known = BannedNetworks()
    known.set_keys((SERVER_KEY,))
    for number in range(MAX_BANS):
        known.ban(KEY.network(number.to_bytes(4), 32), 60.0, 0.0)
    new = BanKey(b"new key")
    known.set_keys((b"new key",))
    known.set_keys((b"new key",))
    assert known.covers((7).to_bytes(4), 59.0)
    assert known.ban(new.network((7).to_bytes(4), 32), 600.0, 1.0)
    assert known.covers((7).to_bytes(4), 599.0)
    assert not known.covers((8).to_bytes(4), 60.0)


def test_all_keys_together_are_bounded() -> None:
    known = BannedNetworks()
    for number in range(MAX_KEYS + 1):
        key = BanKey(bytes((number,)))
        taken = [known.ban(key.network(one.to_bytes(4), 32), 60.0, 0.0) for one in range(MAX_BANS)]
        assert all(taken) is (number < MAX_KEYS)
    assert len(known) == MAX_KEYS * MAX_BANS


def test_what_an_older_process_knows_shortens_no_ban() -> None:
    known = bans("192.0.2.7/32")
    assert not known.ban(named("192.0.2.7/32"), 5.0, 1.0, merge=True)
    assert known.covers(ip("192.0.2.7"), 59.0)
    assert not known.ban(named("192.0.2.7/32"), 90.0, 1.0, merge=True)
    assert known.covers(ip("192.0.2.7"), 89.0)
    known.ban(named("192.0.2.7/32"), 5.0, 1.0)
    assert not known.covers(ip("192.0.2.7"), 5.0)
