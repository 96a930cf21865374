"""Calls by link: two browsers that know the same secret meet each other, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.signalling.blocks import Person

KEPT_SECONDS = 600.0  # after its two have gone: until then no third can use the link
MAX_KEPT = 10_000  # of those; the oldest are forgotten first
MAX_PAGES = 8  # that wait by one link: its two browsers may have a few


@dataclass(slots=True)
class Invitation:
    """Its browsers, by token; the pages that use it, in a call or not; and those of them that wait, the
    latest last, each with its token."""

    people: dict[str, Person] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    waiting: dict[str, str] = field(default_factory=dict)

    def others(self, token: str) -> list[Person]:
        return [person for one, person in self.people.items() if one != token]

    def has_room(self, token: str) -> bool:
        """Whether a browser may use it: one of its two, or the second one."""
        return token in self.people or len(self.people) < 2


class Invitations:
    """All links in use, and those that are kept from others for a while, by the hash of their secret."""

    def __init__(self) -> None:
        self.by_link: dict[str, Invitation] = {}
        self.kept: dict[str, float] = {}  # those that nobody uses now, and until when; the oldest first

    def find(self, link: str) -> Invitation:
        """The invitation of a link; an empty one if nobody has used it."""
        return self.by_link.get(link) or Invitation()

    def refusal(self, link: str, person: Person, are_apart: Callable[[Person, Person], bool]) -> str | None:
        """The code of the error if a browser may not wait by a link; None: it may."""
        found = self.find(link)
        if not found.has_room(person.token) or any(
            are_apart(person, other) for other in found.others(person.token)
        ):
            return "link_taken"
        return "too_many" if len(found.waiting) >= MAX_PAGES else None

    def wait(self, link: str, person: Person, visitor: str) -> str | None:
        """A page waits by a link; the page that it meets, or None."""
        found = self.by_link.setdefault(link, Invitation())
        self.kept.pop(link, None)
        found.people[person.token] = person
        found.users.add(visitor)
        found.waiting[visitor] = person.token
        return next((one for one, token in reversed(found.waiting.items()) if token != person.token), None)

    def wait_no_more(self, link: str, visitor: str) -> None:
        """A page has met the other one, or cannot meet it now."""
        self.find(link).waiting.pop(visitor, None)

    def leave(self, link: str, visitor: str, now: float) -> None:
        """A page does not use the link any more. One that nobody has accepted is over with that."""
        found = self.find(link)
        if visitor not in found.users:
            return
        self.wait_no_more(link, visitor)
        found.users.discard(visitor)
        if found.users:
            return
        if len(found.people) < 2:
            del self.by_link[link]
            return
        self.kept[link] = now + KEPT_SECONDS
        if len(self.kept) > MAX_KEPT:
            self.forget(next(iter(self.kept)))

    def expire(self, now: float) -> None:
        """Forget what nobody has used for long enough."""
        while self.kept:
            link, until = next(iter(self.kept.items()))
            if until > now:
                return
            self.forget(link)

    def forget(self, link: str) -> None:
        del self.kept[link]
        del self.by_link[link]
