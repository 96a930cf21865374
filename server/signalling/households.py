"""How much of other people's time each household takes: its level.

Level 0 meets everybody at once. A household is on a higher level while many of its visitors look for partners
or have just left many. So a few machines with hundreds of pages do not meet everybody first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

LEVELS = (4, 12)  # the most that a household has on level 0, and on level 1: a family; a shared house
FORGET_SECONDS = 20.0  # until one partner that was left counts no more: three in a minute are nothing special
MOST_LEFT = 24.0  # partners that count, so that every household is on level 0 again after some minutes

Networks = tuple[tuple[bytes, int], ...]  # each with how many times the share of one household it has


class NetworkShare:
    """What one network has: visitors who look for partners or talk, and partners that they left lately."""

    __slots__ = ("factor", "left", "level", "seats", "since", "waiting")

    def __init__(self, factor: int, now: float) -> None:
        self.factor = factor
        self.seats = 0
        self.left = 0.0
        self.since = now
        self.level = 0
        self.waiting: dict[str, None] = {}  # its visitors in the queue

    def settle(self, now: float, seats: int = 0, left: float = 0.0) -> bool:
        """Forget what is long enough ago and add so much; return whether the level is another one now."""
        if self.left:
            self.left = max(0.0, self.left - (now - self.since) / FORGET_SECONDS)
        self.since = now
        self.seats += seats
        self.left = min(MOST_LEFT * self.factor, self.left + left)
        before, self.level = self.level, bisect_left(LEVELS, (self.seats + self.left) / self.factor)
        return before != self.level

    @property
    def is_empty(self) -> bool:
        return not (self.seats or self.left or self.waiting)


class Households:
    """The shares of all networks. Some methods return the visitors whose level may have changed."""

    def __init__(self) -> None:
        self.shares: dict[bytes, NetworkShare] = {}
        self.raised: dict[bytes, NetworkShare] = {}  # those above level 0
        self.swept = 0.0

    def __len__(self) -> int:
        return len(self.shares)

    def level(self, networks: Networks) -> int:
        """The level of the visitors from these networks."""
        return max((self.shares[name].level for name, _ in networks if name in self.shares), default=0)

    def change(self, networks: Networks, now: float, *, seats: int = 0, left: float = 0.0) -> list[str]:
        """So many more of its visitors look for partners or talk; so many partners were left."""
        changed: list[str] = []
        for name, factor in networks:
            share = self.share(name, factor, now)
            if share.settle(now, seats, left):
                changed += self.note(name, share)
        return changed

    def share(self, name: bytes, factor: int, now: float) -> NetworkShare:
        found = self.shares.get(name)
        if found is None:
            found = self.shares[name] = NetworkShare(factor, now)
        return found

    def note(self, name: bytes, share: NetworkShare) -> Iterable[str]:
        """The level has changed; gives those who wait on it."""
        if share.level:
            self.raised[name] = share
        else:
            self.raised.pop(name, None)
        return share.waiting

    def relax(self, now: float) -> list[str]:
        """Lower the levels of households that have waited."""
        changed: list[str] = []
        for name, share in list(self.raised.items()):
            if share.settle(now):
                changed += self.note(name, share)
        if now - self.swept >= FORGET_SECONDS:
            self.sweep(now)
        return changed

    def sweep(self, now: float) -> None:
        """Forget the networks that have nothing."""
        self.swept = now
        for name, share in list(self.shares.items()):
            if not share.level:
                share.settle(now)
            if share.is_empty and not share.level:
                del self.shares[name]

    def join(self, networks: Networks, visitor: str, now: float) -> None:
        """A visitor stands in the queue."""
        for name, factor in networks:
            self.share(name, factor, now).waiting[visitor] = None

    def leave(self, networks: Networks, visitor: str) -> None:
        for name, _ in networks:
            self.shares[name].waiting.pop(visitor, None)
