"""What can follow from a message: each effect is one thing to do. `visitor` is a visitor's id."""

from __future__ import annotations

from typing import NamedTuple


class SendTo(NamedTuple):
    """Send this message to a visitor. A chunk of a picture has the picture's number."""

    visitor: str
    data: str | bytes
    picture: int | None = None


class DropPicture(NamedTuple):
    """Do not send the chunks of this picture that still wait for this visitor."""

    visitor: str
    picture: int


class CloseSocket(NamedTuple):
    """Close the socket of somebody who is no visitor any more."""

    visitor: str
    code: int


class KeepPlace(NamedTuple):
    """Keep what is said to a visitor who has not been here yet: its server has crashed, and it may come."""

    visitor: str


class CountEvent(NamedTuple):
    """Something happened, for the metrics. `value` is seconds where the event has a duration."""

    name: str
    label: str = ""
    value: float = 1.0


class CallEnded(NamedTuple):
    """A call is over, for the call log. `connected`: at least one of the two said that it could hear."""

    seconds: float
    connected: bool = True


class CallVouched(NamedTuple):
    """Offer and answer of a call have passed the checks. Its relays may hear which users (of TURN) and ICE
    ufrags belong together: of each pair, the first is the first user's."""

    users: tuple[str, str]
    ufrags: tuple[tuple[str, str], ...]


class NamesEnded(NamedTuple):
    """A call is over, and so is what its users (of TURN) may have at the relays."""

    users: tuple[str, str]


class CallLost(NamedTuple):
    """The sockets of both are lost, and the server gives the call up. Nobody has told the pages, so their
    voices may go on, and nothing of them may end at the relays."""

    users: tuple[str, str]


CallNews = CallVouched | NamesEnded | CallLost
Effect = SendTo | DropPicture | CloseSocket | KeepPlace | CountEvent | CallEnded | CallNews
