"""What two ends have sent and heard of each other's voice, and how long a call that makes."""

from __future__ import annotations

from typing import NamedTuple

PACKETS = 50  # a second
UNHEARD = 5 * PACKETS  # at most: one is ready before the other, and one hangs up before the other


class Counted(NamedTuple):
    """Packets of voice that one of the two has sent, heard and missed, and the kind of its path."""

    sent: int
    heard: int
    lost: int
    kind: str


def report(one: Counted, other: Counted, seconds: int) -> str:
    """How many seconds the one that heard less has heard; none if anything was lost on the way."""
    whole = max(one.sent - other.heard, other.sent - one.heard) <= UNHEARD and not one.lost + other.lost
    heard = min(seconds, one.heard // PACKETS, other.heard // PACKETS) if whole else 0
    return f"heard {heard} through {' '.join(sorted({one.kind, other.kind}))}"
