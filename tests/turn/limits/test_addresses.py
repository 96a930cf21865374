"""Limits by address: what one household and one /48 may have, and that others lose nothing by it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from turn.flows import Address
from turn.limits.addresses import (
    HANDSHAKE_BURST,
    HANDSHAKES_PER_SECOND,
    SITE_FACTOR,
    AddressCounts,
    AddressRates,
    counted_networks,
    handshake_rates,
    household,
    site,
)
from turn.limits.buckets import BUCKETS, Buckets
from turn.limits.ledger import LocalUsage

IP, OTHER = Address.of("8.8.8.8", 0).ip, Address.of("8.8.4.4", 0).ip
HONEST = Address.of("2001:db8:900d::1", 0).ip
UNKNOWN = b""


def of_site(number: int, host: int = 1) -> bytes:
    """An address in the /64 of this number of one /48."""
    return Address.of(f"2001:db8:bad:{number:x}::{host:x}", 0).ip


anywhere = st.one_of(
    st.builds(of_site, st.integers(0, 0xFFFF), st.integers(1, 0xFFFF)),
    st.builds(of_site, st.integers(0, 2)),
    st.sampled_from((IP, OTHER, HONEST)),
)


def test_what_an_address_counts_for() -> None:
    assert counted_networks(IP) == ((IP, 1),)
    home, bigger = bytes.fromhex("20010db80bad0007"), bytes.fromhex("20010db80bad")
    assert counted_networks(of_site(7)) == ((home, 1), (bigger, SITE_FACTOR))
    assert (household(of_site(7)), site(of_site(7))) == (home, bigger)
    assert (household(IP), site(IP), counted_networks(UNKNOWN)) == (IP, IP, ((UNKNOWN, 1),))


@given(st.lists(anywhere, max_size=200), st.integers(1, 5))
def test_nobody_holds_more_than_its_networks_may(addresses: list[bytes], most: int) -> None:
    usage = LocalUsage()
    counts = AddressCounts(usage)
    held: Counter[bytes] = Counter()
    for ip in addresses:
        if not counts.exceeds(ip, most):
            counts.add(ip)
            held[ip] += 1
        else:
            assert any(
                sum(number for other, number in held.items() if other.startswith(network)) == most * factor
                for network, factor in counted_networks(ip)
            )
    for ip, number in held.items():
        for network, factor in counted_networks(ip):
            assert sum(n for other, n in held.items() if other.startswith(network)) <= most * factor
        counts.add(ip, -number)
    assert usage == {}


def test_more_than_one_fits_whole_or_not_at_all() -> None:
    counts = AddressCounts(LocalUsage())
    assert [counts.exceeds(IP, 3, amount) for amount in (3, 4)] == [False, True]
    counts.add(of_site(1), 3)
    counts.add(of_site(2), 2)
    assert [counts.exceeds(of_site(3), 3, amount) for amount in (1, 2)] == [False, True]
    assert not counts.exceeds(of_site(3), 0, 1000)


@given(st.lists(anywhere, min_size=1, max_size=300), st.integers(1, 20))
def test_a_48_spends_no_more_than_twice_what_an_address_may(addresses: list[bytes], burst: int) -> None:
    rates = AddressRates(Buckets(1, burst, b"key"))
    spent: Counter[bytes] = Counter()
    for ip in addresses:
        could = rates.can_spend(ip, 0.0)
        taken = rates.spend(ip, 0.0)
        assert taken <= could
        for network, _ in counted_networks(ip):
            spent[network] += taken
    for ip in addresses:
        for network, factor in counted_networks(ip):
            assert spent[network] <= burst * factor
    if HONEST not in addresses:
        assert rates.spend(HONEST, 0.0)


def test_what_comes_back_comes_at_twice_the_rate_for_a_48() -> None:
    rates = AddressRates(Buckets(10, 10, b"key"))
    assert sum(rates.spend(of_site(number), 0.0) for number in range(1000)) == 20
    assert sum(rates.spend(of_site(number), 0.5) for number in range(1000)) == 10
    assert sum(rates.spend(of_site(7), 10.0) for _ in range(1000)) == 10
    assert sum(rates.spend(of_site(8), 10.0) for _ in range(1000)) == 10
    assert not rates.spend(of_site(9), 10.0)


def test_a_flood_from_a_48_takes_nothing_from_those_who_share_its_buckets() -> None:
    """Its /64s fall on all buckets there are; but most of them are refused before."""
    rates = AddressRates(Buckets(1, 40, b"key"))
    flood = [of_site(number) for number in range(2 * BUCKETS)]
    for _ in range(40):
        assert sum(rates.spend(ip, 0.0) for ip in flood) <= SITE_FACTOR * 40
    honest = [Address.of(f"2001:db8:{number:x}::1", 0).ip for number in range(0x1000, 0x1400)]
    assert sum(all(rates.spend(ip, 0.0) for _ in range(10)) for ip in honest) > 1000


def test_no_rate_is_no_limit() -> None:
    rates = AddressRates(Buckets(0, 0, b"key"))
    assert all(rates.spend(ip, 0.0) and rates.can_spend(ip, 0.0) for ip in 500 * (IP, HONEST))


def test_handshakes_of_one_address() -> None:
    rates = handshake_rates(b"key")
    assert sum(rates.spend(IP, 0.0) for _ in range(1000)) == HANDSHAKE_BURST
    assert sum(rates.spend(IP, 1.0) for _ in range(1000)) == HANDSHAKES_PER_SECOND
