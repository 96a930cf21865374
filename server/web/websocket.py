"""A WebSocket to and from the lobby: who may enter, how fast, how much may wait, and how it ends."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from starlette.types import Message as Event
from starlette.types import Receive, Scope, Send

from server.signalling.lobby import Lobby
from server.signalling.messages import (
    HELLO_WITHIN,
    MALFORMED,
    PING_EVERY,
    PROTOCOL,
    TYPES,
    WELCOME,
    Hello,
    MessageError,
    Text,
    error,
    parse,
    parse_chunk,
)
from server.signalling.outbox import Outbox
from server.signalling.rates import CHUNKS, MESSAGES, TEXTS, Bucket, Patience
from server.signalling.visitors import Called, Count, Drop, Effect, Say, Shut, Visitor
from server.store import Network, StateError
from server.store.bans import Bans, household
from server.store.call_log import CallLog
from server.store.geo import Database
from server.web.failures import log_failure
from server.web.metrics import Metrics
from server.web.origins import Address, client_of, is_allowed
from server.web.uvicorn_protocols import LOST, Wire

SILENCE = 2.5 * PING_EVERY  # seconds; two pings were missed
MAX_MALFORMED = 3  # whoever sends more is no page of ours

# Close codes; in the protocol each says whether to come back.
MISTAKE, RESTART, TOO_SLOW = 1011, 1012, 1013
MALFORMED_CODE, LOCKED, BANNED, SUBPROTOCOL, SILENT, ELSEWHERE, TOO_MANY = (
    4400,
    4401,
    4403,
    4406,
    4408,
    4409,
    4429,
)

# How a socket ended -> what becomes of its visitor. Any other code is one that somebody chose, or earned:
# left, so that nobody is rid of a report by ending oddly.
ENDS = {LOST: "lost", SILENT: "lost", MISTAKE: "vanished", RESTART: "vanished", TOO_SLOW: "vanished"}

FORBIDDEN: Sequence[Event] = (
    {
        "type": "websocket.http.response.start",
        "status": 403,
        "headers": [(b"content-type", b"text/plain; charset=utf-8")],
    },
    {"type": "websocket.http.response.body", "body": b"This page is not one of this server's.\n"},
)


def anybody(scope: Scope) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in, and how many."""

    origins: frozenset[str]
    proxies: Sequence[Network] = ()
    per_address: int = 0
    in_all: int = 0
    admits: Callable[[Scope], bool] = anybody  # whether it has entered the site's password


class Line:
    """One socket. `heard` is when its browser last said something."""

    __slots__ = (
        "address",
        "chunks",
        "heard",
        "home",
        "malformed",
        "messages",
        "outbox",
        "patience",
        "texts",
        "visitor",
        "wire",
    )

    def __init__(self, wire: Wire, address: Address | None, now: float) -> None:
        self.wire = wire
        self.address = address
        self.home = household(address) if address else None
        self.heard = now
        self.visitor: Visitor | None = None
        self.outbox = Outbox()
        self.messages, self.texts, self.chunks = (
            Bucket(MESSAGES, now),
            Bucket(TEXTS, now),
            Bucket(CHUNKS, now),
        )
        self.patience = Patience(now)
        self.malformed = 0

    def flush(self) -> None:
        """Send what waits, as far as the other side reads."""
        while self.wire.can_write():
            data = self.outbox.pop()
            if data is None:
                return
            self.wire.write(data)


