"""Calls: who waits for one, how two visitors are brought together, and how a call ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.signalling.blocks import Person, Terms, pair_of
from server.signalling.call_tickets import CallTicket
from server.signalling.effects import CallEnded, CallLost, CountEvent, Effect, NamesEnded, SendTo
from server.signalling.invitations import Invitations
from server.signalling.matching import Queue
from server.signalling.messages import FAILURES, CallBack, InCall, MessageError
from server.signalling.news import News
from server.signalling.partings import CALL_BACK_AFTER, Partings, gone
from server.signalling.reasons import Reason
from server.signalling.rooms import ENDINGS, Room
from server.signalling.seats import Seats
from server.signalling.seekers import Seeker
from server.signalling.server_messages import encode
from server.signalling.visitors import Dependencies, LastCall, Visitor

REPORTABLE_SECONDS = 60.0  # after a call, in which its partner can still be reported

# How a call ended -> on what terms the two part. After other ends both must agree to meet again.
PARTED = dict.fromkeys({"left", "vanished", *FAILURES} - {"changed"}, Terms.FRIENDLY)
LEAVING = frozenset({"left", "next", "blocked", "vanished", *FAILURES})  # the endings that a visitor chooses


class Calls:
    """The queue and the rooms. `visitors` is the lobby's own table, by id."""

    def __init__(self, dependencies: Dependencies, queue: Queue, visitors: Mapping[str, Visitor]) -> None:
        self.dependencies = dependencies
        self.queue = queue
        self.visitors = visitors
        self.seats = Seats(dependencies, queue)
        self.news = News(queue, visitors)
        self.partings = Partings()
        self.invitations = Invitations()
        self.rooms: dict[str, Room] = {}
        self.restored: set[str] = set()  # calls of an earlier server, also those that have ended since

    def wait(
        self, visitor: Visitor, now: float, *, ticket: int | None = None, id: str | None = None
    ) -> list[Effect]:
        """A visitor looks for a partner, at the given place or as the last.

        One whose socket is lost keeps its place, but meets nobody.
        """
        self.partings.withdraw(visitor)
        if visitor.ticket is None:
            visitor.ticket, visitor.waiting_since = ticket or self.queue.new_ticket(), now
        if visitor.link is None:
            self.seats.take(visitor, now)
        else:
            self.seats.free(visitor, now)  # it takes nobody else's time
        found = self.find_partner(visitor, now) if visitor.suspended_since is None else []
        return [SendTo(visitor.id, encode("waiting", id=id)), *found]

    def find_partner(self, visitor: Visitor, now: float) -> list[Effect]:
        """Start a call with somebody in the queue, or join the queue; by a link, with the one who has it."""
        if visitor.link is not None:
            return self.find_invited(visitor, visitor.link, now)
        assert visitor.ticket is not None
        wanted = visitor.wanted_countries if self.dependencies.knows_countries else frozenset()
        partner = self.queue.match_or_wait(seeker_of(visitor, visitor.ticket, wanted), now)
        if partner is None:
            self.news.add(visitor.id)
            return []
        return self.match(self.visitors[partner.visitor], visitor, now)

    def find_invited(self, visitor: Visitor, link: str, now: float) -> list[Effect]:
        """Start a call with the one who waits by the same link, or wait for it."""
        second = any(token == visitor.token for token in self.invitations.find(link).waiting.values())
        partner = self.invitations.wait(link, visitor.person, visitor.id)
        if partner is None:
            return [self.news.of_link(visitor.id, Reason.TAB if second else Reason.LINK)]
        return self.match(self.visitors[partner], visitor, now, by_link=True)

    def check_link(self, visitor: Visitor, link: str | None) -> str | None:
        """The code of the error if a visitor may not look for somebody in this way; None: it may."""
        refused = {"link": "link_only" if link is None else None, "random": "no_links" if link else None}
        if link is None or refused.get(self.dependencies.matching):
            return refused.get(self.dependencies.matching)
        return self.invitations.refusal(link, self.seats.person_of(visitor), self.queue.are_apart)

    def leave_link(self, visitor: Visitor, now: float) -> None:
        """A visitor does not use its link any more."""
        if visitor.link is not None:
            self.invitations.leave(visitor.link, visitor.id, now)

    def pause(self, visitor: Visitor, now: float) -> None:
        """A visitor who waits meets nobody until it is back."""
        self.queue.remove(visitor.id, now)
        if visitor.link is not None:
            self.invitations.wait_no_more(visitor.link, visitor.id)

    def stop_waiting(self, visitor: Visitor, now: float) -> None:
        """A visitor looks for nobody any more."""
        self.partings.withdraw(visitor)
        self.leave_link(visitor, now)
        self.queue.remove(visitor.id, now)
        self.news.discard(visitor.id)
        visitor.ticket = None
        self.seats.free(visitor, now)

    def retry(self, now: float) -> list[Effect]:
        """Start calls of pairs that wait and may meet by now."""
        effects: list[Effect] = []
        for first, second in self.queue.retry(now):
            effects += self.match(self.visitors[first.visitor], self.visitors[second.visitor], now)
        return effects

    def match(
        self, first: Visitor, second: Visitor, now: float, *, by_link: bool = False, renewals: int = 0
    ) -> list[Effect]:
        """Start a call. `first` has waited longer and makes the first offer.

        Their names at relays are those of this call from now on: what they have allocated before is for it.
        """
        hidden = first.hides_address or second.hides_address
        visitors, users = (first.id, second.id), (first.user, second.user)
        room = Room(self.dependencies.new_id(), visitors, users, hidden=hidden, now=now)
        room.by_link, room.renewals = by_link, renewals
        first.user, second.user = self.dependencies.new_id(), self.dependencies.new_id()
        self.rooms[room.call] = room
        effects: list[Effect] = []
        for visitor, partner in ((first, second), (second, first)):
            effects += self.partings.part_for_good(visitor)
            visitor.room, visitor.ticket, visitor.last_ticket = room, None, visitor.ticket
            visitor.may_reunite = None
            if visitor.link is not None:
                self.invitations.wait_no_more(visitor.link, visitor.id)
            self.news.discard(visitor.id)
            word = encode(
                "matched",
                call=room.call,
                polite=visitor is second,
                relay=hidden,
                country=partner.country,
                features=sorted(first.features & second.features),
                ice=self.ice_for(visitor),
                **self.ticket_of(visitor),
            )
            effects += (CountEvent("wait", value=now - visitor.waiting_since), SendTo(visitor.id, word))
        self.take_seats(room, now)
        return [*effects, CountEvent("match", "relay" if hidden else "any")]

    def take_seats(self, room: Room, now: float) -> None:
        """Who talks takes other people's time; but not by a link, and not in one household."""
        both = [self.visitors[one.visitor] for one in room.participants]
        change = self.seats.free if room.by_link or live_together(*both) else self.seats.take
        for visitor in both:
            change(visitor, now)

    def ticket_of(self, visitor: Visitor) -> Mapping[str, str]:
        """With which its page comes back into its call after a crash of the server."""
        tickets, room = self.dependencies.tickets, visitor.room
        if tickets is None or room is None:
            return {}
        place = 0 if room.participants[0].visitor == visitor.id else 1
        ticket = CallTicket(
            room.call,
            place,
            room.participants[place].user,
            tickets.wall(),
            room.hidden,
            room.by_link,
            room.renewals,
            tuple(sorted(visitor.wanted_countries)),
            visitor.hides_address,
            visitor.link,
        )
        return {"ticket": tickets.write(ticket, visitor.token)}

    def ice_for(self, visitor: Visitor) -> Mapping[str, Any]:
        """ICE servers, with a credential for the name that the visitor has in its call, or in its next one.

        No relay hears anything of that name before the call.
        """
        user = visitor.room.sides(visitor.id)[0].user if visitor.room else visitor.user
        visitor.relays = self.dependencies.relays(user, visitor.country)
        return self.dependencies.ice_servers(user, visitor.relays)

    def replace_relay(self, host: str) -> list[Effect]:
        """A relay has died: who is in a call and was told of it hears of others."""
        called = (self.visitors[one.visitor] for room in self.rooms.values() for one in room.participants)
        return [
            SendTo(visitor.id, encode("ice", ice=self.ice_for(visitor)))
            for visitor in called
            if host in visitor.relays
        ]

    def end(self, room: Room, how: str, ender: Visitor, now: float) -> list[Effect]:
        """End a call; `how` is a key of ENDINGS. Both are free afterwards."""
        ending = ENDINGS[how]
        partner = self.visitors[room.partner_of(ender.id)]
        del self.rooms[room.call]
        terms = Terms.FINAL if room.reported else PARTED.get(how, Terms.PASSED)
        self.queue.remember_pair(self.seats.person_of(ender), self.seats.person_of(partner), now, terms)
        if how in LEAVING and not room.by_link and not live_together(ender, partner):
            self.seats.count_leaving(ender, now)
        for visitor, other in ((ender, partner), (partner, ender)):
            self.seats.free(visitor, now)
            visitor.room = None
            visitor.last_call = LastCall(
                room.call, other.address, now + REPORTABLE_SECONDS, pair_of(visitor.token, other.token)
            )
        if how in CALL_BACK_AFTER and not room.reported:
            self.partings.open(room.call, {one.token: one.id for one in (ender, partner)}, now)
        effects: list[Effect] = [
            SendTo(visitor.id, encode("ended", call=room.call, reason=reason))
            for visitor, reason in ((ender, ending.own), (partner, ending.partner))
            if reason is not None
        ]
        # Both sockets were lost, so voices may go on; a page that said that it closes has no voice any more.
        unheard = all(
            one.suspended_since is not None and one.missing == "vanished" for one in (ender, partner)
        )
        over = CallLost(room.users) if unheard and how != "banned" else NamesEnded(room.users)
        return [
            *effects,
            over,
            CountEvent("ended", how),
            CallEnded(now - room.started, room.connected),
        ]

    def call_back(self, visitor: Visitor, message: CallBack, now: float) -> list[Effect]:
        """A visitor asks for its last partner. If both have asked, they are in a call again."""
        parting = self.partings.find(message.call, visitor.token)
        if parting is None or self.queue.are_apart(
            self.seats.person_of(visitor), Person(parting.other(visitor.token), None)
        ):
            return [gone(visitor.id, message.call, message.id)]
        self.stop_waiting(visitor, now)
        parting.asked[visitor.token], visitor.asking = visitor.id, message.call
        visitor.waiting_since = now
        word = encode("call-back", id=message.id, call=message.call, state="asked")
        partner = self.visitors.get(parting.asked.get(parting.other(visitor.token), ""))
        if partner is None:
            return [SendTo(visitor.id, word), *parting.tell_wish(visitor, self.visitors)]
        for one in (partner, visitor):
            self.partings.withdraw(one)
        self.partings.close(message.call)
        return [SendTo(visitor.id, word), *self.match(partner, visitor, now)]

    def renew(self, room: Room, visitor: Visitor, now: float) -> list[Effect]:
        """The same two, with a new call: the page of one was loaded again, and its connection is gone."""
        partner = self.visitors[room.partner_of(visitor.id)]
        effects = self.end(room, "renewed", visitor, now)
        for one in (visitor, partner):
            one.ticket, one.waiting_since = one.last_ticket or self.queue.new_ticket(), now
        again = self.match(partner, visitor, now, by_link=room.by_link, renewals=room.renewals + 1)
        return [*effects, *again]


def seeker_of(visitor: Visitor, ticket: int, wanted: frozenset[str]) -> Seeker:
    """A visitor as the queue sees it. `ticket`: its place; `wanted`: countries, none for any."""
    return Seeker(
        visitor.id,
        visitor.token,
        visitor.country,
        wanted,
        ticket,
        visitor.networks,
        visitor.waiting_since,
        visitor.may_reunite,
    )


def room_of(visitor: Visitor, message: InCall) -> Room:
    """The call that a message belongs to. Raises MessageError if the sender is not in it."""
    if visitor.room is None or visitor.room.call != message.call:
        raise MessageError("wrong_call", message.id)
    return visitor.room


def live_together(one: Visitor, other: Visitor) -> bool:
    """Whether both are of one household."""
    return one.address is not None and one.person.household == other.person.household
