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
    want: frozenset[str]
    ticket: int

    def suits(self, other: Seeker) -> bool:
        """Whether the other is whom this one wants to meet."""
        return not self.want or other.country in self.want


place = attrgetter("ticket")


def pair_of(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


class Recent:
    """Pairs that parted a short while ago."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends: dict[Pair, float] = {}
        self.order: deque[tuple[float, Pair]] = deque()

    def __contains__(self, pair: Pair) -> bool:
        return pair in self.ends

    def add(self, pair: Pair, now: float) -> None:
        if self.seconds:
            self.ends[pair] = now + self.seconds
            self.order.append((now + self.seconds, pair))

    def expire(self, now: float) -> Iterator[Pair]:
        """Forget the pairs whose time is over, and the oldest where there are too many."""
        while self.order and (self.order[0][0] <= now or len(self.order) > MAX_PAIRS):
            end, pair = self.order.popleft()
            if self.ends.get(pair) == end:  # else they met and parted again since
                del self.ends[pair]
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
        self.recent = Recent(rematch_seconds)
        self.blocks = Blocks()
        self.seekers: dict[str, Seeker] = {}
        self.by_token: dict[str, dict[str, Seeker]] = {}
        self.buckets: dict[tuple[str, str], list[Seeker]] = {}
        self.first = self.last = 0

    def __len__(self) -> int:
        return len(self.seekers)

    def ticket(self, *, front: bool = False) -> int:
        """A place in the queue: the last, or the very first."""
        if front:
            self.first -= 1
            return self.first
        self.last += 1
        return self.last

    def join(self, seeker: Seeker) -> Seeker | None:
        """The partner, taken out of the queue; None, and the seeker waits."""
        partner = next((one for one in self.candidates(seeker) if self.may_meet(seeker, one)), None)
        if partner is None:
            self.add(seeker)
        else:
            self.leave(partner.visitor)
        return partner

    def leave(self, visitor: str) -> Seeker | None:
        """Take somebody out; None: they did not wait."""
        seeker = self.seekers.pop(visitor, None)
        if seeker is None:
            return None
        theirs = self.by_token[seeker.token]
        del theirs[visitor]
        if not theirs:
            del self.by_token[seeker.token]
        for key in keys(seeker):
            bucket = self.buckets[key]
            del bucket[bisect_left(bucket, seeker.ticket, key=place)]
            if not bucket:
                del self.buckets[key]
        return seeker

    def part(self, one: str, other: str, now: float) -> None:
        """Two tokens have just parted."""
        self.recent.add(pair_of(one, other), now)

    def block(self, one: str, other: str) -> None:
        """Two tokens are never to meet again."""
        self.blocks.add(one, other)

    def settle(self, now: float) -> list[tuple[Seeker, Seeker]]:
        """Couples among those who wait already, because their last parting is long enough ago now."""
        couples = []
        for one, other in self.recent.expire(now):
            for seeker in list(self.by_token.get(one, {}).values()):
                partner = next((p for p in self.waiting(other) if self.fits(seeker, p)), None)
                if partner is not None:
                    self.leave(seeker.visitor)
                    self.leave(partner.visitor)
                    couples.append((seeker, partner))
        return couples

    def waiting(self, token: str) -> Iterable[Seeker]:
        return sorted(self.by_token.get(token, {}).values(), key=place)

    def add(self, seeker: Seeker) -> None:
        self.seekers[seeker.visitor] = seeker
        self.by_token.setdefault(seeker.token, {})[seeker.visitor] = seeker
        for key in keys(seeker):
            insort(self.buckets.setdefault(key, []), seeker, key=place)

    def candidates(self, seeker: Seeker) -> Iterator[Seeker]:
        """Those who want the seeker and whom the seeker wants, the longest waiting first."""
        wishes = [ANYBODY, seeker.country] if seeker.country else [ANYBODY]
        found = [
            self.buckets.get((country, wish), []) for country in seeker.want or (ANYBODY,) for wish in wishes
        ]
        return heapq.merge(*found, key=place)

    def may_meet(self, one: Seeker, other: Seeker) -> bool:
        pair = pair_of(one.token, other.token)
        return one.token != other.token and pair not in self.recent and pair not in self.blocks

    def fits(self, one: Seeker, other: Seeker) -> bool:
        return one.suits(other) and other.suits(one) and self.may_meet(one, other)


def keys(seeker: Seeker) -> Iterator[tuple[str, str]]:
    """The buckets that a seeker stands in: (where from, whom accepted)."""
    for wish in seeker.want or (ANYBODY,):
        yield (ANYBODY, wish)
        if seeker.country:
            yield (seeker.country, wish)
