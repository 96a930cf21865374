"""What limits are kept by: who holds how much, and the levels of token buckets.

Here in the memory of one process; several that share their limits share them through `turn.shared`.
"""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence
from typing import Protocol

DOUBLE = 8  # bytes


class Usage(Protocol):
    """How much of something each one holds, by name. What is given back was taken before."""

    def amount(self, name: bytes) -> int:
        """At least what this one holds; where memory is bounded, perhaps what others hold too."""

    def add(self, name: bytes, amount: int) -> None:
        """Take so much, or with a negative amount, give it back."""


class Ledger(Protocol):
    """Tables by name; who asks again gets the same one."""

    def levels(self, name: str, number: int) -> MutableSequence[float]:
        """So many numbers, all 0.0 at first."""

    def usage(self, name: str) -> Usage: ...


class LocalUsage(dict[bytes, int]):
    """Exact, and as large as what is held."""

    def amount(self, name: bytes) -> int:
        return self.get(name, 0)

    def add(self, name: bytes, amount: int) -> None:
        left = self.get(name, 0) + amount
        if left:
            self[name] = left
        else:
            del self[name]


class LocalLedger:
    """One process's own."""

    def __init__(self) -> None:
        self._levels: dict[str, MutableSequence[float]] = {}
        self._usage: dict[str, LocalUsage] = {}

    def levels(self, name: str, number: int) -> MutableSequence[float]:
        return self._levels.setdefault(name, array("d", bytes(DOUBLE * number)))

    def usage(self, name: str) -> LocalUsage:
        return self._usage.setdefault(name, LocalUsage())
