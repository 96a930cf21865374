"""Where the web server of this machine passes on TURN clients that came to its TLS port: a Unix socket.

The server has removed TLS already. Every process that may open the socket is trusted: its PROXY header names
the client and our address that the client connected to.
"""

from __future__ import annotations

from asyncio import get_running_loop
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket

from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import STREAM_BUFFER
from turn.engines.loop.trusted_proxies import TrustedProxies
from turn.engines.tcp.acceptor import TCP_HANDSHAKE_SECONDS, Acceptor
from turn.engines.tcp.connection import ClientConnection
from turn.engines.tcp.connection_limits import ConnectionLimits
from turn.engines.tcp.first_bytes import PendingConnection
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader, reached_at

UNIX_LISTENER = Address(b"", 0, "tls")  # among listeners, this one has no IP address


class UnixAcceptor(Acceptor):
    """Each client counts as one that connected over TLS to an address of this machine."""

    def __init__(
        self, epoll: Epoll, sock: socket, limits: ConnectionLimits, handshakes: HandshakeQueue
    ) -> None:
        trusted = TrustedProxies(lambda _ip: True)
        super().__init__(epoll, UNIX_LISTENER, sock, limits, handshakes, proxies=trusted)
        self.reached: dict[socket, Address] = {}  # our address, until a ClientConnection holds it

    def client_address(self, sockaddr: object) -> Address:
        return UNIX_LISTENER

    def client_named(self, pending: PendingConnection) -> bool:
        """A header that names no client is refused."""
        return pending.remote != UNIX_LISTENER and super().client_named(pending)

    def identified(self, pending: PendingConnection, *, is_tls: bool) -> None:
        self.reached[pending.sock] = reached_at(pending.header, "tls")
        super().identified(pending, is_tls=is_tls)

    def rejected(self, pending: PendingConnection, _bad: BadHeader | None) -> None:
        self.give_back(self.pending.pop(pending))

    def make_connection(self, sock: socket, remote: Address) -> ClientConnection:
        for buffer in (SO_RCVBUF, SO_SNDBUF):
            sock.setsockopt(SOL_SOCKET, buffer, STREAM_BUFFER)
        return ClientConnection(self.epoll, sock, self.reached.pop(sock), remote)

    def stop_new_clients(self) -> None:
        """New connections find the socket of the newer version; those that wait here are still accepted."""
        get_running_loop().call_later(TCP_HANDSHAKE_SECONDS, self.accept_rest_and_close)
