"""Token buckets: how much of something that comes back with time is left, of one or of everybody.

The memory of many is given: it may be shared with other processes (turn.ledger).
"""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence
from hashlib import blake2b

from turn.limits.ledger import DOUBLE

BUCKETS = 4096  # for everybody together: a flood from everywhere costs no memory
NUMBERS = 2 * BUCKETS  # that they are kept in


class Bucket:
    """`rate` tokens a second, at most `burst` of them; a rate of 0 is no limit."""

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
        """Take what somebody else has used already, even if there was less: up to one burst may be owed."""
        self._fill(now)
        self._level = max(self._level - amount, -self._burst)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._burst, self._level + (now - self._at) * self._rate)
            self._at = now


class Buckets:
    """A bucket for each of many, as far as 4096 go; who shares one, no stranger can tell.

    `memory` holds two numbers for each bucket, 0.0 at first: what was taken and has not come back, and when
    that was so. Without one, these buckets have their own.
    """

    def __init__(
        self, rate: float, burst: float, key: bytes, memory: MutableSequence[float] | None = None
    ) -> None:
        self._rate, self._burst, self._key = rate, burst, key[:64]
        self._memory = array("d", bytes(DOUBLE * NUMBERS)) if memory is None else memory

    def spend(self, whose: bytes, now: float, amount: float = 1.0) -> bool:
        return not self._rate or self.spend_from(self._slot(whose), now, amount)

    def spend_from(self, slot: int, now: float, amount: float = 1.0) -> bool:
        """Take from one bucket, by its number."""
        if not self._rate:
            return True
        memory, at = self._memory, 2 * slot
        taken = memory[at] - (now - memory[at + 1]) * self._rate
        if taken < 0.0:
            taken = 0.0
        memory[at + 1] = now
        if taken + amount > self._burst:
            memory[at] = taken
            return False
        memory[at] = taken + amount
        return True

    def can_spend(self, whose: bytes, now: float) -> bool:
        """Whether one could be taken."""
        at = 2 * self._slot(whose)
        taken = self._memory[at] - (now - self._memory[at + 1]) * self._rate
        return not self._rate or max(0.0, taken) + 1 <= self._burst

    def _slot(self, whose: bytes) -> int:
        return int.from_bytes(blake2b(whose, key=self._key, digest_size=2).digest(), "big") % BUCKETS
