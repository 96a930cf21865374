"""Who meets whom: the longest waiting of those who suit the newcomer and whom the newcomer suits."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

MAX_PAIRS = 100_000  # remembered pairs of each kind; the oldest are forgotten first
MAX_BLOCKS_EACH = 1_000  # pairs that one token may block: nobody meets so many people

ANYBODY = "*"  # a bucket for every country, and for a wish that names none

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Seeker:
    """Somebody who waits. `token` is the browser's, `ticket` the place in the queue, an empty wish is any."""

    visitor: str
    token: str
    country: str | None
    wanted_countries: frozenset[str]
    ticket: int

    def accepts(self, other: Seeker) -> bool:
        """Whether the other is whom this one wants to meet."""
        return not self.wanted_countries or other.country in self.wanted_countries


by_ticket = attrgetter("ticket")


def pair_of(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


class RecentPairs:
    """Pairs that parted a short while ago."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until: dict[Pair, float] = {}
        self.order: deque[tuple[float, Pair]] = deque()

    def __contains__(self, pair: Pair) -> bool:
        return pair in self.until

    def add(self, pair: Pair, now: float) -> None:
        if self.seconds:
            self.until[pair] = now + self.seconds
            self.order.append((now + self.seconds, pair))

    def expire(self, now: float) -> Iterator[Pair]:
        """Forget the pairs whose time is over, and the oldest where there are too many."""
        while self.order and (self.order[0][0] <= now or len(self.order) > MAX_PAIRS):
            end, pair = self.order.popleft()
            if self.until.get(pair) == end:  # else they met and parted again since
                del self.until[pair]
                yield pair


class Blocks:
    """Pairs that never meet again while either of the two is about."""

    def __init__(self) -> None:
        self.present: dict[str, int] = {}  # token -> how many of its pages are open
        self.partners: dict[str, dict[str, None]] = {}

    def __contains__(self, pair: Pair) -> bool:
        return pair[1] in self.partners.get(pair[0], ())

    def arrive(self, token: str) -> None:
        self.present[token] = self.present.get(token, 0) + 1

    def depart(self, token: str) -> None:
        self.present[token] -= 1
        if self.present[token]:
            return
        del self.present[token]
        for partner in [one for one in self.partners.get(token, ()) if one not in self.present]:
            self.remove(token, partner)

    def add(self, one: str, other: str) -> None:
        for token, partner in ((one, other), (other, one)):
            theirs = self.partners.setdefault(token, {})
            theirs[partner] = None
            if len(theirs) > MAX_BLOCKS_EACH:
                self.remove(token, next(iter(theirs)))

    def remove(self, one: str, other: str) -> None:
        for token, partner in ((one, other), (other, one)):
            theirs = self.partners.get(token, {})
            theirs.pop(partner, None)
            if not theirs:
                self.partners.pop(token, None)


class Queue:
    """Everybody who waits, indexed by where they are from and whom they accept.

    A newcomer looks only at those who accept them and whom they accept, oldest first, so a queue of thousands
    costs no more than the few whom a block, a recent parting or their own browser keeps apart.
    """

    def __init__(self, rematch_seconds: float) -> None:
        self.recent_pairs = RecentPairs(rematch_seconds)
        self.blocks = Blocks()
        self.seekers: dict[str, Seeker] = {}
        self.by_token: dict[str, dict[str, Seeker]] = {}
        self.index: dict[tuple[str, str], list[Seeker]] = {}
        self.first_ticket = self.last_ticket = 0

    def __len__(self) -> int:
        return len(self.seekers)

    def new_ticket(self, *, front: bool = False) -> int:
        """A place in the queue: the last, or the very first."""
        if front:
            self.first_ticket -= 1
            return self.first_ticket
        self.last_ticket += 1
        return self.last_ticket

    def match_or_wait(self, seeker: Seeker) -> Seeker | None:
        """The partner, taken out of the queue; None, and the seeker waits."""
        partner = next((one for one in self.candidates(seeker) if self.may_meet(seeker, one)), None)
        if partner is None:
            self.add(seeker)
        else:
            self.remove(partner.visitor)
        return partner

    def remove(self, visitor: str) -> Seeker | None:
        """Take somebody out; None: they did not wait."""
        seeker = self.seekers.pop(visitor, None)
        if seeker is None:
            return None
        theirs = self.by_token[seeker.token]
        del theirs[visitor]
        if not theirs:
            del self.by_token[seeker.token]
        for key in index_keys(seeker):
            bucket = self.index[key]
            del bucket[bisect_left(bucket, seeker.ticket, key=by_ticket)]
            if not bucket:
                del self.index[key]
        return seeker

    def remember_pair(self, one: str, other: str, now: float) -> None:
        """Two tokens have just parted."""
        self.recent_pairs.add(pair_of(one, other), now)

    def block(self, one: str, other: str) -> None:
        """Two tokens are never to meet again."""
        self.blocks.add(one, other)

    def rematch(self, now: float) -> list[tuple[Seeker, Seeker]]:
        """Couples among those who wait already, because their last parting is long enough ago now."""
        couples = []
        for one, other in self.recent_pairs.expire(now):
            for seeker in list(self.by_token.get(one, {}).values()):
                partner = next((p for p in self.seekers_of(other) if self.accept_each_other(seeker, p)), None)
                if partner is not None:
                    self.remove(seeker.visitor)
                    self.remove(partner.visitor)
                    couples.append((seeker, partner))
        return couples

    def seekers_of(self, token: str) -> Iterable[Seeker]:
        return sorted(self.by_token.get(token, {}).values(), key=by_ticket)

    def add(self, seeker: Seeker) -> None:
        self.seekers[seeker.visitor] = seeker
        self.by_token.setdefault(seeker.token, {})[seeker.visitor] = seeker
        for key in index_keys(seeker):
            insort(self.index.setdefault(key, []), seeker, key=by_ticket)

    def candidates(self, seeker: Seeker) -> Iterator[Seeker]:
        """Those who want the seeker and whom the seeker wants, the longest waiting first."""
        wishes = [ANYBODY, seeker.country] if seeker.country else [ANYBODY]
        found = [
            self.index.get((country, wish), [])
            for country in seeker.wanted_countries or (ANYBODY,)
            for wish in wishes
        ]
        return heapq.merge(*found, key=by_ticket)

    def may_meet(self, one: Seeker, other: Seeker) -> bool:
        pair = pair_of(one.token, other.token)
        return one.token != other.token and pair not in self.recent_pairs and pair not in self.blocks

    def accept_each_other(self, one: Seeker, other: Seeker) -> bool:
        return one.accepts(other) and other.accepts(one) and self.may_meet(one, other)


def index_keys(seeker: Seeker) -> Iterator[tuple[str, str]]:
    """The buckets that a seeker stands in: (where from, whom accepted)."""
    for wish in seeker.wanted_countries or (ANYBODY,):
        yield (ANYBODY, wish)
        if seeker.country:
            yield (seeker.country, wish)
