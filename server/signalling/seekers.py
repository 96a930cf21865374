"""Somebody who looks for a partner, and where in the queue's index it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from operator import attrgetter

from server.signalling.households import Networks

ANYBODY = "*"  # stands for every country, and for a wish that names none


@dataclass(slots=True, eq=False)
class Seeker:
    """Somebody who looks for a partner. `token` is the browser's, `ticket` the place in the queue.

    No wanted countries means any, and no networks that the address is not known.
    """

    visitor: str
    token: str
    country: str | None
    wanted_countries: frozenset[str]
    ticket: int
    networks: Networks = ()
    since: float = 0.0
    may_reunite: bool | None = None  # meet a recent partner again: yes, no, or not asked
    level: int = 0
    again: float = inf  # when to look again
    household: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.household = self.networks[0][0] if self.networks else None

    def accepts(self, other: Seeker) -> bool:
        """Whether the other fits what this one wishes."""
        return not self.wanted_countries or other.country in self.wanted_countries


by_ticket = attrgetter("ticket")


def index_keys(seeker: Seeker) -> Iterator[tuple[int, str, str]]:
    """Where a seeker stands in the index: (its level, its country, a country that it accepts)."""
    for wish in seeker.wanted_countries or (ANYBODY,):
        yield (seeker.level, ANYBODY, wish)
        if seeker.country:
            yield (seeker.level, seeker.country, wish)
