"""Limits by address: how much one network may hold, and how much may come from it in a while.

An IPv4 address counts once; a whole office or a provider's NAT may stand behind it. An IPv6 address counts
twice, for its /64 and for its /48: many providers give one household a /56 or a /48, so with a limit of each
/64 alone, one household could use 65,536 times as much.
"""

from __future__ import annotations

from turn.limits.buckets import Buckets
from turn.limits.ledger import Usage

HOUSEHOLD_BITS, SITE_BITS = 64, 48  # the rest of an address changes daily (RFC 8981)
SITE_FACTOR = 2  # a /48 may have so many times as much as a /64: ten such networks leave most to others
HOUSEHOLD, SITE = HOUSEHOLD_BITS // 8, SITE_BITS // 8  # bytes of an address
HANDSHAKES_PER_SECOND = 50  # of TLS: a flood from one address may cost 2 % of a core
HANDSHAKE_BURST = 400  # after a restart, all clients of one address come back at once


def household(ip: bytes) -> bytes:
    """What one household has: an IPv4 address, or a /64 of IPv6."""
    return ip[:HOUSEHOLD] if len(ip) == 16 else ip


def site(ip: bytes) -> bytes:
    """The most that one customer has: an IPv4 address, or a /48 of IPv6."""
    return ip[:SITE] if len(ip) == 16 else ip


def counted_networks(ip: bytes) -> tuple[tuple[bytes, int], ...]:
    """Every network that an address counts for, and how many times the limit of a household it has."""
    return ((ip[:HOUSEHOLD], 1), (ip[:SITE], SITE_FACTOR)) if len(ip) == 16 else ((ip, 1),)


class AddressCounts:
    """How much is in use by the networks of addresses. Networks of both widths are counted in one table."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage

    def amount(self, ip: bytes) -> int:
        """What the household of this address has in use."""
        return self.usage.amount(household(ip))

    def exceeds(self, ip: bytes, most: int, amount: int = 1) -> bool:
        """Whether so much more would be too much for a network of this address; 0 is no limit."""
        return most > 0 and any(
            self.usage.amount(network) + amount > most * factor for network, factor in counted_networks(ip)
        )

    def add(self, ip: bytes, amount: int = 1) -> None:
        """Take so much, or with a negative amount, give it back."""
        for network, _ in counted_networks(ip):
            self.usage.add(network, amount)


class AddressRates:
    """A token bucket for each network, shared with another only where two of each fall together. A /48 is
    charged for a part of each token, so both widths need only one rate; while it has none left, nothing is
    taken from its /64s."""

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets

    def spend(self, ip: bytes, now: float, amount: float = 1.0) -> bool:
        buckets = self.buckets
        if not buckets.rate:
            return True
        if len(ip) != 16:
            return buckets.spend_either(buckets.slots(ip), now, amount)
        wide, part = buckets.slots(ip[:SITE]), amount / SITE_FACTOR
        return (
            buckets.can_spend_either(wide, now, part)
            and buckets.spend_either(buckets.slots(ip[:HOUSEHOLD]), now, amount)
            and buckets.spend_either(wide, now, part)
        )

    def can_spend(self, ip: bytes, now: float, amount: float = 1.0) -> bool:
        """Whether so much could be spent."""
        buckets = self.buckets
        return not buckets.rate or all(
            buckets.can_spend_either(buckets.slots(network), now, amount / factor)
            for network, factor in counted_networks(ip)
        )


def handshake_rates(key: bytes) -> AddressRates:
    """How many TLS handshakes may begin, at every listener."""
    return AddressRates(Buckets(HANDSHAKES_PER_SECOND, HANDSHAKE_BURST, key))
