"""Who must not meet again: the two have just talked, or one has blocked the other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

MAX_PAIRS = 100_000  # that are remembered; the oldest are forgotten first
MAX_BLOCKS = 100_000  # in all; the oldest are forgotten first
MAX_BLOCKS_EACH = 1_000  # that one browser makes: nobody meets so many people

Name = str | bytes  # a browser's token, or a household's address
Pair = tuple[Name, Name | None]


class Person(NamedTuple):
    """A browser and its household, which is None if the address is not known."""

    token: str
    household: bytes | None


def pair_of(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


class Terms(Enum):
    """How two parted, and so what it takes that they meet again before their time is over."""

    FRIENDLY = "one stopped, or the connection broke: they meet if nobody else suits them"
    PASSED = "one looked for somebody else: both must agree"
    FINAL = "one reported the other: they do not meet"


class RecentPairs:
    """Pairs whose call ended a short while ago."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until: dict[Pair, float] = {}
        self.terms: dict[Pair, Terms] = {}  # of those that are not PASSED
        self.order: deque[tuple[float, Pair]] = deque()

    def __contains__(self, pair: Pair) -> bool:
        return pair in self.until

    def add(self, pair: Pair, now: float, terms: Terms = Terms.PASSED) -> None:
        if self.seconds:
            self.until[pair] = now + self.seconds
            self.order.append((now + self.seconds, pair))
            self.set_terms(pair, terms)

    def set_terms(self, pair: Pair, terms: Terms) -> None:
        """Change how a pair parted; nothing if it may meet anyway."""
        self.terms.pop(pair, None)
        if terms is not Terms.PASSED and pair in self.until:
            self.terms[pair] = terms

    def terms_of(self, pair: Pair) -> Terms | None:
        """How the two parted; None if that is long enough ago."""
        return self.terms.get(pair, Terms.PASSED) if pair in self.until else None

    def expire(self, now: float) -> Iterator[Pair]:
        """Forget the pairs whose time is over, and the oldest if there are too many."""
        while self.order and (self.order[0][0] <= now or len(self.order) > MAX_PAIRS):
            end, pair = self.order.popleft()
            if self.until.get(pair) == end:  # else the pair has met again since
                del self.until[pair]
                self.terms.pop(pair, None)
                yield pair


class Blocks:
    """Who has blocked what: a browser blocks another browser and its household.

    A block holds as long as one of its two is connected, so neither a new token nor a new connection ends it.
    """

    def __init__(self) -> None:
        self.present: Counter[Name] = Counter()  # how many pages are open
        self.pairs: dict[tuple[Name, Name], None] = {}  # the blocker first
        self.by_blocker: dict[Name, dict[Name, None]] = {}
        self.by_blocked: dict[Name, dict[Name, None]] = {}

    def __contains__(self, pair: Pair) -> bool:
        """Whether the first of the pair has blocked the second."""
        return pair in self.pairs

    def arrive(self, *names: Name) -> None:
        self.present.update(names)

    def depart(self, *names: Name) -> None:
        for name in names:
            self.present[name] -= 1
            if not self.present[name]:
                del self.present[name]
                self.forget(name)

    def forget(self, name: Name) -> None:
        """Remove the blocks of somebody who has gone, unless the other one is still here."""
        for blocked in [one for one in self.by_blocker.get(name, ()) if one not in self.present]:
            self.remove(name, blocked)
        for blocker in [one for one in self.by_blocked.get(name, ()) if one not in self.present]:
            self.remove(blocker, name)

    def add(self, blocker: Name, blocked: Name) -> None:
        """Add a block. If there are too many, of this blocker or in all, the oldest is forgotten."""
        mine = self.by_blocker.setdefault(blocker, {})
        mine[blocked] = self.pairs[blocker, blocked] = None
        self.by_blocked.setdefault(blocked, {})[blocker] = None
        if len(mine) > MAX_BLOCKS_EACH:
            self.remove(blocker, next(iter(mine)))
        if len(self.pairs) > MAX_BLOCKS:
            self.remove(*next(iter(self.pairs)))

    def remove(self, blocker: Name, blocked: Name) -> None:
        self.pairs.pop((blocker, blocked), None)
        for table, one, other in ((self.by_blocker, blocker, blocked), (self.by_blocked, blocked, blocker)):
            row = table.get(one, {})
            row.pop(other, None)
            if not row:
                table.pop(one, None)
