"""Where a server of this machine hands on who came to its own TLS: a Unix socket, without TLS any more.

Whoever may open it is believed: a PROXY header names the client and the address of ours that it came to.
"""

from __future__ import annotations

from asyncio import get_running_loop
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket

from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import STREAM_BUFFER
from turn.engines.loop.trusted_proxies import TrustedProxies
from turn.engines.tcp.acceptor import HANDSHAKE_SECONDS, Acceptor
from turn.engines.tcp.connection import Connection
from turn.engines.tcp.connection_limits import ConnectionLimits
from turn.engines.tcp.first_bytes import PendingConnection
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader, reached_at

UNIX_LISTENER = Address(b"", 0, "tls")  # among listeners: the one that has no address


class UnixAcceptor(Acceptor):
    """Each client is one that came over TLS to an address of this machine."""

    def __init__(
        self, epoll: Epoll, sock: socket, tally: ConnectionLimits, turnstile: HandshakeQueue
    ) -> None:
        super().__init__(
            epoll, UNIX_LISTENER, sock, tally, turnstile, proxies=TrustedProxies(lambda _ip: True)
        )
        self.reached: dict[socket, Address] = {}  # until it is a connection

    def client_address(self, sockaddr: object) -> Address:
        return UNIX_LISTENER

    def client_named(self, arrival: PendingConnection) -> bool:
        """Somebody has to be named."""
        return arrival.there != UNIX_LISTENER and super().client_named(arrival)

    def identified(self, arrival: PendingConnection, *, is_tls: bool) -> None:
        self.reached[arrival.sock] = reached_at(arrival.header, "tls")
        super().identified(arrival, is_tls=is_tls)

    def rejected(self, arrival: PendingConnection, _bad: BadHeader | None) -> None:
        self.give_back(self.pending.pop(arrival))

    def make_connection(self, sock: socket, there: Address) -> Connection:
        for buffer in (SO_RCVBUF, SO_SNDBUF):
            sock.setsockopt(SOL_SOCKET, buffer, STREAM_BUFFER)
        return Connection(self.epoll, sock, self.reached.pop(sock), there)

    def stop_accepting(self) -> None:
        """Whoever knocks anew finds the newer version's; who waits is met."""
        get_running_loop().call_later(HANDSHAKE_SECONDS, self.accept_rest_and_close)
