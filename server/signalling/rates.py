"""How often a visitor may do something: the rates, and a limit for refusals."""

from __future__ import annotations

from typing import NamedTuple


class Rate(NamedTuple):
    """So many per second, and so many at once: what a token bucket is made with."""

    per_second: float
    burst: float


MESSAGE_RATE = Rate(20, 60)  # a call's start is some thirty candidates; nothing human is faster
TEXT_RATE = Rate(5, 10)  # faster than anybody types
CHUNK_RATE = Rate(32, 64)  # 1.5 MB/s: a picture of 2 MiB in a second and a half
REFUSED, WITHIN = 100, 10.0  # so many refusals within so many seconds are no accident


class RefusalLimit:
    """Counts refusals; runs out when there are too many within too short a time."""

    __slots__ = ("count", "since")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.since = now

    def allows_one_more(self, now: float) -> bool:
        """Whether patience remains after one more refusal."""
        if now - self.since > WITHIN:
            self.count, self.since = 0, now
        self.count += 1
        return self.count < REFUSED
