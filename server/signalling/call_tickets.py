"""What a page is given of its call, signed: a server that starts after a crash believes it.

So nothing of a call has to be stored. A ticket holds what the page knows anyway, and nothing of its partner.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from typing import NamedTuple

RETURN_SECONDS = 60.0  # after its start, in which a server takes calls up again that an earlier one had
LONGEST_SECONDS = 86_400.0  # since a call began: who keeps tickets of old calls can bring none of them back
LABEL = b"calln call ticket\0"  # the key signs other things, too: none of them is a ticket

encode = json.JSONEncoder(separators=(",", ":")).encode


class CallTicket(NamedTuple):
    """One visitor's part in a call.

    Args:
        call: the name of the call.
        place: 0 for who made the first offer, 1 for its partner.
        user: its name at the relays in this call.
        began: when the call began, in seconds since 1970.
        hidden: whether only relayed paths are used.
        by_link: whether the two have met by an invitation.
        renewals: how often one of the two loaded its page again.
        wanted: the countries that it wishes its partners to be from.
        hides: whether it has asked for relayed paths.
        link: by which it looks for a partner.
    """

    call: str
    place: int
    user: str
    began: float
    hidden: bool
    by_link: bool
    renewals: int
    wanted: tuple[str, ...] = ()
    hides: bool = False
    link: str | None = None


class CallTickets:
    """Writes and reads them. `key` gives the key of today, `wall` seconds since 1970."""

    def __init__(self, key: Callable[[], bytes], wall: Callable[[], float]) -> None:
        self.key, self.wall = key, wall
        self.born = wall()

    @property
    def are_taken(self) -> bool:
        """Whether this server still takes up calls of an earlier one."""
        return 0 <= self.wall() - self.born <= RETURN_SECONDS

    def write(self, ticket: CallTicket, token: str) -> str:
        """A ticket for the browser that has this token; with another token it is worth nothing."""
        text = urlsafe_b64encode(encode(ticket).encode()).decode()
        return f"{text}.{self.signature(text, token)}"

    def read(self, written: str, token: str) -> CallTicket | None:
        """The ticket, if an earlier server wrote it for this token, and this one has started just now."""
        text, _, signature = written.partition(".")
        if not (
            self.are_taken
            and signature.isascii()
            and hmac.compare_digest(signature, self.signature(text, token))
        ):
            return None
        ticket = parse(text)
        may = ticket is not None and 0 < self.born - ticket.began <= LONGEST_SECONDS
        return ticket if may else None

    def signature(self, text: str, token: str) -> str:
        signed = LABEL + token.encode() + b"\0" + text.encode()
        return urlsafe_b64encode(hmac.digest(self.key(), signed, "sha256")).decode()


def parse(text: str) -> CallTicket | None:
    """What one of us has signed; None: a server of another version, with other fields."""
    try:
        fields = json.loads(urlsafe_b64decode(text))
        ticket = CallTicket(*fields)
        return ticket._replace(wanted=tuple(ticket.wanted))
    except (NotBase64, ValueError, TypeError):
        return None
