"""The memory of limits: how much each name has in use, and the levels of token buckets.

Here it is in one process; several processes share it through turn.workers.shared_ledger.
"""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence
from typing import Protocol

DOUBLE = 8  # bytes


class Usage(Protocol):
    """How much of something is in use, by name. What is given back was taken before."""

    def amount(self, name: bytes) -> int:
        """What this name has in use; with bounded memory it may include what another name has."""

    def add(self, name: bytes, amount: int) -> None:
        """Take so much, or with a negative amount, give it back."""


class Ledger(Protocol):
    """Tables by name; the same name gives the same table."""

    def levels(self, name: str, number: int) -> MutableSequence[float]:
        """So many numbers, all 0.0 at first."""

    def usage(self, name: str) -> Usage:
        """A table of what is in use, empty at first."""


class LocalUsage(dict[bytes, int]):
    """Exact counts in this process; its memory grows with the number of names."""

    def amount(self, name: bytes) -> int:
        return self.get(name, 0)

    def add(self, name: bytes, amount: int) -> None:
        left = self.get(name, 0) + amount
        if left:
            self[name] = left
        else:
            del self[name]


class LocalLedger:
    """The ledger of one process."""

    def __init__(self) -> None:
        self._levels: dict[str, MutableSequence[float]] = {}
        self._usage: dict[str, LocalUsage] = {}

    def levels(self, name: str, number: int) -> MutableSequence[float]:
        return self._levels.setdefault(name, array("d", bytes(DOUBLE * number)))

    def usage(self, name: str) -> LocalUsage:
        return self._usage.setdefault(name, LocalUsage())
