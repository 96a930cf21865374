"""The WebSockets of all browsers: who may connect, limits on messages, and how each ends."""

from __future__ import annotations

from functools import partial

from starlette.types import Receive, Scope, Send

from server.signalling import close_codes
from server.signalling.messages import (
    HELLO_SECONDS,
    MALFORMED,
    PING_SECONDS,
    PROTOCOL,
    Hello,
    MessageError,
    Ping,
    Text,
)
from server.signalling.outbox import Outbox
from server.signalling.server_messages import WELCOME, encode_error
from server.signalling.vocabulary import TYPES, parse_chunk, parse_message
from server.web.admission import FORBIDDEN
from server.web.client import Client
from server.web.delivery import Delivery
from server.web.origins import client_of, is_own_page

SILENCE_SECONDS = 2.5 * PING_SECONDS  # two pings were missed
LOOKED_AT, LOOKS = 1_024, 4  # sockets that are looked at in each tick, at least, or this part of all
MAX_MALFORMED = 3  # a client that sends more is not our page

# Close code -> what becomes of the visitor. With any other code the visitor has left: it chose to, or it
# broke a rule. So nobody escapes a report by ending a call in an unusual way.
OUTCOMES = {
    close_codes.LOST: "lost",
    close_codes.SILENT: "lost",
    close_codes.LOADING: "loading",
    close_codes.GOING_AWAY: "loading",
    close_codes.INTERNAL_ERROR: "vanished",
    close_codes.RESTART: "vanished",
    close_codes.TOO_SLOW: "vanished",
}


