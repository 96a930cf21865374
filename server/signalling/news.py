"""What visitors who wait are told: how many are here, and why nobody fits yet. The work is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice
from math import ceil
from typing import Any, NamedTuple

from server.signalling.effects import SendTo
from server.signalling.matching import Queue
from server.signalling.reasons import Reason, Why, why
from server.signalling.server_messages import encode

NEWS_SECONDS = 2.0  # at least between two of one visitor
MOST_AT_ONCE = 50  # at one look: with thousands who wait, each is told less often
EXACT = 5  # so many are counted exactly


def coarse(number: int) -> int:
    """About so many: nobody can count who comes and goes on a busy site, and few changes are told."""
    if number <= EXACT:
        return number
    step = EXACT
    while number >= 20 * step:
        step *= 10
    return (number + step // 2) // step * step


class WaitNews(NamedTuple):
    """What one visitor is told."""

    here: int
    waiting: int
    why: Why


class LastNews(NamedTuple):
    """What a visitor was told last, and when."""

    at: float
    news: WaitNews


class News:
    """Who waits, and what each was told. `visitors` are all open pages."""

    def __init__(self, queue: Queue, visitors: Sized) -> None:
        self.queue = queue
        self.visitors = visitors
        self.new: dict[str, None] = {}  # who was told nothing yet
        self.told: dict[str, LastNews] = {}  # the longest ago first

    def add(self, visitor: str) -> None:
        """Somebody waits, and is told so at the next look."""
        self.told.pop(visitor, None)
        self.new[visitor] = None

    def discard(self, visitor: str) -> None:
        self.new.pop(visitor, None)
        self.told.pop(visitor, None)

    def look(self, now: float) -> list[SendTo]:
        """Tell some of those who wait what has changed for them."""
        here, waiting = self.numbers()
        effects = []
        for visitor in [*islice(self.due(now), MOST_AT_ONCE)]:
            seeker = self.queue.seekers.get(visitor)
            if seeker is None:
                self.discard(visitor)
                continue
            news = WaitNews(here, waiting, why(self.queue, seeker))
            before = self.told.pop(visitor, None)
            self.new.pop(visitor, None)
            self.told[visitor] = LastNews(now, news)
            if before is None or before.news != news:
                effects.append(SendTo(visitor, encode_news(news, now)))
        return effects

    def of_link(self, visitor: str, reason: Reason) -> SendTo:
        """What somebody is told who waits by a link."""
        here, waiting = self.numbers()
        return SendTo(visitor, encode_news(WaitNews(here, waiting, Why(reason)), 0.0))

    def numbers(self) -> tuple[int, int]:
        """How many are here and how many wait, about."""
        return coarse(len(self.visitors)), coarse(len(self.queue.by_token))

    def due(self, now: float) -> Iterator[str]:
        yield from self.new
        for visitor, told in self.told.items():
            if told.at + NEWS_SECONDS > now:
                return
            yield visitor


def encode_news(news: WaitNews, now: float) -> str:
    reason, until, asked = news.why
    seconds = None if until is None else max(0, ceil(until - now))
    more: dict[str, Any] = {"asked": asked} if reason is Reason.PARTED else {}
    return encode("queue", here=news.here, waiting=news.waiting, why=reason, seconds=seconds, **more)
