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
from turn.engines.loop.trusted_proxies import TrustedProxies
from turn.engines.table import LinkedClient
from turn.engines.tcp.connection import Connection, ConnectionSender
from turn.engines.tcp.connection_limits import ConnectionLimits, Slot
from turn.engines.tcp.first_bytes import PendingConnection
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.engines.tcp.tls_connection import TlsConnection
from turn.engines.transmit import Transmit
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader

ACCEPTS = 16  # per turn: a flood of connections keeps nobody waiting
HANDSHAKE_SECONDS = (
    0.8  # seconds in which one that has begun may end; who begins anew waits a second (RFC 6298 §2)
)
PAUSE = 0.1  # seconds without accepting, when the system has no descriptor left
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """A listener for connections, with all that came in by it; see Listener for its verbs. With a context
    it speaks TLS: to everybody where its address says so, else to who begins with it."""

    def __init__(
        self,
        epoll: Epoll,
        address: Address,
        sock: socket,
        tally: ConnectionLimits,
        turnstile: HandshakeQueue,
        context: ssl.SSLContext | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        self.limits = tally
        self.handshakes = turnstile
        self.context = context
        self.proxies = proxies
        self.detects = context is not None and address.transport == "tcp"
        self.admit = self.read_first_bytes if self.detects or proxies else self.admit_client
        self.pending: dict[PendingConnection, Slot | None] = {}
        self.connections: dict[tuple[Address, Address], Connection] = {}  # by client and our address
        epoll.register(self.sock, self.accept_some)
        epoll.shared_readers.append(self.accept_some)
        epoll.ticks.append(self.close_overdue)

    def accept_some(self, _most: int) -> None:
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
            self.admit(sock, self.client_address(there))

    def client_address(self, sockaddr: tuple[str, int]) -> Address:
        return sockets.address(sockaddr[:2])._replace(transport=self.address.transport)

    def admit_client(self, sock: socket, there: Address) -> None:
        """A client that is known by its own address."""
        seat = self.limits.acquire(there.ip)
        if seat is None:
            sock.close()
        else:
            self.add_connection(sock, there, seat)

    def read_first_bytes(self, sock: socket, there: Address) -> None:
        """Somebody of whom more must be known."""
        is_proxied = self.proxies is not None and self.proxies.includes(there)
        if not is_proxied and not self.detects:
            self.admit_client(sock, there)
            return
        seat = self.limits.acquire_for_proxy(there.ip) if is_proxied else self.limits.acquire(there.ip)
        if seat is None:
            sock.close()
            return
        arrival = PendingConnection(self.epoll, sock, there, is_proxied=is_proxied, detects=self.detects)
        self.pending[arrival] = seat
        arrival.inspect(self)

    def client_named(self, arrival: PendingConnection) -> bool:
        """See Host."""
        self.give_back(self.pending[arrival])
        self.pending[arrival] = self.limits.acquire(arrival.there.ip)
        return self.pending[arrival] is not None

    def identified(self, arrival: PendingConnection, *, is_tls: bool) -> None:
        """See Host."""
        seat = self.pending.pop(arrival)
        assert seat is not None, "who has none was dismissed"
        there = arrival.there._replace(transport="tls") if is_tls else arrival.there
        self.add_connection(arrival.sock, there, seat, arrival.proxy_ip)

    def rejected(self, arrival: PendingConnection, bad: BadHeader | None) -> None:
        """See Host."""
        self.give_back(self.pending.pop(arrival))
        if bad is not None and self.proxies is not None:
            self.proxies.log_refusal(bad)

    def give_back(self, seat: Slot | None) -> None:
        if seat is not None:
            self.limits.give_back(seat)

    def add_connection(self, sock: socket, there: Address, seat: Slot, way: bytes = b"") -> None:
        """A client of ours. One that comes from the same place has lost the connection that it had; but who
        seems to, and comes another way, is somebody else behind the same NAT, and the first one stays."""
        try:
            connection = self.make_connection(sock, there)
        except OSError:  # gone already
            connection = None
        before = self.connections.get((connection.there, connection.here)) if connection else None
        if connection is None or (before is not None and before.proxy_ip != way):
            sock.close()
            self.limits.give_back(seat)
            return
        if before is not None:
            before.close()
        connection.proxy_ip = way
        self.connections[connection.there, connection.here] = connection
        connection.start_reading(
            partial(self.limits.mark_allocated, seat), partial(self.connection_closed, seat)
        )

    def make_connection(self, sock: socket, there: Address) -> Connection:
        """Raises OSError."""
        sockets.set_tcp_options(sock)
        here = sockets.address(sock.getsockname()[:2])._replace(transport=self.address.transport)
        if self.context is None or there.transport == "tcp":
            return Connection(self.epoll, sock, here, there)
        if not self.limits.may_handshake(there.ip):
            raise ConnectionRefusedError
        return TlsConnection(self.epoll, sock, here, there, self.context, self.handshakes)

    def connection_closed(self, seat: Slot, connection: Connection) -> None:
        self.limits.give_back(seat)
        key = (connection.there, connection.here)
        del self.connections[key]
        if connection.has_punted:
            self.epoll.report_lost_later(*key)

    def pause(self) -> None:
        """Else epoll would say at once, and again, that somebody waits."""
        self.epoll.modify(self.sock, 0)
        get_running_loop().call_later(PAUSE, self.resume)

    def resume(self) -> None:
        if self.sock.fileno() >= 0:
            self.epoll.modify(self.sock, EPOLLIN)

    def close_overdue(self, now: float) -> None:
        """Close what has taken too long."""
        for connection in [one for one in self.connections.values() if one.is_overdue(now)]:
            connection.close()
        for arrival in [one for one in self.pending if one.is_overdue(now)]:
            arrival.close()

    def link_client(self, client: LinkedClient) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = client
            connection.mark_allocated()
            client.send = ConnectionSender(connection)

    def unlink_client(self, client: LinkedClient) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = None

    def sender(self, here: Address, there: Address) -> Transmit:
        connection = self.connections.get((there, here))
        return connection.send if connection else nobody

    def close(self) -> None:
        for arrival in list(self.pending):
            arrival.close()
        for connection in list(self.connections.values()):
            connection.on_close = lambda _connection: None
            connection.close()
        self.connections.clear()
        self.close_listener()

    def pin_client(self, _owner: tuple[Address, Address]) -> None:
        """A connection comes to us anyway."""

    def unpin_client(self, _owner: tuple[Address, Address]) -> None:
        """And goes on to."""

    def stop_accepting(self) -> None:
        """Take no new connections; to close at once would reset those that wait, and those half made."""
        sockets.drop_new_handshakes(self.sock)
        get_running_loop().call_later(HANDSHAKE_SECONDS, self.accept_rest_and_close)

    def accept_rest_and_close(self) -> None:
        if self.sock.fileno() >= 0:
            for _ in range(0, sockets.BACKLOG, ACCEPTS):
                self.accept_some(ACCEPTS)
            self.sock.shutdown(SHUT_RDWR)  # whoever else has it open
            self.close_listener()

    def close_listener(self) -> None:
        if self.sock.fileno() >= 0:
            self.epoll.shared_readers.remove(self.accept_some)
            self.epoll.close_socket(self.sock)


def nobody(_data: memoryview) -> None:
    """The way to a client that has gone."""
