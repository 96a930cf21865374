"""Who meets: two visitors who accept each other. Who has waited longest is the first."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

MAX_PAIRS = 100_000  # that are remembered; the oldest are forgotten first
MAX_BLOCKS_EACH = 1_000  # of one token: nobody meets so many people

ANYBODY = "*"  # stands for every country, and for a wish that names none

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Seeker:
    """Somebody who looks for a partner. `token` is the browser's, `ticket` the place in the queue. No wanted
    countries means any."""

    visitor: str
    token: str
    country: str | None
    wanted_countries: frozenset[str]
    ticket: int

    def accepts(self, other: Seeker) -> bool:
        """Whether the other fits what this one wishes."""
        return not self.wanted_countries or other.country in self.wanted_countries


by_ticket = attrgetter("ticket")


def pair_of(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


class RecentPairs:
    """Pairs whose call ended a short while ago."""

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
        """Forget the pairs whose time is over, and the oldest if there are too many."""
        while self.order and (self.order[0][0] <= now or len(self.order) > MAX_PAIRS):
            end, pair = self.order.popleft()
            if self.until.get(pair) == end:  # else the pair has met again since
                del self.until[pair]
                yield pair


class Blocks:
    """Pairs that never meet again as long as one of the two is connected."""

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
    """Everybody who waits, indexed by their country and the countries that they accept.

    A newcomer looks only at those that accept it and that it accepts, the longest waiting first. So a queue
    of thousands costs no more than the few that a block, a recent call or the same browser keeps apart.
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
        """A place in the queue: the last, or the first."""
        if front:
            self.first_ticket -= 1
            return self.first_ticket
        self.last_ticket += 1
        return self.last_ticket

    def match_or_wait(self, seeker: Seeker) -> Seeker | None:
        """Return a partner, taken out of the queue; or None, and the seeker waits."""
        partner = next((one for one in self.candidates(seeker) if self.may_meet(seeker, one)), None)
        if partner is None:
            self.add(seeker)
        else:
            self.remove(partner.visitor)
        return partner

    def remove(self, visitor: str) -> Seeker | None:
        """Take somebody out; None: nobody of this name waited."""
        seeker = self.seekers.pop(visitor, None)
        if seeker is None:
            return None
        theirs = self.by_token[seeker.token]
        del theirs[visitor]
        if not theirs:
            del self.by_token[seeker.token]
        for key in index_keys(seeker):
            row = self.index[key]
            del row[bisect_left(row, seeker.ticket, key=by_ticket)]
            if not row:
                del self.index[key]
        return seeker

    def remember_pair(self, one: str, other: str, now: float) -> None:
        """The call of two tokens has just ended."""
        self.recent_pairs.add(pair_of(one, other), now)

    def block(self, one: str, other: str) -> None:
        """Two tokens must not meet again."""
        self.blocks.add(one, other)

    def rematch(self, now: float) -> list[tuple[Seeker, Seeker]]:
        """Pairs among those who wait: their last call is now long enough ago."""
        pairs = []
        for one, other in self.recent_pairs.expire(now):
            for seeker in list(self.by_token.get(one, {}).values()):
                partner = next((p for p in self.seekers_of(other) if self.accept_each_other(seeker, p)), None)
                if partner is not None:
                    self.remove(seeker.visitor)
                    self.remove(partner.visitor)
                    pairs.append((seeker, partner))
        return pairs

    def seekers_of(self, token: str) -> Iterable[Seeker]:
        return sorted(self.by_token.get(token, {}).values(), key=by_ticket)

    def add(self, seeker: Seeker) -> None:
        self.seekers[seeker.visitor] = seeker
        self.by_token.setdefault(seeker.token, {})[seeker.visitor] = seeker
        for key in index_keys(seeker):
            insort(self.index.setdefault(key, []), seeker, key=by_ticket)

    def candidates(self, seeker: Seeker) -> Iterator[Seeker]:
        """Those that accept the seeker and that the seeker accepts, the longest waiting first."""
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
    """Where a seeker stands in the index: (its country, a country that it accepts)."""
    for wish in seeker.wanted_countries or (ANYBODY,):
        yield (ANYBODY, wish)
        if seeker.country:
            yield (seeker.country, wish)
