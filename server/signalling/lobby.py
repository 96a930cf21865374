"""The lobby: all visitors, the queue and the calls. A message and the time go in, effects come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.signalling.blocks import Terms
from server.signalling.calls import Calls, room_of
from server.signalling.close_codes import BANNED, NORMAL, RESTART
from server.signalling.effects import CloseSocket, CountEvent, Effect, SendTo
from server.signalling.matching import Queue
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
from server.signalling.pseudonyms import IPAddress
from server.signalling.reports import Reports
from server.signalling.rooms import Room
from server.signalling.server_messages import encode
from server.signalling.visitors import Dependencies, Visitor

RESUME_SECONDS = 60.0  # in which a lost socket may come back: a phone in a tunnel, a laptop that was shut
RELOAD_SECONDS = 15.0  # in which a page that is loaded again may; a closed one makes its partner wait as long
MAX_RENEWALS = 8  # of one call: a page that is loaded again and again must not keep its partner busy


@dataclass(eq=False)
class Lobby:
    """Everybody who is connected. It has no socket and no clock.

    Public methods return the effects that the caller has to apply, in order. `now` is in seconds, of a clock
    that never goes back.

    Args:
        dependencies: what the lobby needs from outside: names, ICE servers and whether countries are known.
        queue: the visitors that wait for a partner.
        reports: what visitors have reported.
    """

    dependencies: Dependencies
    queue: Queue
    reports: Reports
    visitors: dict[str, Visitor] = field(default_factory=dict)
    by_resume_secret: dict[str, Visitor] = field(default_factory=dict)
    suspended: dict[str, Visitor] = field(default_factory=dict)  # whose socket is lost
    draining: bool = False
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calls = Calls(self.dependencies, self.queue, self.visitors)

    def take_effects(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    def knows(self, hello: Hello) -> bool:
        """Whether this is a visitor who comes back.

        Args:
            hello: the message. Its `resume` secret is only believed together with the same `token`.

        Returns:
            True if `join` will resume a visit.
        """
        known = self.by_resume_secret.get(hello.resume or "")
        return known is not None and known.token == hello.token

    def join(
        self, hello: Hello, address: IPAddress | None, country: str | None, now: float
    ) -> tuple[Visitor, str, list[Effect]]:
        """A page said hello: it becomes a new visitor, or resumes its visit.

        Args:
            hello: the message. Its `resume` secret is only believed together with the same `token`.
            address: the IP address of the browser, or None if it is not known.
            country: two small letters (ISO 3166-1), or None if it is not known.
            now: monotonic seconds.

        Returns:
            The visitor, the reply to send first, and the effects.
        """
        if self.knows(hello):
            known = self.by_resume_secret[hello.resume or ""]
            return self.resume(known, hello, address, country, now)
        id, secret = self.dependencies.new_id(), self.dependencies.new_id()
        visitor = Visitor(id, hello.token, address, country, secret, self.dependencies.new_id())
        visitor.features = hello.features
        self.visitors[id] = self.by_resume_secret[secret] = visitor
        self.queue.blocks.arrive(*visitor.names)
        self.effects.append(CountEvent("visitor", country or "unknown"))
        return visitor, self.hello_reply(visitor, hello, resumed=False), self.take_effects()

    def hello_reply(self, visitor: Visitor, hello: Hello, *, resumed: bool) -> str:
        standing: dict[str, Any] = (
            {"state": visitor.state, "call": visitor.room and visitor.room.call, "heard": visitor.heard}
            if resumed
            else {}
        )
        return encode(
            "hello",
            id=hello.id,
            resume=visitor.resume_secret,
            resumed=resumed,
            country=visitor.country,
            countries=self.dependencies.knows_countries,
            matching=self.dependencies.matching,
            **standing,
        )

    def resume(
        self, visitor: Visitor, hello: Hello, address: IPAddress | None, country: str | None, now: float
    ) -> tuple[Visitor, str, list[Effect]]:
        """The same page on a new socket, with a new secret."""
        self.renew_secret(visitor, hello.resume or "")
        self.move(visitor, address)
        visitor.country, visitor.features = country, hello.features
        reply = self.hello_reply(visitor, hello, resumed=True)
        self.effects.append(CountEvent("resumed"))
        if self.suspended.pop(visitor.id, None) is not None:
            visitor.suspended_since = None
            self.continue_visit(visitor, now)
        elif visitor.ticket is not None:
            self.calls.news.add(visitor.id)
        return visitor, reply, self.take_effects()

    def renew_secret(self, visitor: Visitor, used: str) -> None:
        """Give a visitor a new secret. The used one stays good until the page speaks again.

        The reply with the new one may get lost.

        Args:
            visitor: whose secret it is.
            used: the secret that it has come back with.
        """
        for secret in {visitor.resume_secret, visitor.former_secret} - {used, None}:
            del self.by_resume_secret[str(secret)]
        visitor.former_secret, visitor.resume_secret = used, self.dependencies.new_id()
        self.by_resume_secret[visitor.resume_secret] = visitor

    def forget_former_secret(self, visitor: Visitor) -> None:
        """The page has spoken, so it knows the new secret.

        Args:
            visitor: whose secret it is.
        """
        if visitor.former_secret is not None:
            del self.by_resume_secret[visitor.former_secret]
            visitor.former_secret = None

    def move(self, visitor: Visitor, address: IPAddress | None) -> None:
        """A visitor has come back, maybe from another address."""
        before = visitor.names
        visitor.move_to(address)
        self.queue.blocks.arrive(*visitor.names)
        self.queue.blocks.depart(*before)

    def continue_visit(self, visitor: Visitor, now: float) -> None:
        if visitor.room is not None:
            self.notify_partner(visitor.room, visitor, "back")
        elif visitor.ticket is not None:
            self.effects += self.calls.find_partner(visitor, now)

    def notify_partner(self, room: Room, visitor: Visitor, state: str) -> None:
        word = encode("partner", call=room.call, state=state)
        self.effects.append(SendTo(room.partner_of(visitor.id), word))

    def receive(self, visitor: Visitor, message: ClientMessage | Chunk, now: float) -> list[Effect]:
        """Handle one message of a visitor.

        Args:
            visitor: its sender.
            message: the parsed message, or a piece of a picture.
            now: monotonic seconds.

        Returns:
            The effects.

        Raises:
            MessageError: the message is not allowed now. Nothing has changed.
        """
        self.forget_former_secret(visitor)
        handler = HANDLERS.get(type(message), Lobby.on_in_call)
        handler(self, visitor, message, now)
        return self.take_effects()

    def on_start(self, visitor: Visitor, message: Start, now: float) -> None:
        if visitor.state != "idle":
            raise MessageError("wrong_state", message.id)
        self.set_wishes(visitor, message, now)
        visitor.may_reunite = None
        self.enqueue(visitor, now, id=message.id)

    def on_next(self, visitor: Visitor, message: Next, now: float) -> None:
        """Leave the call, if there is one, and wait. A visitor who waits already keeps its place."""
        wished_else = visitor.ticket is None
        self.set_wishes(visitor, message, now)
        if wished_else:
            visitor.may_reunite = False
        if visitor.room is not None:
            self.end_call(visitor.room, "next", visitor, now)
        self.queue.remove(visitor.id, now)
        self.enqueue(visitor, now, id=message.id)

    def set_wishes(self, visitor: Visitor, message: Start, now: float) -> None:
        """What `next` does not name stays; what `start` does not name is not wished. A link is never kept."""
        refused = self.calls.check_link(visitor, message.link)
        if refused is not None:
            raise MessageError(refused, message.id)
        if message.link != visitor.link:
            self.calls.leave_link(visitor, now)
            visitor.link = message.link
        is_start = type(message) is Start
        if message.want is not None or is_start:
            visitor.wanted_countries = message.want or frozenset()
        if message.hide_address is not None or is_start:
            visitor.hides_address = bool(message.hide_address)

    def enqueue(
        self, visitor: Visitor, now: float, *, ticket: int | None = None, id: str | None = None
    ) -> None:
        if self.draining:
            self.kick(visitor, RESTART, now)
            return
        self.effects += self.calls.wait(visitor, now, ticket=ticket, id=id)

    def on_reunite(self, visitor: Visitor, message: Reunite, now: float) -> None:
        if visitor.ticket is None:
            raise MessageError("wrong_state", message.id)
        visitor.may_reunite = message.agree
        self.queue.reunite(visitor.id, message.agree, now)

    def on_call_back(self, visitor: Visitor, message: CallBack, now: float) -> None:
        if visitor.room is not None:
            raise MessageError("wrong_state", message.id)
        if self.draining:
            self.kick(visitor, RESTART, now)
            return
        self.effects += self.calls.call_back(visitor, message, now)

    def on_stop(self, visitor: Visitor, message: Stop, now: float) -> None:
        if visitor.room is not None:
            self.end_call(visitor.room, message.reason or "left", visitor, now)
        self.calls.stop_waiting(visitor, now)
        self.effects.append(SendTo(visitor.id, encode("stopped", id=message.id)))
        if self.draining:
            self.kick(visitor, RESTART, now)

    def on_in_call(self, visitor: Visitor, message: InCall | Chunk, now: float) -> None:
        if isinstance(message, Chunk):
            if visitor.room is None:
                return  # the call ended while the chunk was on its way
            room = visitor.room
        else:
            room = room_of(visitor, message)
        self.effects += room.receive(visitor.id, message)

    def cancel_picture(self, visitor: Visitor) -> list[Effect]:
        """Cancel the picture that a visitor is sending, because its chunks came too fast.

        Args:
            visitor: the sender of the picture.

        Returns:
            The effects.
        """
        if visitor.room is not None:
            self.effects += visitor.room.cancel_picture(visitor.id)
        return self.take_effects()

    def on_connected(self, visitor: Visitor, message: Connected, now: float) -> None:
        room = room_of(visitor, message)
        self.on_in_call(visitor, message, now)
        participant, _ = room.sides(visitor.id)
        if not participant.connected:
            participant.connected = True
            self.effects.append(CountEvent("connected", message.path))

    def on_block(self, visitor: Visitor, message: Block, now: float) -> None:
        room = room_of(visitor, message)
        partner = self.visitors[room.partner_of(visitor.id)]
        self.queue.block(visitor.person, self.calls.person_of(partner))
        self.effects.append(CountEvent("block"))
        self.end_call(room, "blocked", visitor, now)

    def on_report(self, visitor: Visitor, message: Report, now: float) -> None:
        address = self.partner_address(visitor, message, now)
        self.keep_apart(visitor, message)
        report = self.reports.add(message.call, visitor.id, message.reason, address, now, visitor.address)
        self.effects.append(CountEvent("report", message.reason))
        self.effects.append(SendTo(visitor.id, encode("reported", id=message.id, code=report.code)))

    def keep_apart(self, visitor: Visitor, message: Report) -> None:
        """See to it that two do not meet again after a report.

        Args:
            visitor: who reports.
            message: names their call, or the one that has just ended.
        """
        if visitor.room is not None and visitor.room.call == message.call:
            visitor.room.reported = True
        elif visitor.last_call is not None:
            self.queue.recent_pairs.set_terms(visitor.last_call.pair, Terms.FINAL)
            self.effects += self.calls.partings.close(message.call)

    def partner_address(self, visitor: Visitor, message: Report, now: float) -> IPAddress | None:
        """The address of the partner in this call, or in the call that has just ended."""
        last = visitor.last_call
        if last is not None and last.call == message.call and now <= last.until:
            return last.partner_address
        room = room_of(visitor, message)
        return self.visitors[room.partner_of(visitor.id)].address

    def on_ice(self, visitor: Visitor, message: Ice, now: float) -> None:
        self.effects.append(SendTo(visitor.id, encode("ice", id=message.id, ice=self.calls.ice_for(visitor))))

    def on_ping(self, visitor: Visitor, message: Ping, now: float) -> None:
        self.effects.append(SendTo(visitor.id, encode("pong", id=message.id, heard=visitor.heard)))

    def on_again(self, visitor: Visitor, message: Again, now: float) -> None:
        room = room_of(visitor, message)
        if not visitor.may_renew or room.renewals >= MAX_RENEWALS:
            raise MessageError("wrong_state", message.id)
        visitor.may_renew = False
        self.effects += self.calls.renew(room, visitor, now)

    def on_second_hello(self, visitor: Visitor, message: Hello, now: float) -> None:
        raise MessageError("wrong_state", message.id)

    def end_call(self, room: Room, how: str, ender: Visitor, now: float) -> None:
        """End a call and tell the partner why. If `ender` vanished, the partner waits at its old place."""
        partner = self.visitors[room.partner_of(ender.id)]
        self.effects += self.calls.end(room, how, ender, now)
        self.calls.leave_link(ender, now)
        if how != "vanished":
            self.calls.leave_link(partner, now)
        if self.draining:
            self.kick(partner, RESTART, now)
        elif how == "vanished":
            self.enqueue(partner, now, ticket=partner.last_ticket)

    def suspend(self, visitor: Visitor, now: float, *, loading: bool = False) -> list[Effect]:
        """The socket was lost without a close. The visitor keeps call and place for RESUME_SECONDS.

        Args:
            visitor: whose socket it was.
            now: monotonic seconds.
            loading: its page is being closed or loaded again. Then it has RELOAD_SECONDS, and has left after
                them.

        Returns:
            The effects.
        """
        visitor.suspended_since = now
        visitor.back_by = now + (RELOAD_SECONDS if loading else RESUME_SECONDS)
        visitor.missing = "left" if loading else "vanished"
        visitor.may_renew = loading
        self.suspended[visitor.id] = visitor
        self.calls.pause(visitor, now)
        if visitor.room is not None:
            self.notify_partner(visitor.room, visitor, "loading" if loading else "away")
        return self.take_effects()

    def leave(self, visitor: Visitor, how: str, now: float) -> list[Effect]:
        """A visitor is gone for good.

        Args:
            visitor: the visitor. One that is gone already changes nothing.
            how: a key of ENDINGS: `left`, or `vanished` if the page did not end it.
            now: monotonic seconds.

        Returns:
            The effects.
        """
        self.remove(visitor, how, now)
        return self.take_effects()

    def remove(self, visitor: Visitor, how: str, now: float) -> None:
        if self.visitors.get(visitor.id) is not visitor:
            return
        if visitor.room is not None:
            self.end_call(visitor.room, how, visitor, now)
        self.calls.stop_waiting(visitor, now)
        if how != "vanished":
            self.effects += self.calls.part_for_good(visitor)
        self.visitors.pop(visitor.id, None)
        self.suspended.pop(visitor.id, None)
        self.forget_former_secret(visitor)
        del self.by_resume_secret[visitor.resume_secret]
        self.queue.blocks.depart(*visitor.names)

    def kick(self, visitor: Visitor, code: int, now: float, how: str = "vanished") -> None:
        """Remove a visitor and close its socket."""
        self.remove(visitor, how, now)
        self.effects.append(CloseSocket(visitor.id, code))

    def tick(self, now: float) -> list[Effect]:
        """Do what is due: give up lost visitors, match pairs that may meet by now, tell others why they wait.

        Args:
            now: monotonic seconds.

        Returns:
            The effects.
        """
        for visitor in list(self.suspended.values()):
            if visitor.back_by <= now:
                self.kick(visitor, NORMAL, now, visitor.missing)
        self.effects += self.calls.retry(now)
        self.effects += self.calls.news.look(now)
        self.effects += self.calls.partings.expire(now)
        self.calls.invitations.expire(now)
        self.reports.expire(now)
        return self.take_effects()

    def kick_banned(self, is_banned: Callable[[IPAddress], bool], now: float) -> list[Effect]:
        """Remove the visitors whose address is banned.

        Args:
            is_banned: tells whether an address is banned.
            now: monotonic seconds.

        Returns:
            The effects.
        """
        for visitor in list(self.visitors.values()):
            if visitor.address is not None and is_banned(visitor.address):
                self.kick(visitor, BANNED, now, "banned")
        return self.take_effects()

    def drain(self, now: float) -> list[Effect]:
        """From now on match nobody. Calls go on; visitors without a call are sent away.

        Args:
            now: monotonic seconds.

        Returns:
            The effects.
        """
        self.draining = True
        for visitor in list(self.visitors.values()):
            if visitor.room is None:
                self.kick(visitor, RESTART, now)
        return self.take_effects()

    def close(self, now: float) -> list[Effect]:
        """End every call, because the time to drain is over.

        Args:
            now: monotonic seconds.

        Returns:
            The effects.
        """
        self.draining = True
        for room in list(self.calls.rooms.values()):
            self.end_call(room, "drained", self.visitors[room.participants[0].visitor], now)
        for visitor in list(self.visitors.values()):
            self.kick(visitor, RESTART, now)
        return self.take_effects()


HANDLERS: Mapping[type, Callable[..., None]] = {
    Hello: Lobby.on_second_hello,
    Start: Lobby.on_start,
    Next: Lobby.on_next,
    Reunite: Lobby.on_reunite,
    Stop: Lobby.on_stop,
    Again: Lobby.on_again,
    Ice: Lobby.on_ice,
    Ping: Lobby.on_ping,
    Connected: Lobby.on_connected,
    CallBack: Lobby.on_call_back,
    Block: Lobby.on_block,
    Report: Lobby.on_report,
}
