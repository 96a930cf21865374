"""A page says hello, loses its socket, and says hello again: it keeps its visit, its call and its place."""

from __future__ import annotations

from typing import Any

from server.signalling.effects import CountEvent
from server.signalling.messages import Hello
from server.signalling.presence import Presence
from server.signalling.pseudonyms import IPAddress
from server.signalling.server_messages import encode
from server.signalling.visitors import Visitor

RESUME_SECONDS = 60.0  # in which a lost socket may come back: a phone in a tunnel, a laptop that was shut
RELOAD_SECONDS = 15.0  # in which a page that is loaded again may; a closed one makes its partner wait as long


def welcome(
    here: Presence, hello: Hello, address: IPAddress | None, country: str | None
) -> tuple[Visitor, str]:
    """A new visitor, and the reply to its page."""
    new_id = here.dependencies.new_id
    id, secret = new_id(), new_id()
    visitor = Visitor(id, hello.token, address, country, secret, new_id())
    visitor.features = hello.features
    here.visitors[id] = visitor
    here.secrets.add(visitor)
    here.queue.blocks.arrive(*visitor.names)
    here.effects.append(CountEvent("visitor", country or "unknown"))
    return visitor, hello_reply(here, visitor, hello, resumed=False)


def welcome_back(
    here: Presence,
    visitor: Visitor,
    hello: Hello,
    address: IPAddress | None,
    country: str | None,
    now: float,
) -> str:
    """The same page on a new socket: the reply to it, with a new secret."""
    here.secrets.renew(visitor, hello.resume or "")
    move(here, visitor, address)
    visitor.country, visitor.features = country, hello.features
    reply = hello_reply(here, visitor, hello, resumed=True)
    here.effects.append(CountEvent("resumed"))
    if here.suspended.pop(visitor.id, None) is not None:
        visitor.suspended_since = None
        continue_visit(here, visitor, now)
    elif visitor.ticket is not None:
        here.calls.news.add(visitor.id)
    return reply


def hello_reply(here: Presence, visitor: Visitor, hello: Hello, *, resumed: bool) -> str:
    standing: dict[str, Any] = {
        "state": visitor.state,
        "call": visitor.room and visitor.room.call,
        "heard": visitor.heard,
    }
    return encode(
        "hello",
        id=hello.id,
        resume=visitor.resume_secret,
        resumed=resumed,
        country=visitor.country,
        countries=here.dependencies.knows_countries,
        matching=here.dependencies.matching,
        **(standing if resumed or visitor.room is not None else {}),
    )


def move(here: Presence, visitor: Visitor, address: IPAddress | None, *, token: str | None = None) -> None:
    """A visitor has come back, maybe from another address; `token` is its browser's, if known only now."""
    before = visitor.names
    visitor.token = token or visitor.token
    visitor.move_to(address)
    here.queue.blocks.arrive(*visitor.names)
    here.queue.blocks.depart(*before)


def continue_visit(here: Presence, visitor: Visitor, now: float) -> None:
    if visitor.room is not None:
        here.notify_partner(visitor.room, visitor, "back")
    elif visitor.ticket is not None:
        here.effects += here.calls.find_partner(visitor, now)


def suspend(here: Presence, visitor: Visitor, now: float, *, loading: bool) -> None:
    """The socket was lost without a close. `loading`: the page is being closed or loaded again, so it has
    less time, and has left after it."""
    visitor.suspended_since = now
    visitor.back_by = now + (RELOAD_SECONDS if loading else RESUME_SECONDS)
    visitor.missing = "left" if loading else "vanished"
    visitor.may_renew = loading
    here.suspended[visitor.id] = visitor
    here.calls.pause(visitor, now)
    if visitor.room is not None:
        here.notify_partner(visitor.room, visitor, "loading" if loading else "away")
