"""Calls that ended a short while ago, and who of their two would like to call back."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from server.signalling.effects import SendTo
from server.signalling.messages import FAILURES
from server.signalling.server_messages import encode
from server.signalling.visitors import Visitor

CALL_BACK_SECONDS = 60.0  # after a call, in which its two can be brought together again
CALL_BACK_AFTER = frozenset({"left", "next", "vanished", *FAILURES} - {"changed"})  # the ends that allow it


@dataclass(slots=True)
class Parting:
    """Two browsers that had a call: the page that each had, and the page of each that has asked, by token."""

    pages: dict[str, str]
    until: float
    asked: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # whose wish the other one has heard of: it hears it once

    def other(self, token: str) -> str:
        """The other browser's token."""
        return next(one for one in self.pages if one != token)

    def tell_wish(self, visitor: Visitor, present: Container[str]) -> list[SendTo]:
        """The other one hears that this visitor asks for it; once, if its page is still open."""
        partner = self.pages[self.other(visitor.token)]
        if visitor.token in self.told or partner not in present:
            return []
        self.told.add(visitor.token)
        return [SendTo(partner, encode("call-back", call=visitor.asking, state="wanted"))]


class Partings:
    """All of the last minute, by the name of the call, the oldest first."""

    def __init__(self) -> None:
        self.by_call: dict[str, Parting] = {}

    def open(self, call: str, pages: dict[str, str], now: float) -> None:
        """The two of a call, as token and visitor, may be brought together again from now on."""
        self.by_call[call] = Parting(pages, now + CALL_BACK_SECONDS)

    def close(self, call: str) -> list[SendTo]:
        """Nobody can be called back from this call any more; who has asked is told so."""
        parting = self.by_call.pop(call, None)
        return [gone(visitor, call) for visitor in parting.asked.values()] if parting else []

    def find(self, call: str, token: str) -> Parting | None:
        """The parting that a browser had a part in; None: that is over, or was not its call."""
        parting = self.by_call.get(call)
        return parting if parting is not None and token in parting.pages else None

    def withdraw(self, visitor: Visitor) -> None:
        """A visitor does not wait for its last partner any more."""
        if visitor.asking is None:
            return
        parting = self.by_call.get(visitor.asking)
        if parting is not None:
            parting.asked.pop(visitor.token, None)
        visitor.asking = None

    def part_for_good(self, visitor: Visitor) -> list[SendTo]:
        """Nobody can call this visitor back, and it calls nobody back."""
        self.withdraw(visitor)
        return self.close(visitor.last_call.call) if visitor.last_call else []

    def expire(self, now: float) -> list[SendTo]:
        """Close what is over."""
        effects: list[SendTo] = []
        while self.by_call:
            call, parting = next(iter(self.by_call.items()))
            if parting.until > now:
                break
            effects += self.close(call)
        return effects


def gone(visitor: str, call: str, id: str | None = None) -> SendTo:
    """What somebody hears who asks in vain, for whatever reason: a block is told to nobody."""
    return SendTo(visitor, encode("call-back", id=id, call=call, state="gone"))
