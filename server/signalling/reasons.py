"""Why somebody in the queue has no partner yet, by the very rules that the queue goes by."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from server.signalling.blocks import pair_of
from server.signalling.matching import MAX_LOOKED_AT, Obstacle, Queue
from server.signalling.seekers import Seeker


class Reason(StrEnum):
    """Why nobody fits, as the page gets it. What ends by itself soonest, or can be helped, comes first."""

    TAB = "tab"  # another page of this browser stands in the queue, or nobody waits but its pages
    REUNION = "reunion"  # only a recent partner: they meet at a time that is known
    BUSY = "busy"  # only somebody of a busy household, or of one just met: others come first for a while
    WISH = "wish"  # somebody would fit if this visitor wished for any country
    PARTED = "parted"  # only a recent partner: both must agree
    # Those who wait wish for other countries, or one has blocked the other: nobody is told which.
    UNSUITED = "unsuited"
    NOBODY = "nobody"  # nobody else waits
    LINK = "link"  # it waits for the one who has its link


RANK = {reason: number for number, reason in enumerate(Reason)}


class Why(NamedTuple):
    """A reason; when it ends by itself, or None; and whether somebody has agreed to meet again."""

    reason: Reason
    until: float | None = None
    asked: bool = False


def why(queue: Queue, seeker: Seeker) -> Why:
    """Why nobody meets somebody who waits. It looks at a bounded number of others."""
    if queue.standing(seeker.token) is not seeker:
        return Why(Reason.TAB)
    found = [judge(queue, seeker, other) for other in fitting(queue, seeker, seeker.wanted_countries)]
    if seeker.wanted_countries and is_wish_too_narrow(queue, seeker):
        found.append(Why(Reason.WISH))
    return min(found, key=by_rank) if found else alone(queue, seeker)


def by_rank(one: Why) -> tuple[int, bool, float]:
    return RANK[one.reason], not one.asked, one.until or 0.0


def fitting(queue: Queue, seeker: Seeker, wanted_countries: frozenset[str]) -> Iterator[Seeker]:
    """Others who accept the seeker and come from these countries."""
    found = (
        other
        for level, number in enumerate(queue.on_level)
        if number
        for other in queue.candidates(seeker, level, wanted_countries)
    )
    return (other for other in islice(found, MAX_LOOKED_AT) if other is not seeker)


def judge(queue: Queue, seeker: Seeker, other: Seeker) -> Why:
    """Why these two, whose wishes fit, have not met."""
    obstacle = queue.obstacle(seeker, other)
    if obstacle is None:
        reunion = queue.have_just_met(seeker, other)
        return Why(Reason.REUNION if reunion else Reason.BUSY, queue.ready_at(seeker, other))
    if obstacle is Obstacle.JUST_PARTED:
        until = queue.recent_pairs.until[pair_of(seeker.token, other.token)]
        return Why(Reason.PARTED, until, other.may_reunite is True)
    return Why(Reason.UNSUITED)


def is_wish_too_narrow(queue: Queue, seeker: Seeker) -> bool:
    """Whether a wish for any country would find somebody now, or in some seconds."""
    return any(queue.obstacle(seeker, other) is None for other in fitting(queue, seeker, frozenset()))


def alone(queue: Queue, seeker: Seeker) -> Why:
    """Nobody fits the wishes."""
    if sum(queue.on_level) > 1:
        return Why(Reason.UNSUITED)
    return Why(Reason.TAB if len(queue.by_token[seeker.token]) > 1 else Reason.NOBODY)
