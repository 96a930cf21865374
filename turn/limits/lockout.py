"""Guessing passwords is slow: after a few wrong ones for a name from one network, that pair has to wait.

A sender must have read a reply of ours at its address before it is counted here, so a forged address locks
nobody out. Minted names are not counted, because their passwords cannot be guessed; a name that an
operator chose is, also if it looks like a minted one. A client that has an allocation under the name is never
locked out.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from turn.limits.addresses import counted_networks

SECONDS = 30.0
MAX_ENTRIES = 4096  # then the oldest is forgotten: bounds the memory that strangers can make us use


class Failures(NamedTuple):
    times: int
    until: float


class Lockout:
    """Allows `most` wrong passwords within 30 seconds; 0 is no limit. It keeps digests, no names."""

    def __init__(self, most: int, key: bytes) -> None:
        self.most, self._key = most, key[:64]
        self._failures: dict[bytes, Failures] = {}

    def __len__(self) -> int:
        return len(self._failures)

    def is_locked(self, ip: bytes, name: str, now: float) -> bool:
        """Whether no password of this name from this address is checked now."""
        if not self.most or not self._failures:
            return False
        found = ((self._failures.get(tag), factor) for tag, factor in self._tags(ip, name))
        return any(
            known is not None and known.times >= self.most * factor and now < known.until
            for known, factor in found
        )

    def note_wrong(self, ip: bytes, name: str, now: float) -> None:
        if not self.most:
            return
        for tag, _ in self._tags(ip, name):
            before = self._failures.pop(tag, None)
            times = before.times if before is not None and now < before.until else 0
            if len(self._failures) >= MAX_ENTRIES:
                del self._failures[next(iter(self._failures))]
            self._failures[tag] = Failures(times + 1, now + SECONDS)

    def note_right(self, ip: bytes, name: str) -> None:
        """Forget the wrong passwords, because this one was right."""
        for tag, _ in self._tags(ip, name) if self._failures else ():
            self._failures.pop(tag, None)

    def _tags(self, ip: bytes, name: str) -> Iterator[tuple[bytes, int]]:
        """A digest for each network of the address, and how many times the limit that network has."""
        for network, factor in counted_networks(ip):
            written = bytes([len(network)]) + network + name.encode()
            yield blake2b(written, key=self._key, digest_size=16).digest(), factor
