"""The ledger of several processes: one memory that all of them map, with a column for each.

All processes write the levels of buckets. If two of them write at the same instant, one change may be lost: a
limit per second can bear that. Counts of what is in use must not be lost. So each process writes only its own
column, and a count is the sum of the columns. That needs no locks, and what a process used when it died is
wiped out with its column. A name is hashed with a key into two rows, and the smaller count of the two holds:
two users share a quota only if other users fill both rows of one of them.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import MutableSequence
from hashlib import blake2b
from itertools import accumulate
from mmap import mmap
from typing import NamedTuple

from turn.limits.ledger import DOUBLE

ROWS = 8192  # in each of a table's two halves: 4,000 users leave half of the rows empty
INT = 4  # bytes of a count
LEVELS = {  # two for each bucket
    "strangers": 8192,
    "connected strangers": 8192,
    "failures": 8192,
    "new allocations": 8192,
    "new allocations of an address": 8192,
    "new peers": 8192,
    "all strangers": 2,
    "handshakes out": 8192,
    "handshakes in": 8192,
    "early handshakes out": 8192,
    "early handshakes in": 8192,
    "checks out": 8192,
    "checks in": 8192,
    "ufrags out": 8192,
    "ufrags in": 8192,
    "unanswered checks": 8192,
}
HELD = ("users", "addresses", "allocations", "connections", "connected", "silent", "unnamed")


class Size(NamedTuple):
    """The layout of the memory."""

    columns: int

    @property
    def levels(self) -> int:
        """Bytes of all levels, which come first."""
        return DOUBLE * sum(LEVELS.values())

    @property
    def table(self) -> int:
        """Bytes of one table of counts."""
        return INT * 2 * ROWS * self.columns

    @property
    def all(self) -> int:
        return self.levels + len(HELD) * self.table


def make_memory(columns: int) -> int:
    """The descriptor of a memory for this many processes, filled with zeros. Raises OSError."""
    descriptor = os.memfd_create("calln-ledger")
    os.ftruncate(descriptor, Size(columns).all)
    return descriptor


class SharedLedger:
    """One process's view; see turn.limits.ledger.Ledger. Raises OSError."""

    def __init__(self, descriptor: int, columns: int, column: int, key: bytes) -> None:
        self._size, self._column, self._key = Size(columns), column, key[:64]
        self._memory = memoryview(mmap(descriptor, self._size.all))
        ends = [DOUBLE * end for end in accumulate(LEVELS.values(), initial=0)]
        self._starts = dict(zip(LEVELS, ends, strict=False))

    def levels(self, name: str, number: int) -> MutableSequence[float]:
        start = self._starts[name]
        if number != LEVELS[name]:
            raise ValueError(f"{name}: there is room for {LEVELS[name]}, not for {number}")
        view: MutableSequence[float] = self._memory[start : start + DOUBLE * number].cast("d")  # type: ignore[assignment]  # it is one, in all that is used
        return view

    def usage(self, name: str) -> Columns:
        return Columns(self._table(name), self._size.columns, self._column, self._key)

    def wipe(self, column: int) -> None:
        """Set the column of a process that has died to zero."""
        for name in HELD:
            self._table(name)[column :: self._size.columns] = array("i", bytes(INT * 2 * ROWS))

    def _table(self, name: str) -> memoryview[int]:
        start = self._size.levels + HELD.index(name) * self._size.table
        return self._memory[start : start + self._size.table].cast("i")


class Columns:
    """One table of counts; see turn.limits.ledger."""

    def __init__(self, cells: memoryview[int], columns: int, column: int, key: bytes) -> None:
        self._cells, self._columns, self._column, self._key = cells, columns, column, key

    def amount(self, name: bytes) -> int:
        return min(sum(self._cells[row : row + self._columns]) for row in self._rows(name))

    def add(self, name: bytes, amount: int) -> None:
        for row in self._rows(name):
            self._cells[row + self._column] += amount

    def _rows(self, name: bytes) -> tuple[int, int]:
        """Where a name's two rows begin, one in each half."""
        digest = blake2b(name, key=self._key, digest_size=8).digest()
        first, second = (int.from_bytes(part) % ROWS for part in (digest[:4], digest[4:]))
        return first * self._columns, (ROWS + second) * self._columns
