"""Where clients come in over TCP and TLS: who is let in, and who has taken too long."""

from __future__ import annotations

import errno
import ssl
from asyncio import get_running_loop
from functools import partial
from select import EPOLLIN
from socket import SHUT_RDWR, socket

from turn.engines.loop import sockets
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.trusted_proxies import Proxies
from turn.engines.table import Client
from turn.engines.tcp.connection import Connection, Together
from turn.engines.tcp.connection_limits import Seat, Tally
from turn.engines.tcp.first_bytes import Arrival
from turn.engines.tcp.handshake_queue import Turnstile
from turn.engines.tcp.tls_connection import Encrypted
from turn.engines.transmit import Transmit
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader

ACCEPTS = 16  # per turn: a flood of connections keeps nobody waiting
HANDSHAKE = 0.8  # seconds in which one that has begun may end; who begins anew waits a second (RFC 6298 §2)
PAUSE = 0.1  # seconds without accepting, when the system has no descriptor left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """A listener for connections, with all that came in by it; see Listener for its verbs. With a context
    it speaks TLS: to everybody where its address says so, else to who begins with it."""

    def __init__(
        self,
        epoll: Epoll,
        address: Address,
        sock: socket,
        tally: Tally,
        turnstile: Turnstile,
        context: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        self.tally = tally
        self.turnstile = turnstile
        self.context = context
        self.proxies = proxies
        self.detects = context is not None and address.transport == "tcp"
        self.admit = self.meet if self.detects or proxies else self.seat
        self.arrivals: dict[Arrival, Seat | None] = {}
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
            self.admit(sock, self.caller(there))

    def caller(self, sockaddr: tuple[str, int]) -> Address:
        return sockets.address(sockaddr[:2])._replace(transport=self.address.transport)

    def seat(self, sock: socket, there: Address) -> None:
        """A client that is known by its own address."""
        seat = self.tally.enter(there.ip)
        if seat is None:
            sock.close()
        else:
            self.welcome(sock, there, seat)

    def meet(self, sock: socket, there: Address) -> None:
        """Somebody of whom more must be known."""
        is_proxied = self.proxies is not None and self.proxies.include(there)
        if not is_proxied and not self.detects:
            self.seat(sock, there)
            return
        seat = self.tally.knock(there.ip) if is_proxied else self.tally.enter(there.ip)
        if seat is None:
            sock.close()
            return
        arrival = Arrival(self.epoll, sock, there, is_proxied=is_proxied, detects=self.detects)
        self.arrivals[arrival] = seat
        arrival.start(self)

    def name(self, arrival: Arrival) -> bool:
        """See Host."""
        self.give_back(self.arrivals[arrival])
        self.arrivals[arrival] = self.tally.enter(arrival.there.ip)
        return self.arrivals[arrival] is not None

    def settle(self, arrival: Arrival, *, is_tls: bool) -> None:
        """See Host."""
        seat = self.arrivals.pop(arrival)
        assert seat is not None, "who has none was dismissed"
        there = arrival.there._replace(transport="tls") if is_tls else arrival.there
        self.welcome(arrival.sock, there, seat, arrival.way)

    def dismiss(self, arrival: Arrival, bad: BadHeader | None) -> None:
        """See Host."""
        self.give_back(self.arrivals.pop(arrival))
        if bad is not None and self.proxies is not None:
            self.proxies.refuse(bad)

    def give_back(self, seat: Seat | None) -> None:
        if seat is not None:
            self.tally.leave(seat)

    def welcome(self, sock: socket, there: Address, seat: Seat, way: bytes = b"") -> None:
        """A client of ours. One that comes from the same place has lost the connection that it had; but who
        seems to, and comes another way, is somebody else behind the same NAT, and the first one stays."""
        try:
            connection = self.connect(sock, there)
        except OSError:  # gone already
            connection = None
        before = self.connections.get((connection.there, connection.here)) if connection else None
        if connection is None or (before is not None and before.way != way):
            sock.close()
            self.tally.leave(seat)
            return
        if before is not None:
            before.close()
        connection.way = way
        self.connections[connection.there, connection.here] = connection
        connection.start(partial(self.tally.speak, seat), partial(self.leave, seat))

    def connect(self, sock: socket, there: Address) -> Connection:
        """Raises OSError."""
        sockets.tune(sock)
        here = sockets.address(sock.getsockname()[:2])._replace(transport=self.address.transport)
        if self.context is None or there.transport == "tcp":
            return Connection(self.epoll, sock, here, there)
        if not self.tally.may_shake(there.ip):
            raise ConnectionRefusedError
        return Encrypted(self.epoll, sock, here, there, self.context, self.turnstile)

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
        for arrival in [one for one in self.arrivals if one.is_overdue(now)]:
            arrival.close()

    def greet(self, client: Client) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = client
            connection.settle()
            client.send = Together(connection)

    def part(self, client: Client) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = None

    def sender(self, here: Address, there: Address) -> Transmit:
        connection = self.connections.get((there, here))
        return connection.send if connection else nobody

    def close(self) -> None:
        for arrival in list(self.arrivals):
            arrival.close()
        for connection in list(self.connections.values()):
            connection.left = lambda _connection: None
            connection.close()
        self.connections.clear()
        self.shut()

    def keep(self, _owner: tuple[Address, Address]) -> None:
        """A connection comes to us anyway."""

    def release(self, _owner: tuple[Address, Address]) -> None:
        """And goes on to."""

    def withdraw(self) -> None:
        """Take no new connections; to close at once would reset those that wait, and those half made."""
        sockets.no_handshakes(self.sock)
        get_running_loop().call_later(HANDSHAKE, self.end)

    def end(self) -> None:
        if self.sock.fileno() >= 0:
            for _ in range(0, sockets.BACKLOG, ACCEPTS):
                self.drain(ACCEPTS)
            self.sock.shutdown(SHUT_RDWR)  # whoever else has it open
            self.shut()

    def shut(self) -> None:
        if self.sock.fileno() >= 0:
            self.epoll.crowded.remove(self.drain)
            self.epoll.drop(self.sock)


def nobody(_data: memoryview) -> None:
    """The way to a client that has gone."""
