"""How much is left: token buckets, a fixed number of them for strangers, and counts of what is held."""

from __future__ import annotations

from array import array
from collections import Counter
from hashlib import blake2b

from turn.errors import InsufficientCapacity, QuotaReached
from turn.policies import Limits, subscriber

BUCKETS = 4096  # for everybody together: a flood from everywhere costs no memory


class Bucket:
    """`rate` tokens a second, at most `burst` of them; a rate of 0 is no limit."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, burst, float("-inf")

    def take(self, now: float, amount: float = 1.0) -> bool:
        if not self._rate:
            return True
        self._fill(now)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def drain(self, now: float, amount: float) -> None:
        """Somebody else has taken this much, perhaps more than was there: a burst's worth may be owed."""
        self._fill(now)
        self._level = max(self._level - amount, -self._burst)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now


class Buckets:
    """A bucket for each of many, as far as 4096 go; who shares one, no stranger can tell."""

    def __init__(self, rate: float, burst: float, key: bytes) -> None:
        self._rate, self._burst, self._key = rate, burst, key[:64]
        self._levels = array("d", [burst]) * BUCKETS
        self._ats = array("d", [float("-inf")]) * BUCKETS

    def take(self, whose: bytes, now: float, amount: float = 1.0) -> bool:
        if not self._rate:
            return True
        slot = self._slot(whose)
        level = self._level(slot, now)
        self._ats[slot] = now
        granted = level >= amount
        self._levels[slot] = level - amount if granted else level
        return granted

    def has(self, whose: bytes, now: float) -> bool:
        """Whether one could be taken."""
        return not self._rate or self._level(self._slot(whose), now) >= 1

    def _slot(self, whose: bytes) -> int:
        return int.from_bytes(blake2b(whose, key=self._key, digest_size=2).digest(), "big") % BUCKETS

    def _level(self, slot: int, now: float) -> float:
        return min(self._burst, self._levels[slot] + (now - self._ats[slot]) * self._rate)


class Quota:
    """Who holds how many relayed addresses."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.total = 0
        self.by_user: Counter[str] = Counter()
        self.by_address: Counter[bytes] = Counter()

    def take(self, user: str, ip: bytes, amount: int = 1) -> None:
        """Raises QuotaReached for what the user or the address may not have, InsufficientCapacity for what
        is not there."""
        limits, address = self.limits, subscriber(ip)
        if exceeds(self.by_user[user] + amount, limits.allocations_per_user):
            raise QuotaReached("user")
        if exceeds(self.by_address[address] + amount, limits.allocations_per_address) and not limits.trusts(
            ip
        ):
            raise QuotaReached("address")
        if exceeds(self.total + amount, limits.allocations):
            raise InsufficientCapacity("total")
        self._add(user, address, amount)

    def give(self, user: str, ip: bytes, amount: int = 1) -> None:
        self._add(user, subscriber(ip), -amount)

    def _add(self, user: str, address: bytes, amount: int) -> None:
        self.total += amount
        self.by_user[user] += amount
        self.by_address[address] += amount
        if not self.by_user[user]:
            del self.by_user[user]
        if not self.by_address[address]:
            del self.by_address[address]


def exceeds(count: int, limit: int) -> bool:
    return bool(limit) and count > limit