class Hub(Delivery):
    """The ASGI application behind /ws: it lets browsers in, reads what they say, and ends what is over."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        rules = self.admission.rules
        if not is_own_page(scope, rules.origins):
            for event in FORBIDDEN:
                await send(event)
            return
        fits = PROTOCOL in scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL if fits else None})
        address = client_of(scope, rules.proxies)
        ip = self.admission.counted_ip(address)
        client = Client(scope["state"]["websocket"].take_over(), address, ip, self.clock())
        code = self.refusal_code(client) if fits else close_codes.WRONG_SUBPROTOCOL
        if code is None and not rules.is_logged_in(scope):
            code = close_codes.PASSWORD_REQUIRED
        if code is not None:
            self.close_client(client, code)
            return
        self.admit(client)

    def may_request(self, scope: Scope) -> bool:
        """Whether a request of any kind is answered: its address may not ask too often."""
        may = self.admission.may_request(scope, self.clock())
        if not may:
            self.metrics.increment("connection", "too many requests")
        return may

    def refusal_code(self, client: Client) -> int | None:
        """The close code for a browser that may not connect; None: it may."""
        if client.address is not None and self.bans.covers(client.address, self.wall()):
            return close_codes.BANNED
        if self.lobby.draining and not self.resumable:
            return close_codes.RESTART
        sockets = len(self.clients) + len(self.resumable)
        return self.admission.refusal_code(client.ip, sockets)

    def admit(self, client: Client) -> None:
        """From now on the client is heard, until its socket ends."""
        self.clients.add(client)
        self.admission.count_page(client.ip)
        client.websocket.send_message(WELCOME)
        client.websocket.listen(partial(self.on_frame, client), partial(self.on_closed, client), client.flush)

    def on_frame(self, client: Client, frame: str | bytes) -> None:
        """One message. A refused one is answered with an error; after too many the socket is closed."""
        now = self.clock()
        if client.visitor is not None:
            client.last_heard = now  # other messages before `hello` do not extend its time
        try:
            if isinstance(frame, bytes):
                self.on_chunk(client, frame, now)
            else:
                self.count_message(client)
                self.on_message(client, frame, now)
        except MessageError as refused:
            self.send_error(client, refused, now)
        except Exception as failure:
            self.report_failure(failure)
            self.close_client(client, close_codes.INTERNAL_ERROR)

    def count_message(self, client: Client) -> None:
        if client.visitor is not None:
            client.visitor.heard += 1  # before it is looked at: what was refused has arrived, too

    def on_chunk(self, client: Client, frame: bytes, now: float) -> None:
        in_time = client.chunk_limit.spend(now)
        if client.visitor is not None and not in_time:
            self.apply(self.lobby.cancel_picture(client.visitor))
        if client.visitor is None or not in_time:
            raise MessageError("wrong_state" if in_time else "too_fast")
        self.apply(self.lobby.receive(client.visitor, parse_chunk(frame), now))

    def on_message(self, client: Client, frame: str, now: float) -> None:
        size = len(frame)
        if not (client.message_limit.spend(now) and client.size_limit.spend(now, size)):
            raise MessageError("too_fast")
        if not self.admission.may_send(client.ip, size, now):
            raise MessageError("too_fast")
        message = parse_message(frame)
        self.metrics.increment("message", TYPES[type(message)])
        if isinstance(message, Text) and not client.text_limit.spend(now):
            raise MessageError("too_fast", message.id)
        if isinstance(message, Ping) and message.heard is not None:
            client.outbox.confirm(message.heard)
        if client.visitor is not None:
            self.apply(self.lobby.receive(client.visitor, message, now))
        elif isinstance(message, Hello):
            self.on_hello(client, message, now)
        else:
            raise MessageError("wrong_state", message.id)

    def on_hello(self, client: Client, hello: Hello, now: float) -> None:
        """A new visitor; or one who comes back, and gets what was sent meanwhile."""
        is_new = not self.lobby.knows(hello)
        if self.lobby.draining and is_new:
            self.close_client(client, close_codes.RESTART)
            return
        if is_new and not self.admission.may_be_new(client.ip, now):
            self.close_client(client, close_codes.TOO_MANY)
            return
        country = self.geo.country(client.address) if self.geo and client.address else None
        visitor, reply, effects = self.lobby.join(hello, client.address, country, now)
        before = self.by_visitor.get(visitor.id)
        if before is not None:
            client.outbox, before.outbox = before.outbox, Outbox()
            self.close_client(before, close_codes.REPLACED)
        elif visitor.id in self.resumable:
            client.outbox = self.take_resumable(visitor.id)
        client.visitor, client.last_heard = visitor, now
        self.by_visitor[visitor.id] = client
        client.outbox.resume(0 if is_new and hello.heard is not None else hello.heard)
        client.outbox.greet(reply)
        client.flush()
        self.apply(effects)

    def send_error(self, client: Client, refused: MessageError, now: float) -> None:
        self.metrics.increment("refused", refused.code)
        self.send(client, encode_error(refused.code, refused.id))
        if refused.code in MALFORMED:
            client.malformed += 1
            if client.malformed >= MAX_MALFORMED:
                self.close_client(client, close_codes.MALFORMED)
        elif refused.code == "too_fast" and not client.refusal_limit.allows_one_more(now):
            self.close_client(client, close_codes.TOO_MANY)

    def on_closed(self, client: Client, code: int) -> None:
        """A socket has ended. Its visitor has left, or vanished, or may come back for a while."""
        self.clients.discard(client)
        visitor, now = client.visitor, self.clock()
        if visitor is None or self.by_visitor.get(visitor.id) is not client:
            self.admission.count_page(client.ip, -1)
            return
        del self.by_visitor[visitor.id]
        how = OUTCOMES.get(code, "left")
        comes_back = {"lost": visitor.state != "idle", "loading": visitor.room is not None}
        if comes_back.get(how):
            self.resumable[visitor.id] = client.outbox, client.ip
            self.apply(self.lobby.suspend(visitor, now, loading=how == "loading"))
            return
        self.admission.count_page(client.ip, -1)
        gone = {"lost": "vanished", "loading": "left"}  # one that has nothing to come back to
        self.apply(self.lobby.leave(visitor, gone.get(how, how), now))

    def tick(self) -> None:
        """Do what is due. Call it a few times a second."""
        now = self.clock()
        self.close_silent(now)
        self.apply(self.lobby.tick(now))
        if self.bans.refresh():
            self.close_banned()

    def close_silent(self, now: float) -> None:
        """Close the sockets that have said nothing for too long: of thousands, a part at each look."""
        if not self.unlooked:
            self.unlooked = list(self.clients)
        some = max(LOOKED_AT, len(self.clients) // LOOKS)
        no_hello, silent = now - HELLO_SECONDS, now - SILENCE_SECONDS
        for client in self.unlooked[-some:]:
            heard = client.last_heard
            if heard < no_hello and (heard < silent or client.visitor is None):
                self.close_client(client, close_codes.SILENT)
        del self.unlooked[-some:]

    def close_banned(self) -> None:
        """Close the sockets whose address is banned, because the ban list has changed."""
        self.on_bans()
        wall = self.wall()
        for client in list(self.clients):
            if client.visitor is None and client.address and self.bans.covers(client.address, wall):
                self.close_client(client, close_codes.BANNED)
        self.apply(self.lobby.kick_banned(lambda address: self.bans.covers(address, wall), self.clock()))

    def replace_relay(self, host: str) -> None:
        """A relay has died: calls that may use it hear of others."""
        self.apply(self.lobby.replace_relay(host))

    def drain(self) -> None:
        """Admit nobody new; calls go on."""
        self.apply(self.lobby.drain(self.clock()))
        for client in list(self.clients):
            if client.visitor is None:
                self.close_client(client, close_codes.RESTART)

    def close(self) -> None:
        """End everything."""
        self.apply(self.lobby.close(self.clock()))
        for client in list(self.clients):
            self.close_client(client, close_codes.RESTART)