@dataclass(eq=False)
class Sockets:
    """Every open socket. It is the ASGI application behind /ws."""

    lobby: Lobby
    doors: Doors
    bans: Bans
    log: CallLog
    metrics: Metrics
    geo: Database | None = None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    lines: set[Line] = field(default_factory=set)
    by_visitor: dict[str, Line] = field(default_factory=dict)
    parked: dict[str, tuple[Outbox, Network | None]] = field(default_factory=dict)
    homes: Counter[Network | None] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if not is_allowed(scope, self.doors.origins):
            for event in FORBIDDEN:
                await send(event)
            return
        fits = PROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if fits else None})
        line = Line(scope["state"]["wire"], client_of(scope, self.doors.proxies), self.clock())
        code = self.refusal(line) if fits else SUBPROTOCOL
        if code is None and not self.doors.admits(scope):
            code = LOCKED
        if code is not None:
            self.hang_up(line, code)
            return
        await self.serve(line, receive)

    def refusal(self, line: Line) -> int | None:
        """The close code for somebody who may not come in."""
        if line.address is not None and self.bans.covers(line.address, self.wall()):
            return BANNED
        if self.lobby.draining and not self.parked:
            return RESTART
        if self.doors.per_address and self.homes[line.home] >= self.doors.per_address:
            return TOO_MANY
        if self.doors.in_all and len(self.lines) + len(self.parked) >= self.doors.in_all:
            return TOO_SLOW
        return None

    async def serve(self, line: Line, receive: Receive) -> None:
        self.lines.add(line)
        self.homes[line.home] += 1
        line.wire.on_writable = line.flush
        line.wire.write(WELCOME)
        code = MISTAKE
        try:
            code = await self.read(line, receive)
        except Exception as failure:
            self.fail(failure)
            self.hang_up(line, MISTAKE)
        finally:
            self.gone(line, code)

    async def read(self, line: Line, receive: Receive) -> int:
        """Everything that one browser says; the code that its socket ended with."""
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return int(event["code"])
            if not line.wire.close_sent:
                self.hear(line, event)

    def hear(self, line: Line, event: Event) -> None:
        """One message. What was refused is answered; who keeps being refused is put out."""
        now = self.clock()
        if line.visitor is not None:
            line.heard = now  # before hello, saying other things gains no time
        frame = event.get("bytes")
        try:
            if frame is not None:
                self.hear_chunk(line, frame, now)
            else:
                self.hear_words(line, event["text"], now)
        except MessageError as refused:
            self.refuse(line, refused, now)

    def hear_chunk(self, line: Line, frame: bytes, now: float) -> None:
        in_time = line.chunks.take(now)
        if line.visitor is not None and not in_time:
            self.carry(self.lobby.refuse_picture(line.visitor))
        if line.visitor is None or not in_time:
            raise MessageError("wrong_state" if in_time else "too_fast")
        self.carry(self.lobby.receive(line.visitor, parse_chunk(frame), now))

    def hear_words(self, line: Line, frame: str, now: float) -> None:
        if not line.messages.take(now):
            raise MessageError("too_fast")
        message = parse(frame)
        self.metrics.count("message", TYPES[type(message)])
        if isinstance(message, Text) and not line.texts.take(now):
            raise MessageError("too_fast", message.id)
        if line.visitor is not None:
            self.carry(self.lobby.receive(line.visitor, message, now))
        elif isinstance(message, Hello):
            self.greet(line, message, now)
        else:
            raise MessageError("wrong_state", message.id)

    def greet(self, line: Line, hello: Hello, now: float) -> None:
        """A new visitor, or one who returns and finds what was said meanwhile."""
        if self.lobby.draining and (hello.resume or "") not in self.lobby.by_resume:
            self.hang_up(line, RESTART)
            return
        country = self.geo.country(line.address) if self.geo and line.address else None
        visitor, reply, effects = self.lobby.enter(hello, line.address, country, now)
        before = self.by_visitor.get(visitor.id)
        if before is not None:
            line.outbox, before.outbox = before.outbox, Outbox()
            self.hang_up(before, ELSEWHERE)
        elif visitor.id in self.parked:
            line.outbox = self.unpark(visitor)
        line.visitor, line.heard = visitor, now
        self.by_visitor[visitor.id] = line
        line.outbox.first(reply)
        line.flush()
        self.carry(effects)

    def unpark(self, visitor: Visitor) -> Outbox:
        outbox, home = self.parked.pop(visitor.id)
        self.leave_home(home)
        return outbox

    def leave_home(self, home: Network | None) -> None:
        self.homes[home] -= 1
        if not self.homes[home]:
            del self.homes[home]

    def refuse(self, line: Line, refused: MessageError, now: float) -> None:
        self.metrics.count("refused", refused.code)
        self.post(line, error(refused.code, refused.id))
        if refused.code in MALFORMED:
            line.malformed += 1
            if line.malformed >= MAX_MALFORMED:
                self.hang_up(line, MALFORMED_CODE)
        elif refused.code == "too_fast" and not line.patience.refuse(now):
            self.hang_up(line, TOO_MANY)

    def post(self, line: Line, data: str | bytes, picture: int | None = None) -> None:
        """Send, now or when the other side has read what it was sent; too much waiting ends the socket."""
        if line.outbox.push(data, picture):
            line.flush()
        else:
            line.outbox.clear()
            self.hang_up(line, TOO_SLOW)

    def hang_up(self, line: Line, code: int) -> None:
        if not line.wire.close_sent:
            self.metrics.count("closed", str(code))
            line.wire.hang_up(code)

    def carry(self, effects: Iterable[Effect]) -> None:
        """Do what the lobby decided, and what follows from doing it."""
        queue = deque(effects)
        while queue:
            match queue.popleft():
                case Say(visitor, data, picture):
                    queue.extend(self.tell(visitor, data, picture))
                case Drop(visitor, picture):
                    self.outbox_of(visitor).forget(picture)
                case Shut(visitor, code):
                    self.shut(visitor, code)
                case Called(seconds) as call:
                    self.write_down(seconds)
                    self.metrics.note(call)
                case Count() as count:
                    self.metrics.note(count)

    def write_down(self, seconds: float) -> None:
        """Into the call log. A full disk costs the row, not the visitors who are here."""
        try:
            self.log.note(self.wall() - seconds, seconds)
        except StateError as failure:
            self.fail(failure)

    def fail(self, failure: Exception) -> None:
        log_failure(failure)
        self.metrics.count("failure")

    def tell(self, visitor: Visitor, data: str | bytes, picture: int | None) -> list[Effect]:
        """To a visitor's socket, or into what waits for its return; too much of that ends the visit."""
        line = self.by_visitor.get(visitor.id)
        if line is not None:
            self.post(line, data, picture)
        elif visitor.id in self.parked and not self.parked[visitor.id][0].push(data, picture):
            self.unpark(visitor)
            return self.lobby.leave(visitor, "vanished", self.clock())
        return []

    def outbox_of(self, visitor: Visitor) -> Outbox:
        line = self.by_visitor.get(visitor.id)
        return line.outbox if line is not None else self.parked.get(visitor.id, (Outbox(), None))[0]

    def shut(self, visitor: Visitor, code: int) -> None:
        line = self.by_visitor.pop(visitor.id, None)
        if line is not None:
            self.hang_up(line, code)
        elif visitor.id in self.parked:
            self.unpark(visitor)

    def gone(self, line: Line, code: int) -> None:
        """A socket has ended; its visitor leaves, vanishes, or may come back for a while."""
        self.lines.discard(line)
        visitor, now = line.visitor, self.clock()
        if visitor is None or self.by_visitor.get(visitor.id) is not line:
            self.leave_home(line.home)
            return
        del self.by_visitor[visitor.id]
        how = ENDS.get(code, "left")
        if how == "lost" and visitor.state != "idle":
            self.parked[visitor.id] = line.outbox, line.home
            self.carry(self.lobby.lose(visitor, now))
            return
        self.leave_home(line.home)
        self.carry(self.lobby.leave(visitor, "left" if how == "lost" else how, now))

    def tick(self) -> None:
        """What the time brings; call it a few times a second."""
        now = self.clock()
        for line in list(self.lines):
            patience = SILENCE if line.visitor is not None else HELLO_WITHIN
            if line.heard + patience < now:
                self.hang_up(line, SILENT)
        self.carry(self.lobby.tick(now))
        if self.bans.refresh():
            self.put_out()

    def put_out(self) -> None:
        """Close the sockets that a ban covers."""
        wall = self.wall()
        for line in list(self.lines):
            if line.visitor is None and line.address and self.bans.covers(line.address, wall):
                self.hang_up(line, BANNED)
        self.carry(self.lobby.ban(lambda address: self.bans.covers(address, wall), self.clock()))

    def drain(self) -> None:
        """Nobody new; calls go on."""
        self.carry(self.lobby.drain(self.clock()))
        for line in list(self.lines):
            if line.visitor is None:
                self.hang_up(line, RESTART)

    def close(self) -> None:
        """End everything."""
        self.carry(self.lobby.close(self.clock()))
        for line in list(self.lines):
            self.hang_up(line, RESTART)
