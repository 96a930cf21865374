"""How often a visitor may send something: the rates, and a limit for refusals."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """So many per second, and so many at once: what a token bucket is made with."""

    per_second: float
    burst: float


MESSAGE_RATE = Rate(20, 60)  # a call begins with some thirty candidates; no person is faster
TEXT_RATE = Rate(5, 10)  # faster than anybody types
# Characters of all messages of one visitor. Reading a description of 50 kB takes several milliseconds; a call
# needs one or two of some 5 kB, and the longest texts come more slowly.
SIZE_RATE = Rate(16 << 10, 192 << 10)
LARGE_MESSAGE = 1 << 10  # characters: longer ones count for the address, too
LARGE_RATE = Rate(64 << 10, 512 << 10)  # their characters: an office whose calls are all repaired at once
REQUEST_RATE = Rate(50, 1_500)  # of an address: 64 pages may open at once, with some twenty files each
CHUNK_RATE = Rate(32, 64)  # 1.5 MB/s: a picture of 2 MiB in a second and a half
MAX_REFUSALS, REFUSAL_SECONDS = 100, 10.0  # so many refusals within so many seconds are no accident


class RefusalLimit:
    """Counts refused messages: too many within a short time are no accident."""

    __slots__ = ("count", "since")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.since = now

    def allows_one_more(self, now: float) -> bool:
        """Count one more; False: that was too many."""
        if now - self.since > REFUSAL_SECONDS:
            self.count, self.since = 0, now
        self.count += 1
        return self.count < MAX_REFUSALS
