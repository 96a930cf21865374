"""Token buckets: how much is left of something that comes back with time, for one or for many.

The memory of many buckets is an argument: it may be shared with other processes (turn.limits.ledger).
"""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence
from hashlib import blake2b

from turn.limits.ledger import DOUBLE

BUCKETS = 4096  # a fixed number, so that a flood from many addresses costs no memory
NUMBERS = 2 * BUCKETS  # the numbers in their memory


class Bucket:
    """A token bucket: `rate` tokens come per second, at most `burst` are in it; a rate of 0 is no limit."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, burst, float("-inf")

    def spend(self, now: float, amount: float = 1.0) -> bool:
        if not self._rate:
            return True
        self._fill(now)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def refund(self, amount: float = 1.0) -> None:
        """Put back what was spent for nothing."""
        self._level = min(self._burst, self._level + amount)

    def deduct(self, now: float, amount: float) -> None:
        """Take what another part has used already, even if less was there: up to one burst may be owed."""
        self._fill(now)
        self._level = max(self._level - amount, -self._burst)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now


class Buckets:
    """Token buckets for many names. There are 4096; which names share one, a stranger cannot tell.

    `memory` holds two numbers for each bucket, both 0.0 at first: what was spent and has not come back, and
    when that was so. Without it, these buckets have memory of their own.
    """

    def __init__(
        self, rate: float, burst: float, key: bytes, memory: MutableSequence[float] | None = None
    ) -> None:
        self.rate, self._burst, self._key = rate, burst, key[:64]
        self._memory = array("d", bytes(DOUBLE * NUMBERS)) if memory is None else memory

    def spend(self, whose: bytes, now: float, amount: float = 1.0) -> bool:
        return not self.rate or self.spend_from(self.slot(whose), now, amount)

    def spend_from(self, slot: int, now: float, amount: float = 1.0) -> bool:
        """Spend from one bucket, by its number."""
        if not self.rate:
            return True
        memory, at = self._memory, 2 * slot
        taken = memory[at] - (now - memory[at + 1]) * self.rate
        if taken < 0.0:
            taken = 0.0
        memory[at + 1] = now
        if taken + amount > self._burst:
            memory[at] = taken
            return False
        memory[at] = taken + amount
        return True

    def can_spend_from(self, slot: int, now: float, amount: float = 1.0) -> bool:
        """Whether so much could be spent from one bucket."""
        return not self.rate or self._taken(2 * slot, now) + amount <= self._burst

    def slot(self, whose: bytes) -> int:
        """The number of a name's bucket."""
        return int.from_bytes(blake2b(whose, key=self._key, digest_size=2).digest(), "big") % BUCKETS

    def slots(self, whose: bytes) -> tuple[int, int]:
        """The numbers of two buckets of a name, for `spend_either`."""
        number = int.from_bytes(blake2b(whose, key=self._key, digest_size=4).digest(), "big")
        return number % BUCKETS, (number >> 16) % BUCKETS

    def spend_either(self, slots: tuple[int, int], now: float, amount: float = 1.0) -> bool:
        """Spend from both of two buckets, where one has enough: two names seldom share both of theirs."""
        memory, rate, burst = self._memory, self.rate, self._burst
        first, second = 2 * slots[0], 2 * slots[1]
        taken = memory[first] - (now - memory[first + 1]) * rate
        other = memory[second] - (now - memory[second + 1]) * rate
        taken, other = taken if taken > 0.0 else 0.0, other if other > 0.0 else 0.0
        if taken + amount > burst and other + amount > burst:
            return False
        memory[first], memory[second] = min(burst, taken + amount), min(burst, other + amount)
        memory[first + 1] = memory[second + 1] = now
        return True

    def can_spend_either(self, slots: tuple[int, int], now: float, amount: float = 1.0) -> bool:
        """Whether so much could be spent from one of two buckets."""
        memory, rate, room = self._memory, self.rate, self._burst - amount
        first, second = 2 * slots[0], 2 * slots[1]
        return not rate or (
            0.0 <= room >= memory[first] - (now - memory[first + 1]) * rate
            or 0.0 <= room >= memory[second] - (now - memory[second + 1]) * rate
        )

    def _taken(self, at: int, now: float) -> float:
        """What was spent from a bucket and has not come back."""
        return max(0.0, self._memory[at] - (now - self._memory[at + 1]) * self.rate)
