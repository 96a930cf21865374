"""Who meets: two visitors who accept each other. Who has waited longest is the first.

A household that takes much of other people's time (`households.py`) is for the others the second choice: they
look a while for somebody else first. Two from one household, or from two busy ones, meet at once.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from math import inf

from server.signalling.blocks import Blocks, Person, RecentPairs, Terms, pair_of
from server.signalling.households import LEVELS, Households, Networks
from server.signalling.seekers import ANYBODY, Seeker, by_ticket, index_keys

# How long a visitor looks for somebody else first, by how many levels its own household is below the other's.
LOOK_SECONDS = (0.0, 5.0, 15.0)
AGAIN_SECONDS = LOOK_SECONDS[1]  # the same before somebody else of a household that it has just met
REUNION_SECONDS = (
    8.0  # the same before the very person that it has just met: time to read that, and to say no
)
# On one level, for somebody who is, or looks, above level 0: bounds the work that busy households cause.
MAX_LOOKED_AT = 64


class Obstacle(Enum):
    """What keeps two apart who wait and whose wishes fit."""

    SAME_BROWSER = "they are pages of one browser"
    JUST_PARTED = "they have just talked, and have not both agreed to meet again"
    APART = "one has blocked or reported the other"


class Queue:
    """Everybody who waits, indexed by level, by country and by the countries that they accept.

    A newcomer looks only at those that accept it and that it accepts, the longest waiting first. So a queue
    of thousands costs no more than the few that a block, a recent call or the same browser keeps apart.

    A browser stands in the queue once, with the page that began to wait last; its other pages wait behind.
    """

    def __init__(self, rematch_seconds: float) -> None:
        self.recent_pairs = RecentPairs(rematch_seconds)  # of tokens
        self.recent_households = RecentPairs(rematch_seconds)  # of a token and a household
        self.blocks = Blocks()
        self.households = Households()
        self.seekers: dict[str, Seeker] = {}
        self.by_token: dict[str, dict[str, Seeker]] = {}
        self.on_level = [0] * (len(LEVELS) + 1)  # how many stand there
        self.index: dict[tuple[int, str, str], list[Seeker]] = {}
        self.due: list[tuple[float, int, Seeker]] = []  # who looks again, and when
        self.last_ticket = self.last_due = 0

    def __len__(self) -> int:
        return len(self.seekers)

    def new_ticket(self) -> int:
        """The last place in the queue."""
        self.last_ticket += 1
        return self.last_ticket

    def match_or_wait(self, seeker: Seeker, now: float) -> Seeker | None:
        """Return a partner, taken out of the queue; or None, and the seeker waits."""
        seeker.level = self.households.level(seeker.networks)
        partner = self.find(seeker, now)
        if partner is None:
            self.add(seeker, now)
        else:
            self.remove(partner.visitor, now)
        return partner

    def retry(self, now: float) -> list[tuple[Seeker, Seeker]]:
        """Pairs among those who wait: they have looked long enough for others, or may meet again."""
        self.move(self.households.relax(now))
        for token in {token for pair in self.recent_pairs.expire(now) for token in pair}:
            if (seeker := self.standing(str(token))) is not None:
                self.look_again(seeker, now)
        deque(self.recent_households.expire(now), maxlen=0)  # who waits has looked again since then
        pairs = []
        while self.due and self.due[0][0] <= now:
            seeker = heapq.heappop(self.due)[2]
            if self.standing(seeker.token) is not seeker:
                continue
            partner = self.find(seeker, now)
            if partner is None:
                if seeker.again < inf:
                    self.look_again(seeker, seeker.again)
            else:
                self.remove(seeker.visitor, now)
                self.remove(partner.visitor, now)
                first, second = sorted((seeker, partner), key=by_ticket)
                pairs.append((first, second))
        return pairs

    def remove(self, visitor: str, now: float) -> Seeker | None:
        """Take somebody out; None: nobody of this name waited."""
        seeker = self.seekers.pop(visitor, None)
        if seeker is None:
            return None
        stood = self.standing(seeker.token) is seeker
        theirs = self.by_token[seeker.token]
        del theirs[visitor]
        if not theirs:
            del self.by_token[seeker.token]
        if stood:
            self.take_out(seeker)
            behind = self.standing(seeker.token)
            if behind is not None:
                self.stand(behind, now)
                self.look_again(behind, now)
        return seeker

    def remember_pair(self, one: Person, other: Person, now: float, terms: Terms = Terms.PASSED) -> None:
        """The call of two has just ended."""
        self.recent_pairs.add(pair_of(one.token, other.token), now, terms)
        if one.household != other.household:
            for mine, theirs in ((one, other), (other, one)):
                if theirs.household is not None:
                    self.recent_households.add((mine.token, theirs.household), now)

    def block(self, blocker: Person, blocked: Person) -> None:
        """The two must not meet again, nor the blocker somebody else of the other's household."""
        self.blocks.add(blocker.token, blocked.token)
        if blocked.household not in (None, blocker.household):
            self.blocks.add(blocker.token, blocked.household)

    def change_share(self, networks: Networks, now: float, *, seats: int = 0, left: float = 0.0) -> None:
        """So many more visitors of a household look for partners or talk; so many partners were left."""
        self.move(self.households.change(networks, now, seats=seats, left=left))

    def standing(self, token: str) -> Seeker | None:
        """The page of a browser that stands in the queue."""
        return next(reversed(self.by_token.get(token, {}).values()), None)

    def add(self, seeker: Seeker, now: float) -> None:
        before = self.standing(seeker.token)
        if before is not None:
            self.take_out(before)
        self.seekers[seeker.visitor] = seeker
        self.by_token.setdefault(seeker.token, {})[seeker.visitor] = seeker
        self.stand(seeker, now)

    def stand(self, seeker: Seeker, now: float) -> None:
        """Put somebody into the index, to be found, and to look again when more may suit."""
        self.households.join(seeker.networks, seeker.visitor, now)
        seeker.level = self.households.level(seeker.networks)
        self.index_seeker(seeker)
        if seeker.again < inf:
            self.look_again(seeker, seeker.again)

    def look_again(self, seeker: Seeker, at: float) -> None:
        self.last_due += 1
        heapq.heappush(self.due, (at, self.last_due, seeker))

    def take_out(self, seeker: Seeker) -> None:
        self.unindex_seeker(seeker)
        self.households.leave(seeker.networks, seeker.visitor)

    def move(self, visitors: Iterable[str]) -> None:
        """The levels of these visitors may have changed."""
        for visitor in visitors:
            seeker = self.seekers[visitor]
            level = self.households.level(seeker.networks)
            if level != seeker.level:
                self.unindex_seeker(seeker)
                seeker.level = level
                self.index_seeker(seeker)

    def index_seeker(self, seeker: Seeker) -> None:
        self.on_level[seeker.level] += 1
        for key in index_keys(seeker):
            insort(self.index.setdefault(key, []), seeker, key=by_ticket)

    def unindex_seeker(self, seeker: Seeker) -> None:
        self.on_level[seeker.level] -= 1
        for key in index_keys(seeker):
            row = self.index[key]
            del row[bisect_left(row, seeker.ticket, key=by_ticket)]
            if not row:
                del self.index[key]

    def find(self, seeker: Seeker, now: float) -> Seeker | None:
        """A partner for somebody: from the lowest level, the one who has waited longest.

        Where there is none, `again` says when one of those who wait may be one.
        """
        seeker.again = inf
        for level, number in enumerate(self.on_level):
            partner = self.find_on(level, seeker, now) if number else None
            if partner is not None:
                return partner
        return None

    def find_on(self, level: int, seeker: Seeker, now: float) -> Seeker | None:
        """A partner on this level."""
        found = self.candidates(seeker, level, seeker.wanted_countries)
        too_early = seeker.since + look_seconds(seeker, level) > now
        looked_at = 0
        for other in islice(found, MAX_LOOKED_AT) if level or seeker.level else found:
            looked_at += 1
            if self.obstacle(seeker, other) is None:
                ready = self.ready_at(seeker, other)
                if ready <= now:
                    return other
                seeker.again = min(seeker.again, ready)
                if too_early:
                    break  # it can meet nobody of this level yet
        if looked_at == MAX_LOOKED_AT:
            seeker.again = min(seeker.again, now + AGAIN_SECONDS)
        return None

    def ready_at(self, one: Seeker, other: Seeker) -> float:
        """When both have looked for others long enough: longer where they or their households just met."""
        mine, theirs = look_seconds(one, other.level), look_seconds(other, one.level)
        if self.have_just_met(one, other):
            more = 0.0 if one.may_reunite and other.may_reunite else REUNION_SECONDS
            mine, theirs = max(mine, more), max(theirs, more)
        else:
            mine = max(mine, self.again_seconds(one, other))
            theirs = max(theirs, self.again_seconds(other, one))
        return max(one.since + mine, other.since + theirs)

    def are_apart(self, one: Person, other: Person) -> bool:
        """Whether one of two has blocked or reported the other."""
        is_final = self.recent_pairs.terms_of(pair_of(one.token, other.token)) is Terms.FINAL
        return is_final or self.has_blocked(one, other) or self.has_blocked(other, one)

    def have_just_met(self, one: Seeker, other: Seeker) -> bool:
        return pair_of(one.token, other.token) in self.recent_pairs

    def again_seconds(self, one: Seeker, other: Seeker) -> float:
        """How long one looks for others where it has just met somebody of the other's household."""
        return AGAIN_SECONDS if (one.token, other.household) in self.recent_households else 0.0

    def candidates(self, seeker: Seeker, level: int, wanted_countries: frozenset[str]) -> Iterator[Seeker]:
        """Those that accept the seeker and come from these countries, the longest waiting first."""
        wishes = [ANYBODY, seeker.country] if seeker.country else [ANYBODY]
        found = [
            self.index.get((level, country, wish), [])
            for country in wanted_countries or (ANYBODY,)
            for wish in wishes
        ]
        return heapq.merge(*found, key=by_ticket)

    def obstacle(self, one: Seeker, other: Seeker) -> Obstacle | None:
        """What keeps two apart whose wishes fit; None: they may meet at `ready_at`."""
        if one.token == other.token:
            return Obstacle.SAME_BROWSER
        if self.blocks.pairs and (self.has_blocked(one, other) or self.has_blocked(other, one)):
            return Obstacle.APART
        terms = self.recent_pairs.terms_of(pair_of(one.token, other.token))
        if terms is None or (one.may_reunite and other.may_reunite and terms is not Terms.FINAL):
            return None
        if terms is Terms.FRIENDLY and False not in (one.may_reunite, other.may_reunite):
            return None
        return Obstacle.APART if terms is Terms.FINAL else Obstacle.JUST_PARTED

    def reunite(self, visitor: str, yes: bool, now: float) -> None:
        """Somebody who waits says whether it would meet again a recent partner."""
        seeker = self.seekers.get(visitor)
        if seeker is not None and seeker.may_reunite is not yes:
            seeker.may_reunite = yes
            self.look_again(seeker, now)

    def has_blocked(self, one: Seeker | Person, other: Seeker | Person) -> bool:
        return (one.token, other.token) in self.blocks or (one.token, other.household) in self.blocks


def look_seconds(seeker: Seeker, level: int) -> float:
    """How long a seeker looks for others before it meets somebody of this level."""
    return LOOK_SECONDS[max(0, level - seeker.level)]
