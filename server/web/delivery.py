"""What the lobby has decided is done to the sockets of browsers, and to what waits for lost ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from server.signalling import close_codes
from server.signalling.effects import (
    CallEnded,
    CallLost,
    CallNews,
    CallVouched,
    CloseSocket,
    CountEvent,
    DropPicture,
    Effect,
    KeepPlace,
    NamesEnded,
    SendTo,
)
from server.signalling.lobby import Lobby
from server.signalling.outbox import Outbox
from server.store import StoreError
from server.store.bans import Bans
from server.store.call_log import CallLog
from server.store.geo import Database
from server.web.admission import Admission
from server.web.client import Client
from server.web.failures import log_failure
from server.web.metrics import ServerMetrics


@dataclass(eq=False)
class Delivery:
    """Every open socket.

    `resumable` holds what waits for visitors whose socket was lost, and the address that each counts for.
    `on_call_news` and `on_bans` hear what the relays are to know.
    """

    lobby: Lobby
    admission: Admission
    bans: Bans
    call_log: CallLog
    metrics: ServerMetrics
    geo: Database | None = None
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    on_call_news: Callable[[CallNews], object] = lambda news: None
    on_bans: Callable[[], object] = lambda: None
    clients: set[Client] = field(default_factory=set)
    unlooked: list[Client] = field(default_factory=list)  # of them, whose silence is looked at next
    by_visitor: dict[str, Client] = field(default_factory=dict)
    resumable: dict[str, tuple[Outbox, bytes | None]] = field(default_factory=dict)

    def take_resumable(self, visitor: str) -> Outbox:
        outbox, ip = self.resumable.pop(visitor)
        self.admission.count_page(ip, -1)
        return outbox

    def send(self, client: Client, data: str | bytes, picture: int | None = None) -> None:
        """Send now, or when the browser has read what waits. If too much waits, the socket is closed."""
        if client.outbox.push(data, picture):
            client.flush()
        else:
            client.outbox.clear()
            self.close_client(client, close_codes.TOO_SLOW)

    def close_client(self, client: Client, code: int) -> None:
        if not client.websocket.close_sent:
            self.metrics.increment("closed", str(code))
            client.websocket.close_with(code)

    def apply(self, effects: Iterable[Effect]) -> None:
        """Do what the lobby decided, and what follows from that."""
        queue = deque(effects)
        while queue:
            match queue.popleft():
                case SendTo(visitor, data, picture):
                    queue.extend(self.send_to(visitor, data, picture))
                case KeepPlace(visitor):
                    self.resumable[visitor] = Outbox(), None
                case DropPicture(visitor, picture):
                    self.outbox_of(visitor).drop_picture(picture)
                case CloseSocket(visitor, code):
                    self.close_visitor(visitor, code)
                case CallEnded() as call:
                    if call.connected:
                        self.log_call(call.seconds)
                    self.metrics.record(call)
                case CountEvent() as count:
                    self.metrics.record(count)
                case CallVouched() | NamesEnded() | CallLost() as news:
                    self.on_call_news(news)

    def log_call(self, seconds: float) -> None:
        """If the disk is full, the row is lost, but no call ends."""
        try:
            self.call_log.add(self.wall() - seconds, seconds, self.clock())
        except StoreError as failure:
            self.report_failure(failure)

    def report_failure(self, failure: Exception) -> None:
        log_failure(failure)
        self.metrics.increment("failure")

    def send_to(self, visitor: str, data: str | bytes, picture: int | None) -> list[Effect]:
        """To a visitor's socket, or into what waits for its return. If that is too much, the visit ends."""
        client = self.by_visitor.get(visitor)
        if client is not None:
            self.send(client, data, picture)
        elif visitor in self.resumable and not self.resumable[visitor][0].push(data, picture):
            self.take_resumable(visitor)
            lost = self.lobby.visitors.get(visitor)
            return self.lobby.leave(lost, "vanished", self.clock()) if lost else []
        return []

    def outbox_of(self, visitor: str) -> Outbox:
        client = self.by_visitor.get(visitor)
        return client.outbox if client is not None else self.resumable.get(visitor, (Outbox(), None))[0]

    def close_visitor(self, visitor: str, code: int) -> None:
        client = self.by_visitor.pop(visitor, None)
        if client is not None:
            self.close_client(client, code)
        elif visitor in self.resumable:
            self.take_resumable(visitor)
