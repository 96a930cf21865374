"""Where a server of this machine hands on who came to its own TLS: a Unix socket, without TLS any more.

Whoever may open it is believed: a PROXY header names the client and the address of ours that it came to.
"""

from __future__ import annotations

from asyncio import get_running_loop
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket

from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import STREAM_BUFFER
from turn.engines.loop.trusted_proxies import Proxies
from turn.engines.tcp.acceptor import HANDSHAKE, Door
from turn.engines.tcp.connection import Connection
from turn.engines.tcp.connection_limits import Tally
from turn.engines.tcp.first_bytes import Arrival
from turn.engines.tcp.handshake_queue import Turnstile
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader, reached_at

INDOOR = Address(b"", 0, "tls")  # among listeners: the one that has no address


class Indoor(Door):
    """Each client is one that came over TLS to an address of this machine."""

    def __init__(self, epoll: Epoll, sock: socket, tally: Tally, turnstile: Turnstile) -> None:
        super().__init__(epoll, INDOOR, sock, tally, turnstile, proxies=Proxies(lambda _ip: True))
        self.reached: dict[socket, Address] = {}  # until it is a connection

    def caller(self, sockaddr: object) -> Address:
        return INDOOR

    def name(self, arrival: Arrival) -> bool:
        """Somebody has to be named."""
        return arrival.there != INDOOR and super().name(arrival)

    def settle(self, arrival: Arrival, *, is_tls: bool) -> None:
        self.reached[arrival.sock] = reached_at(arrival.header, "tls")
        super().settle(arrival, is_tls=is_tls)

    def dismiss(self, arrival: Arrival, _bad: BadHeader | None) -> None:
        self.give_back(self.arrivals.pop(arrival))

    def connect(self, sock: socket, there: Address) -> Connection:
        for buffer in (SO_RCVBUF, SO_SNDBUF):
            sock.setsockopt(SOL_SOCKET, buffer, STREAM_BUFFER)
        return Connection(self.epoll, sock, self.reached.pop(sock), there)

    def withdraw(self) -> None:
        """Whoever knocks anew finds the newer version's; who waits is met."""
        get_running_loop().call_later(HANDSHAKE, self.end)
