"""A server that crashed has lost its calls; the next one takes them up where both pages show their tickets.

The first of the two brings the call back, and its partner counts as one whose socket is lost.
"""

from __future__ import annotations

from server.signalling.call_tickets import CallTicket
from server.signalling.effects import CountEvent, KeepPlace, SendTo
from server.signalling.messages import Hello
from server.signalling.presence import Presence
from server.signalling.pseudonyms import IPAddress
from server.signalling.returning import RESUME_SECONDS, continue_visit, hello_reply, move
from server.signalling.rooms import Negotiation, Room
from server.signalling.server_messages import encode
from server.signalling.visitors import Visitor


def restore(
    here: Presence, hello: Hello, address: IPAddress | None, country: str | None, now: float
) -> tuple[Visitor, str] | None:
    """Bring a page back into its call.

    Args:
        here: everybody.
        hello: the message.
        address: the IP address of the browser, or None if it is not known.
        country: two small letters (ISO 3166-1), or None if it is not known.
        now: monotonic seconds.

    Returns:
        The visitor, and the reply to its page; None: it has no ticket, or the call is over.
    """
    tickets = here.dependencies.tickets
    ticket = tickets.read(hello.ticket, hello.token) if tickets and hello.ticket else None
    room = room_for(here, ticket, now) if ticket else None
    if ticket is None or room is None:
        return None
    visitor = here.visitors[room.participants[ticket.place].visitor]
    seat(here, visitor, room, ticket, hello, address, now)
    visitor.country = country
    here.effects.append(CountEvent("restored"))
    continue_visit(here, visitor, now)
    partner = here.visitors[room.partner_of(visitor.id)]
    if partner.suspended_since is not None:
        here.effects.append(SendTo(visitor.id, encode("partner", call=room.call, state="away")))
    return visitor, hello_reply(here, visitor, hello, resumed=False)


def room_for(here: Presence, ticket: CallTicket, now: float) -> Room | None:
    """The call of a ticket; None: this server has seen its end. The first ticket of a call makes its room."""
    calls, tickets = here.calls, here.dependencies.tickets
    if ticket.call in calls.restored or here.draining or tickets is None:
        return calls.rooms.get(ticket.call)
    lost = (lost_visitor(here, now), lost_visitor(here, now))
    began = now - max(0.0, tickets.wall() - ticket.began)
    names = (lost[0].user, lost[1].user)
    room = Room(ticket.call, (lost[0].id, lost[1].id), names, hidden=ticket.hidden, now=began)
    room.by_link, room.renewals = ticket.by_link, ticket.renewals
    for visitor, participant in zip(lost, room.participants, strict=True):
        visitor.room = room
        participant.connected = True  # pages bring back what was connected
        participant.negotiation = Negotiation.OPEN
    calls.rooms[ticket.call] = room
    calls.restored.add(ticket.call)
    here.effects.append(KeepPlace(lost[1 - ticket.place].id))  # the other one is here
    return room


def lost_visitor(here: Presence, now: float) -> Visitor:
    """A visitor who may come back; nothing else is known yet."""
    new_id = here.dependencies.new_id
    visitor = Visitor(new_id(), new_id(), None, None, new_id(), new_id())
    visitor.suspended_since, visitor.back_by = now, now + RESUME_SECONDS
    here.visitors[visitor.id] = here.suspended[visitor.id] = visitor
    here.secrets.add(visitor)
    here.queue.blocks.arrive(*visitor.names)
    return visitor


def seat(
    here: Presence,
    visitor: Visitor,
    room: Room,
    ticket: CallTicket,
    hello: Hello,
    address: IPAddress | None,
    now: float,
) -> None:
    """The visitor is who shows the ticket; also if it has done so before, and the reply was lost."""
    move(here, visitor, address, token=hello.token)
    here.secrets.replace(visitor)
    here.suspended.pop(visitor.id, None)
    visitor.suspended_since, visitor.heard = None, 0
    visitor.features, visitor.link = hello.features, ticket.link
    visitor.wanted_countries, visitor.hides_address = frozenset(ticket.wanted), ticket.hides
    room.name(ticket.place, ticket.user)
    here.calls.seats.free(visitor, now)  # of where it was before
    here.calls.take_seats(room, now)
