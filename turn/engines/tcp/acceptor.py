"""Where clients connect over TCP and TLS: which connections are let in, and which have taken too long."""

from __future__ import annotations

import ssl
from asyncio import get_running_loop
from functools import partial
from select import EPOLLIN
from socket import SHUT_RDWR, socket

from host.accept import PER_TURN, Accepting
from turn.engines.loop import sockets
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.trusted_proxies import TrustedProxies
from turn.engines.table import ClientKey, LinkedClient
from turn.engines.tcp.connection import ClientConnection, ConnectionSender
from turn.engines.tcp.connection_limits import ConnectionLimits, Slot
from turn.engines.tcp.first_bytes import PendingConnection
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.engines.tcp.tls_connection import TlsConnection
from turn.engines.transmit import DISCARD, Outlet
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader

# Seconds in which a TCP handshake that has begun may end; a client that begins one later tries again after a
# second (RFC 6298 §2).
TCP_HANDSHAKE_SECONDS = 0.8


class Acceptor:
    """A TCP listener and all connections that came by it, with the same methods as UdpListener. With a
    `context` it speaks TLS: at a TLS address to all clients, else to those whose first byte is TLS."""

    def __init__(
        self,
        epoll: Epoll,
        address: Address,
        sock: socket,
        limits: ConnectionLimits,
        handshakes: HandshakeQueue,
        context: ssl.SSLContext | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        self.limits = limits
        self.handshakes = handshakes
        self.context = context
        self.proxies = proxies
        self.detects_tls = context is not None and address.transport == "tcp"
        self.admit = self.read_first_bytes if self.detects_tls or proxies else self.admit_client
        self.accepting = Accepting(
            sock,
            lambda accepted, source: self.admit(accepted, self.client_address(source)),
            lambda: epoll.modify(sock, EPOLLIN),
            lambda: epoll.modify(sock, 0),
        )
        self.pending: dict[PendingConnection, Slot | None] = {}
        self.connections: dict[ClientKey, ClientConnection] = {}
        epoll.register_shared(sock, self.accept_some)
        epoll.ticks.append(self.close_overdue)

    def accept_some(self, _most: int) -> None:
        self.accepting.accept_some()

    def client_address(self, sockaddr: tuple[str, int]) -> Address:
        return sockets.address(sockaddr[:2])._replace(transport=self.address.transport)

    def admit_client(self, sock: socket, remote: Address) -> None:
        """A client that is known by its own address."""
        slot = self.limits.acquire(remote.ip)
        if slot is None:
            sock.close()
        else:
            self.add_connection(sock, remote, slot)

    def read_first_bytes(self, sock: socket, remote: Address) -> None:
        """A proxy has to name its client first, or the first byte has to show whether this is TLS."""
        is_proxied = self.proxies is not None and self.proxies.includes(remote)
        if not is_proxied and not self.detects_tls:
            self.admit_client(sock, remote)
            return
        slot = self.limits.acquire_for_proxy(remote.ip) if is_proxied else self.limits.acquire(remote.ip)
        if slot is None:
            sock.close()
            return
        pending = PendingConnection(
            self.epoll, sock, remote, is_proxied=is_proxied, detects_tls=self.detects_tls
        )
        self.pending[pending] = slot
        pending.inspect(self)

    def client_named(self, pending: PendingConnection) -> bool:
        """See PendingHandler."""
        self.give_back(self.pending[pending])
        self.pending[pending] = self.limits.acquire(pending.remote.ip)
        return self.pending[pending] is not None

    def identified(self, pending: PendingConnection, *, is_tls: bool) -> None:
        """See PendingHandler."""
        slot = self.pending.pop(pending)
        assert slot is not None, "a connection without a slot was rejected"
        remote = pending.remote._replace(transport="tls") if is_tls else pending.remote
        self.add_connection(pending.sock, remote, slot, pending.proxy_ip)

    def rejected(self, pending: PendingConnection, bad: BadHeader | None) -> None:
        """See PendingHandler."""
        self.give_back(self.pending.pop(pending))
        if bad is not None and self.proxies is not None:
            self.proxies.log_refusal(bad)

    def give_back(self, slot: Slot | None) -> None:
        if slot is not None:
            self.limits.give_back(slot)

    def add_connection(self, sock: socket, remote: Address, slot: Slot, proxy_ip: bytes = b"") -> None:
        """A client that connects again from the same address has lost its older connection: that is closed.
        But where the new one comes by another proxy, it is another client behind the same NAT, and the older
        connection stays."""
        try:
            connection = self.make_connection(sock, remote)
        except OSError:  # the client has gone already
            connection = None
        older = self.connections.get((connection.remote, connection.local)) if connection else None
        if connection is None or (older is not None and older.proxy_ip != proxy_ip):
            sock.close()
            self.limits.give_back(slot)
            return
        if older is not None:
            older.close()
        connection.proxy_ip = proxy_ip
        self.connections[connection.remote, connection.local] = connection
        try:
            connection.start_reading(
                partial(self.limits.mark_allocated, slot), partial(self.connection_closed, slot)
            )
        except OSError:  # the system watches no more sockets
            connection.close()

    def make_connection(self, sock: socket, remote: Address) -> ClientConnection:
        """Raises OSError."""
        sockets.set_tcp_options(sock)
        local = sockets.address(sock.getsockname()[:2])._replace(transport=self.address.transport)
        if self.context is None or remote.transport == "tcp":
            return ClientConnection(self.epoll, sock, local, remote)
        if not self.limits.may_handshake(remote.ip):
            raise ConnectionRefusedError
        return TlsConnection(self.epoll, sock, local, remote, self.context, self.handshakes)

    def connection_closed(self, slot: Slot, connection: ClientConnection) -> None:
        self.limits.give_back(slot)
        key = (connection.remote, connection.local)
        del self.connections[key]
        if connection.has_punted:
            self.epoll.report_lost_later(*key)

    def close_overdue(self, now: float) -> None:
        """Close each connection that has taken too long."""
        for connection in [one for one in self.connections.values() if one.is_overdue(now)]:
            connection.close()
        for pending in [one for one in self.pending if one.is_overdue(now)]:
            pending.close()

    def link_client(self, client: LinkedClient) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = client
            connection.mark_allocated()
            client.outlet = ConnectionSender(connection)

    def unlink_client(self, client: LinkedClient) -> None:
        connection = self.connections.get((client.address, client.listener))
        if connection is not None:
            connection.client = None

    def sender(self, local: Address, remote: Address) -> Outlet:
        connection = self.connections.get((remote, local))
        return Outlet(connection.send) if connection else DISCARD

    def close(self) -> None:
        for pending in list(self.pending):
            pending.close()
        for connection in list(self.connections.values()):
            connection.on_close = lambda _connection: None
            connection.close()
        self.connections.clear()
        self.epoll.close_socket(self.sock)

    def pin_client(self, _client: ClientKey) -> None:
        """Nothing to do: a connection stays in the process that accepted it."""

    def unpin_client(self, _client: ClientKey) -> None:
        """Nothing to do, for the same reason."""

    def stop_new_clients(self) -> None:
        """To close at once would reset the connections that wait, and those whose handshake has begun."""
        sockets.drop_new_handshakes(self.sock)
        get_running_loop().call_later(TCP_HANDSHAKE_SECONDS, self.accept_rest_and_close)

    def accept_rest_and_close(self) -> None:
        if self.sock.fileno() >= 0:
            for _ in range(0, sockets.BACKLOG, PER_TURN):
                self.accept_some(PER_TURN)
            self.sock.shutdown(SHUT_RDWR)  # another process may have this socket open, too
            self.epoll.close_socket(self.sock)
