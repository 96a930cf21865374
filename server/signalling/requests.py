"""What visitors ask for: a table of message types, and what the lobby does for each.

Each raises MessageError if the message is not allowed now. Then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.signalling.blocks import Terms
from server.signalling.calls import room_of
from server.signalling.close_codes import RESTART
from server.signalling.effects import CountEvent, SendTo
from server.signalling.messages import (
    Again,
    Block,
    CallBack,
    Chunk,
    ClientMessage,
    Connected,
    Hello,
    Ice,
    InCall,
    MessageError,
    Next,
    Ping,
    Report,
    Reunite,
    Start,
    Stop,
)
from server.signalling.presence import Presence
from server.signalling.pseudonyms import IPAddress
from server.signalling.server_messages import encode
from server.signalling.visitors import Visitor

MAX_RENEWALS = 8  # of one call: a page that is loaded again and again must not keep its partner busy


def handle(here: Presence, visitor: Visitor, message: ClientMessage | Chunk, now: float) -> None:
    """One message of a visitor; what is in no row of the table is for its call."""
    HANDLERS.get(type(message), on_in_call)(here, visitor, message, now)


def on_second_hello(here: Presence, visitor: Visitor, message: Hello, now: float) -> None:
    raise MessageError("wrong_state", message.id)


def on_start(here: Presence, visitor: Visitor, message: Start, now: float) -> None:
    if visitor.state != "idle":
        raise MessageError("wrong_state", message.id)
    set_wishes(here, visitor, message, now)
    visitor.may_reunite = None
    here.enqueue(visitor, now, id=message.id)


def on_next(here: Presence, visitor: Visitor, message: Next, now: float) -> None:
    """Leave the call, if there is one, and wait. A visitor who waits already keeps its place."""
    wished_else = visitor.ticket is None
    set_wishes(here, visitor, message, now)
    if wished_else:
        visitor.may_reunite = False
    if visitor.room is not None:
        here.end_call(visitor.room, "next", visitor, now)
    here.queue.remove(visitor.id, now)
    here.enqueue(visitor, now, id=message.id)


def set_wishes(here: Presence, visitor: Visitor, message: Start, now: float) -> None:
    """What `next` does not name stays; what `start` does not name is not wished. A link is never kept."""
    refused = here.calls.check_link(visitor, message.link)
    if refused is not None:
        raise MessageError(refused, message.id)
    if message.link != visitor.link:
        here.calls.leave_link(visitor, now)
        visitor.link = message.link
    is_start = type(message) is Start
    if message.want is not None or is_start:
        visitor.wanted_countries = message.want or frozenset()
    if message.hide_address is not None or is_start:
        visitor.hides_address = bool(message.hide_address)


def on_reunite(here: Presence, visitor: Visitor, message: Reunite, now: float) -> None:
    if visitor.ticket is None:
        raise MessageError("wrong_state", message.id)
    visitor.may_reunite = message.agree
    here.queue.reunite(visitor.id, message.agree, now)


def on_call_back(here: Presence, visitor: Visitor, message: CallBack, now: float) -> None:
    if visitor.room is not None:
        raise MessageError("wrong_state", message.id)
    if here.draining:
        here.kick(visitor, RESTART, now)
        return
    here.effects += here.calls.call_back(visitor, message, now)


def on_stop(here: Presence, visitor: Visitor, message: Stop, now: float) -> None:
    if visitor.room is not None:
        here.end_call(visitor.room, message.reason or "left", visitor, now)
    here.calls.stop_waiting(visitor, now)
    here.effects.append(SendTo(visitor.id, encode("stopped", id=message.id)))
    if here.draining:
        here.kick(visitor, RESTART, now)


def on_again(here: Presence, visitor: Visitor, message: Again, now: float) -> None:
    room = room_of(visitor, message)
    if not visitor.may_renew or room.renewals >= MAX_RENEWALS:
        raise MessageError("wrong_state", message.id)
    visitor.may_renew = False
    here.effects += here.calls.renew(room, visitor, now)


def on_in_call(here: Presence, visitor: Visitor, message: InCall | Chunk, now: float) -> None:
    if isinstance(message, Chunk):
        if visitor.room is None:
            return  # the call ended while the chunk was on its way
        room = visitor.room
    else:
        room = room_of(visitor, message)
    here.effects += room.receive(visitor.id, message)


def on_connected(here: Presence, visitor: Visitor, message: Connected, now: float) -> None:
    room = room_of(visitor, message)
    on_in_call(here, visitor, message, now)
    participant, _ = room.sides(visitor.id)
    if not participant.connected:
        participant.connected = True
        here.effects.append(CountEvent("connected", message.path))


def on_block(here: Presence, visitor: Visitor, message: Block, now: float) -> None:
    room = room_of(visitor, message)
    partner = here.visitors[room.partner_of(visitor.id)]
    here.queue.block(visitor.person, here.calls.seats.person_of(partner))
    here.effects.append(CountEvent("block"))
    here.end_call(room, "blocked", visitor, now)


def on_report(here: Presence, visitor: Visitor, message: Report, now: float) -> None:
    address = partner_address(here, visitor, message, now)
    keep_apart(here, visitor, message)
    report = here.reports.add(message.call, visitor.id, message.reason, address, now, visitor.address)
    here.effects.append(CountEvent("report", message.reason))
    here.effects.append(SendTo(visitor.id, encode("reported", id=message.id, code=report.code)))


def keep_apart(here: Presence, visitor: Visitor, message: Report) -> None:
    """Two do not meet again after a report of their call, or of the one that has just ended."""
    if visitor.room is not None and visitor.room.call == message.call:
        visitor.room.reported = True
    elif visitor.last_call is not None:
        here.queue.recent_pairs.set_terms(visitor.last_call.pair, Terms.FINAL)
        here.effects += here.calls.partings.close(message.call)


def partner_address(here: Presence, visitor: Visitor, message: Report, now: float) -> IPAddress | None:
    """The address of the partner in this call, or in the call that has just ended."""
    last = visitor.last_call
    if last is not None and last.call == message.call and now <= last.until:
        return last.partner_address
    room = room_of(visitor, message)
    return here.visitors[room.partner_of(visitor.id)].address


def on_ice(here: Presence, visitor: Visitor, message: Ice, now: float) -> None:
    here.effects.append(SendTo(visitor.id, encode("ice", id=message.id, ice=here.calls.ice_for(visitor))))


def on_ping(here: Presence, visitor: Visitor, message: Ping, now: float) -> None:
    here.effects.append(SendTo(visitor.id, encode("pong", id=message.id, heard=visitor.heard)))


HANDLERS: Mapping[type, Callable[..., None]] = {
    Hello: on_second_hello,
    Start: on_start,
    Next: on_next,
    Reunite: on_reunite,
    Stop: on_stop,
    Again: on_again,
    Ice: on_ice,
    Ping: on_ping,
    Connected: on_connected,
    CallBack: on_call_back,
    Block: on_block,
    Report: on_report,
}
