"""Who is here and what each may do: a message and the time in; what is to be sent and closed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.signalling.matching import Queue, Seeker
from server.signalling.messages import (
    Block,
    Chunk,
    Connected,
    Hello,
    Ice,
    InCall,
    Message,
    MessageError,
    Next,
    Ping,
    Report,
    Start,
    Stop,
    say,
)
from server.signalling.reports import Reports
from server.signalling.rooms import ENDINGS, Forget, Out, Outcome, Room
from server.signalling.visitors import Address, Called, Count, Drop, Effect, Last, Means, Say, Shut, Visitor

GRACE = 15.0  # seconds in which a lost socket may come back: a phone changes its network in less
REPORT_AFTER = 60.0  # seconds after a call in which its partner can still be reported
RESTART = 1012
BANNED = 4403


@dataclass(eq=False)
class Lobby:
    """Everybody who is here. Every verb returns the effects, in order."""

    means: Means
    queue: Queue
    reports: Reports
    visitors: dict[str, Visitor] = field(default_factory=dict)
    by_resume: dict[str, Visitor] = field(default_factory=dict)
    lost: dict[str, Visitor] = field(default_factory=dict)  # those whose socket is lost, longest first
    rooms: dict[str, Room] = field(default_factory=dict)
    draining: bool = False
    effects: list[Effect] = field(default_factory=list)

    def take(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    def enter(
        self, hello: Hello, address: Address | None, country: str | None, now: float
    ) -> tuple[Visitor, str, list[Effect]]:
        """A page said hello: its visitor, the reply to it, and what else follows."""
        known = self.by_resume.pop(hello.resume or "", None)
        if known is not None and known.token == hello.token:
            return self.resume(known, hello, address, country, now)
        if known is not None:
            self.by_resume[known.resume] = known
        visitor = Visitor(self.means.name(), hello.token, address, country, self.means.name())
        self.visitors[visitor.id] = visitor
        self.by_resume[visitor.resume] = visitor
        self.queue.blocks.arrive(visitor.token)
        self.effects.append(Count("visitor", country or "unknown"))
        return visitor, self.greet(visitor, hello, resumed=False), self.take()

    def greet(self, visitor: Visitor, hello: Hello, *, resumed: bool) -> str:
        standing: dict[str, Any] = (
            {"state": visitor.state, "call": visitor.room and visitor.room.call} if resumed else {}
        )
        return say(
            "hello",
            id=hello.id,
            resume=visitor.resume,
            resumed=resumed,
            country=visitor.country,
            countries=self.means.countries,
            **standing,
        )

    def resume(
        self, visitor: Visitor, hello: Hello, address: Address | None, country: str | None, now: float
    ) -> tuple[Visitor, str, list[Effect]]:
        """The same page on a new socket; its old secret is spent."""
        visitor.resume = self.means.name()
        self.by_resume[visitor.resume] = visitor
        visitor.address, visitor.country = address, country
        reply = self.greet(visitor, hello, resumed=True)
        self.effects.append(Count("resumed"))
        if self.lost.pop(visitor.id, None) is not None:
            visitor.away = None
            self.come_back(visitor, now)
        return visitor, reply, self.take()

    def come_back(self, visitor: Visitor, now: float) -> None:
        if visitor.room is not None:
            self.tell_partner(visitor, "back")
        elif visitor.ticket is not None:
            self.seek(visitor, now)

    def tell_partner(self, visitor: Visitor, state: str) -> None:
        room = visitor.room
        assert room is not None
        partner = self.visitors[room.partner_of(visitor.id)]
        self.effects.append(Say(partner, say("partner", call=room.call, state=state)))

    def receive(self, visitor: Visitor, message: Message | Chunk, now: float) -> list[Effect]:
        """A message of somebody who said hello. Raises MessageError, and then nothing has changed."""
        handler = HANDLERS.get(type(message), Lobby.pass_on)
        handler(self, visitor, message, now)
        return self.take()

    def start(self, visitor: Visitor, message: Start, now: float) -> None:
        if visitor.state != "idle":
            raise MessageError("wrong_state", message.id)
        self.wish(visitor, message)
        self.wait(visitor, now, id=message.id)

    def next(self, visitor: Visitor, message: Next, now: float) -> None:
        """Leave the call, if any, and wait; who waits already keeps the place."""
        if visitor.room is not None:
            self.end(visitor.room, "next", visitor, now)
        self.queue.leave(visitor.id)
        self.wish(visitor, message)
        self.wait(visitor, now, id=message.id)

    def wish(self, visitor: Visitor, message: Start) -> None:
        if message.want is not None or type(message) is Start:
            visitor.want = message.want or frozenset()
        if message.hide_address is not None or type(message) is Start:
            visitor.hide = bool(message.hide_address)

    def wait(self, visitor: Visitor, now: float, *, front: bool = False, id: str | None = None) -> None:
        if self.draining:
            self.shut(visitor, RESTART, now)
            return
        self.effects.append(Say(visitor, say("waiting", id=id)))
        if visitor.ticket is None:
            visitor.ticket, visitor.waits_since = self.queue.ticket(front=front), now
        if visitor.away is None:
            self.seek(visitor, now)

    def seek(self, visitor: Visitor, now: float) -> None:
        """Into the queue, or out of it with a partner."""
        assert visitor.ticket is not None
        want = visitor.want if self.means.countries else frozenset()
        seeker = Seeker(visitor.id, visitor.token, visitor.country, want, visitor.ticket)
        partner = self.queue.join(seeker)
        if partner is not None:
            self.match(self.visitors[partner.visitor], visitor, now)

    def match(self, one: Visitor, other: Visitor, now: float) -> None:
        """The one who waited longer makes the first offer."""
        hidden = one.hide or other.hide
        room = Room(self.means.name(), (one.id, other.id), hidden=hidden, now=now)
        self.rooms[room.call] = room
        for visitor, partner in ((one, other), (other, one)):
            self.effects.append(Count("wait", value=now - visitor.waits_since))
            visitor.room, visitor.ticket = room, None
            word = say(
                "matched",
                call=room.call,
                polite=visitor is other,
                relay=hidden,
                country=partner.country,
                ice=self.ice_for(visitor),
            )
            self.effects.append(Say(visitor, word))
        self.effects.append(Count("match", "relay" if hidden else "any"))

    def ice_for(self, visitor: Visitor) -> Mapping[str, Any]:
        """ICE servers; the user's first letter says what this server vouches for: `r.` only relayed paths."""
        hidden = visitor.room.hidden if visitor.room else visitor.hide
        return self.means.ice(f"{'r' if hidden else 'c'}.{visitor.id}")

    def stop(self, visitor: Visitor, message: Stop, now: float) -> None:
        if visitor.room is not None:
            self.end(visitor.room, "left", visitor, now)
        self.queue.leave(visitor.id)
        visitor.ticket = None
        self.effects.append(Say(visitor, say("stopped", id=message.id)))
        if self.draining:
            self.shut(visitor, RESTART, now)

    def room_of(self, visitor: Visitor, message: InCall) -> Room:
        if visitor.room is None or visitor.room.call != message.call:
            raise MessageError("wrong_call", message.id)
        return visitor.room

    def pass_on(self, visitor: Visitor, message: InCall | Chunk, now: float) -> None:
        if isinstance(message, Chunk):
            if visitor.room is None:
                return  # the call ended while the chunk was on its way
            room = visitor.room
        else:
            room = self.room_of(visitor, message)
        self.carry(room, room.receive(room.seat_of(visitor.id), message))

    def carry(self, room: Room, outcome: Outcome) -> None:
        for step in outcome:
            visitor = self.visitors[room.seats[step.seat].visitor]
            match step:
                case Out(_, data, picture):
                    self.effects.append(Say(visitor, data, picture))
                case Forget(_, number):
                    self.effects.append(Drop(visitor, number))

    def refuse_picture(self, visitor: Visitor) -> list[Effect]:
        """Cancel what this visitor is sending, because it came too fast or made no sense."""
        if visitor.room is not None:
            self.carry(visitor.room, visitor.room.refuse(visitor.room.seat_of(visitor.id)))
        return self.take()

    def connected(self, visitor: Visitor, message: Connected, now: float) -> None:
        room = self.room_of(visitor, message)
        seat = room.seats[room.seat_of(visitor.id)]
        self.pass_on(visitor, message, now)
        if not seat.connected:
            seat.connected = True
            self.effects.append(Count("connected", message.path))

    def block(self, visitor: Visitor, message: Block, now: float) -> None:
        room = self.room_of(visitor, message)
        self.queue.block(visitor.token, self.visitors[room.partner_of(visitor.id)].token)
        self.effects.append(Count("block"))
        self.end(room, "blocked", visitor, now)

    def report(self, visitor: Visitor, message: Report, now: float) -> None:
        address = self.reported(visitor, message, now)
        report = self.reports.add(message.call, visitor.id, message.reason, address, now, visitor.address)
        self.effects.append(Count("report", message.reason))
        self.effects.append(Say(visitor, say("reported", id=message.id, code=report.code)))

    def reported(self, visitor: Visitor, message: Report, now: float) -> Address | None:
        """The address of the partner in this call, or in the one that has just ended."""
        last = visitor.last
        if last is not None and last.call == message.call and now <= last.until:
            return last.partner
        room = self.room_of(visitor, message)
        return self.visitors[room.partner_of(visitor.id)].address

    def ice(self, visitor: Visitor, message: Ice, now: float) -> None:
        self.effects.append(Say(visitor, say("ice", id=message.id, ice=self.ice_for(visitor))))

    def ping(self, visitor: Visitor, message: Ping, now: float) -> None:
        self.effects.append(Say(visitor, say("pong", id=message.id)))

    def again(self, visitor: Visitor, message: Hello, now: float) -> None:
        raise MessageError("wrong_state", message.id)

    def end(self, room: Room, how: str, mover: Visitor, now: float) -> None:
        """The call is over; the partner is told why, and waits again in front if it was deserted."""
        ending = ENDINGS[how]
        partner = self.visitors[room.partner_of(mover.id)]
        del self.rooms[room.call]
        self.queue.part(mover.token, partner.token, now)
        for one, other in ((mover, partner), (partner, mover)):
            one.room = None
            one.last = Last(room.call, other.address, now + REPORT_AFTER)
        if ending.mover:
            self.effects.append(Say(mover, say("ended", call=room.call, reason=ending.mover)))
        self.effects.append(Say(partner, say("ended", call=room.call, reason=ending.partner)))
        self.effects += (Count("ended", how), Called(now - room.since))
        if self.draining:
            self.shut(partner, RESTART, now)
        elif how == "vanished":
            self.wait(partner, now, front=True)

    def lose(self, visitor: Visitor, now: float) -> list[Effect]:
        """The socket was lost without a close: it may come back."""
        visitor.away = now
        self.lost[visitor.id] = visitor
        self.queue.leave(visitor.id)
        if visitor.room is not None:
            self.tell_partner(visitor, "away")
        return self.take()

    def leave(self, visitor: Visitor, how: str, now: float) -> list[Effect]:
        """A visitor is gone: `left` by itself, `vanished`, `banned`."""
        self.remove(visitor, how, now)
        return self.take()

    def remove(self, visitor: Visitor, how: str, now: float) -> None:
        if self.visitors.get(visitor.id) is not visitor:
            return
        if visitor.room is not None:
            self.end(visitor.room, how, visitor, now)
        self.queue.leave(visitor.id)
        visitor.ticket = None
        self.visitors.pop(visitor.id, None)
        self.lost.pop(visitor.id, None)
        self.by_resume.pop(visitor.resume, None)
        self.queue.blocks.depart(visitor.token)

    def shut(self, visitor: Visitor, code: int, now: float, how: str = "vanished") -> None:
        self.remove(visitor, how, now)
        self.effects.append(Shut(visitor, code))

    def tick(self, now: float) -> list[Effect]:
        """What the time alone brings: the lost are given up, old pairs may meet again."""
        for visitor in list(self.lost.values()):
            assert visitor.away is not None
            if visitor.away + GRACE > now:
                break
            self.shut(visitor, 1000, now)
        for one, other in self.queue.settle(now):
            self.match(self.visitors[one.visitor], self.visitors[other.visitor], now)
        self.reports.expire(now)
        return self.take()

    def ban(self, covers: Callable[[Address], bool], now: float) -> list[Effect]:
        """Put out everybody whose address is covered."""
        for visitor in list(self.visitors.values()):
            if visitor.address is not None and covers(visitor.address):
                self.shut(visitor, BANNED, now, "banned")
        return self.take()

    def drain(self, now: float) -> list[Effect]:
        """From now on nobody is matched; calls go on."""
        self.draining = True
        for visitor in list(self.visitors.values()):
            if visitor.room is None:
                self.shut(visitor, RESTART, now)
        return self.take()

    def close(self, now: float) -> list[Effect]:
        """End every call, because the time to drain is over."""
        self.draining = True
        for room in list(self.rooms.values()):
            self.end(room, "drained", self.visitors[room.seats[0].visitor], now)
        for visitor in list(self.visitors.values()):
            self.shut(visitor, RESTART, now)
        return self.take()


HANDLERS: Mapping[type, Callable[..., None]] = {
    Hello: Lobby.again,
    Start: Lobby.start,
    Next: Lobby.next,
    Stop: Lobby.stop,
    Ice: Lobby.ice,
    Ping: Lobby.ping,
    Connected: Lobby.connected,
    Block: Lobby.block,
    Report: Lobby.report,
}
