"""A visitor, and what can follow from what one does: the nouns of the lobby."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from server.signalling.rooms import Room

Address = IPv4Address | IPv6Address


class Last(NamedTuple):
    """The call that a visitor has just left."""

    call: str
    partner: Address | None
    until: float


@dataclass(eq=False, slots=True)
class Visitor:
    """One open page. `id` is random and stays while the page is open; `away` since its socket was lost."""

    id: str
    token: str
    address: Address | None
    country: str | None
    resume: str
    want: frozenset[str] = frozenset()
    hide: bool = False
    room: Room | None = None
    ticket: int | None = None  # its place in the queue, while it waits
    waits_since: float = 0.0
    away: float | None = None
    last: Last | None = None

    @property
    def state(self) -> str:
        if self.room is not None:
            return "calling"
        return "idle" if self.ticket is None else "waiting"


class Say(NamedTuple):
    """Send this; a chunk of a picture has the picture's number."""

    visitor: Visitor
    data: str | bytes
    picture: int | None = None


class Drop(NamedTuple):
    """Chunks of this picture that wait to be sent are not wanted any more."""

    visitor: Visitor
    picture: int


class Shut(NamedTuple):
    """Close this visitor's socket; it is no visitor any more."""

    visitor: Visitor
    code: int


class Count(NamedTuple):
    """Something happened, for the metrics; `value` is seconds where the thing takes time."""

    name: str
    label: str = ""
    value: float = 1.0


class Called(NamedTuple):
    """A call is over, for the call log."""

    seconds: float


Effect = Say | Drop | Shut | Count | Called


@dataclass(frozen=True, slots=True)
class Means:
    """What the lobby needs of the world: ICE servers for a user, fresh names, whether countries are known."""

    ice: Callable[[str], Mapping[str, Any]]
    name: Callable[[], str]
    countries: bool = False
