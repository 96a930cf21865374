"""Pings for all sockets by one timer: a pulled cable is noticed when an answer is missing."""

from __future__ import annotations

import asyncio
from itertools import islice
from secrets import token_bytes
from typing import Protocol

PAYLOAD_BYTES = 4
MOST_AT_ONCE = 8  # pings of one turn: thousands at once would keep everybody waiting
SPACING = 0.002  # seconds between two turns


class Pinged(Protocol):
    """A socket that answers pings."""

    def ping(self, payload: bytes) -> bool:
        """Send a ping; False: the last one was not answered, and the socket is lost."""
        ...


class Keepalive:
    """Pings each socket every `interval` seconds, which is also how long it has for its answer."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.due: dict[Pinged, float] = {}  # when each is pinged next, the first one first
        self.timer: asyncio.TimerHandle | None = None

    def begin(self, socket: Pinged) -> None:
        loop = asyncio.get_running_loop()
        self.due[socket] = loop.time() + self.interval
        if self.timer is None:
            self.timer = loop.call_later(self.interval, self.turn, loop)

    def discard(self, socket: Pinged) -> None:
        self.due.pop(socket, None)

    def turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ping those whose time has come."""
        now = loop.time()
        payload = token_bytes(PAYLOAD_BYTES)  # an answer to an older one does not count
        for socket in [*islice(self.due, MOST_AT_ONCE)]:
            if self.due[socket] > now:
                break
            del self.due[socket]
            if socket.ping(payload):
                self.due[socket] = now + self.interval
        first = next(iter(self.due.values()), None)
        self.timer = None if first is None else loop.call_later(max(first - now, SPACING), self.turn, loop)
