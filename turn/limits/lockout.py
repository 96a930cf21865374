"""Guessing passwords is slow: a few wrong ones for a name from an address, and that pair has to wait.

Only who has read a reply of ours at the address gets so far, so a forged one locks nobody out; only names
that an operator chose, since minted passwords cannot be guessed; and never who holds an allocation under the
name.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from turn.policies import subscriber

SECONDS = 30.0
MAX_ENTRIES = 4096  # the oldest goes first: bounds the memory that strangers can make us spend


class Failures(NamedTuple):
    times: int
    until: float


class Lockout:
    """`most` wrong passwords within half a minute; 0 is no limit. Names and addresses are kept as digests."""

    def __init__(self, most: int, key: bytes) -> None:
        self.most, self._key = most, key[:64]
        self._failures: dict[bytes, Failures] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def is_locked(self, ip: bytes, name: str, now: float) -> bool:
        """Whether this name is not asked for its password from there now."""
        if not self.most or not self._failures:
            return False
        found = self._failures.get(self._tag(ip, name))
        return found is not None and found.times >= self.most and now < found.until

    def note_wrong(self, ip: bytes, name: str, now: float) -> None:
        if not self.most:
            return
        tag = self._tag(ip, name)
        before = self._failures.pop(tag, None)
        times = before.times if before is not None and now < before.until else 0
        if len(self._failures) >= MAX_ENTRIES:
            del self._failures[next(iter(self._failures))]
        self._failures[tag] = Failures(times + 1, now + SECONDS)

    def note_right(self, ip: bytes, name: str) -> None:
        """The password was right."""
        if self._failures:
            self._failures.pop(self._tag(ip, name), None)

    def _tag(self, ip: bytes, name: str) -> bytes:
        return blake2b(subscriber(ip) + name.encode(), key=self._key, digest_size=16).digest()
