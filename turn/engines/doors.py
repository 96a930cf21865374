"""Where clients come in over TCP and TLS: who is let in, and who has taken too long."""

from __future__ import annotations

import errno
import ssl
from asyncio import get_running_loop
from collections import Counter
from dataclasses import dataclass
from functools import partial
from select import EPOLLIN
from socket import socket

from turn.engines import Streams, sockets
from turn.engines.encrypted import Encrypted
from turn.engines.epoll import Epoll
from turn.engines.gather import Transmit
from turn.engines.streams import Connection
from turn.engines.table import Client
from turn.flows import Address

ACCEPTS = 16  # per turn: a flood of connections keeps nobody waiting
MAX_SILENT = 32  # connections of one address that have not said anything yet
PAUSE = 0.1  # seconds without accepting, when the system has no descriptor left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(slots=True)
class Seat:
    """One connection in the count: whose it is (None: not counted by address), and whether it has said
    nothing yet."""

    name: bytes | None
    silent: bool = True


class Tally:
    """How many connections there are, in all and by address."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.total = 0
        self.held: Counter[bytes] = Counter()
        self.silent: Counter[bytes] = Counter()

    def enter(self, ip: bytes) -> Seat | None:
        """None: no more from there."""
        streams, name = self.streams, self.streams.counted_as(ip)
        if 0 < streams.connections <= self.total:
            return None
        if name is not None:
            if self.silent[name] >= MAX_SILENT or 0 < streams.per_address <= self.held[name]:
                return None
            self.held[name] += 1
            self.silent[name] += 1
        self.total += 1
        return Seat(name)

    def speak(self, seat: Seat) -> None:
        if seat.silent:
            seat.silent = False
            take_one(self.silent, seat.name)

    def leave(self, seat: Seat) -> None:
        self.speak(seat)
        self.total -= 1
        take_one(self.held, seat.name)


def take_one(counts: Counter[bytes], name: bytes | None) -> None:
    if name is not None:
        counts[name] -= 1
        if not counts[name]:
            del counts[name]


class Door:
    """A listener for connections, with all that came in by it; see Listener for its verbs."""

    def __init__(
        self,
        epoll: Epoll,
        address: Address,
        sock: socket,
        tally: Tally,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        self.tally = tally
        self.context = context
        self.connections: dict[tuple[Address, Address], Connection] = {}  # by client and our address
        epoll.watch(self.sock, self.drain)
        epoll.crowded.append(self.drain)
        epoll.ticks.append(self.sweep)

    def drain(self, _most: int) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, there = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.pause()
                    return
                continue  # it has gone again already
            self.admit(sock, sockets.address(there[:2]))

    def admit(self, sock: socket, there: Address) -> None:
        seat = self.tally.enter(there.ip)
        if seat is None:
            sock.close()
            return
        try:
            connection = self.connect(sock, there._replace(transport=self.address.transport))
        except OSError:  # gone already
            sock.close()
            self.tally.leave(seat)
            return
        key = (connection.there, connection.here)
        if key in self.connections:
            self.connections[key].close()
        self.connections[key] = connection
        connection.start(partial(self.tally.speak, seat), partial(self.leave, seat))

    def connect(self, sock: socket, there: Address) -> Connection:
        """Raises OSError."""
        sockets.tune(sock)
        here = sockets.address(sock.getsockname()[:2])._replace(transport=self.address.transport)
        if self.context is None:
            return Connection(self.epoll, sock, here, there)
        return Encrypted(self.epoll, sock, here, there, self.context)

    def leave(self, seat: Seat, connection: Connection) -> None:
        self.tally.leave(seat)
        key = (connection.there, connection.here)
        del self.connections[key]
        if connection.is_known:
            self.epoll.lose_later(*key)

    def pause(self) -> None:
        """Else epoll would say at once, and again, that somebody waits."""
        self.epoll.heed(self.sock, 0)
        get_running_loop().call_later(PAUSE, self.resume)

    def resume(self) -> None:
        if self.sock.fileno() >= 0:
            self.epoll.heed(self.sock, EPOLLIN)

    def sweep(self, now: float) -> None:
        """Close what has taken too long."""
        for connection in [one for one in self.connections.values() if one.is_overdue(now)]:
            connection.close()

    def greet(self, client: Client) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = client
            client.send = connection.send

    def part(self, client: Client) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = None

    def sender(self, here: Address, there: Address) -> Transmit:
        connection = self.connections.get((there, here))
        return connection.send if connection else nobody

    def close(self) -> None:
        for connection in list(self.connections.values()):
            connection.left = lambda _connection: None
            connection.close()
        self.connections.clear()
        self.epoll.drop(self.sock)


def nobody(_data: memoryview) -> None:
    """The way to a client that has gone."""
