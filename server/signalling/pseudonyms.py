"""Names that stand for networks for a day: an operator sees what comes from one network, but not from which.

A name is made with a key that nobody knows and that is thrown away after a day. Equal letters
stand for the same network: the first six for an IPv4 address or a /48 of IPv6, the four behind them for a /64
in it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address

from turn.limits.addresses import household, site

IPAddress = IPv4Address | IPv6Address

DAY = 86_400.0  # seconds that a key is used
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # no 0 O, 1 I L: they are read aloud and compared
SITE_LETTERS = 6  # two of a thousand networks share their letters once in 1,800 days
HOUSEHOLD_LETTERS = 4
UNKNOWN = "unknown"


class Pseudonyms:
    """`new_key` gives a random key of at most 64 bytes."""

    def __init__(self, new_key: Callable[[], bytes]) -> None:
        self.new_key = new_key
        self.key, self.until = b"", float("-inf")

    def name(self, address: IPAddress | None, now: float) -> str:
        """Such as K7Q2M9 for an IPv4 address, K7Q2M9-XD4F for an IPv6 address."""
        if address is None:
            return UNKNOWN
        if now >= self.until:
            self.key, self.until = self.new_key(), now + DAY
        wide, narrow = site(address.packed), household(address.packed)
        name = self.letters(wide, SITE_LETTERS)
        return name if wide == narrow else f"{name}-{self.letters(narrow, HOUSEHOLD_LETTERS)}"

    def letters(self, network: bytes, number: int) -> str:
        left = int.from_bytes(blake2b(network, key=self.key, digest_size=16).digest())
        chosen = ""
        for _ in range(number):
            left, letter = divmod(left, len(LETTERS))
            chosen += LETTERS[letter]
        return chosen


def site_of(name: str) -> str:
    """The part of a name that stands for an IPv4 address or a /48."""
    return name.partition("-")[0]
