"""A connection that is nobody's yet: a proxy has to name the client, or the first byte to show TLS."""

from __future__ import annotations

from socket import MSG_PEEK, socket
from time import monotonic
from typing import Protocol

from turn.engines.loop.epoll import Epoll
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader, client_of, size_of

PATIENCE = 5.0  # seconds for the header and the first byte behind it
HANDSHAKE = 22  # the record that TLS begins with (RFC 8446 §5.1); no STUN message begins so (RFC 7983 §7)


class Host(Protocol):
    """Who lets arrivals in."""

    def name(self, arrival: Arrival) -> bool:
        """A proxy has named the client: whether it may stay."""

    def settle(self, arrival: Arrival, *, is_tls: bool) -> None:
        """All is known; the socket is the host's from here on."""

    def dismiss(self, arrival: Arrival, bad: BadHeader | None) -> None:
        """It has gone, or had to."""


class Arrival:
    """Reads what it needs to know and not a byte more, so that the connection then begins as any other."""

    __slots__ = (
        "detects",
        "due",
        "epoll",
        "header",
        "host",
        "is_proxied",
        "sock",
        "there",
        "watched",
        "way",
    )

    def __init__(
        self, epoll: Epoll, sock: socket, there: Address, *, is_proxied: bool, detects: bool
    ) -> None:
        self.epoll = epoll
        self.sock = sock
        self.there = there  # the client, as far as it is known
        self.way = there.ip if is_proxied else b""  # the proxy that it comes by
        self.is_proxied = is_proxied  # and not yet named
        self.detects = detects
        self.header = b""
        self.watched = False
        self.due = monotonic() + PATIENCE
        self.host: Host

    def start(self, host: Host) -> None:
        """Mostly all is there already."""
        self.host = host
        self.sock.setblocking(False)
        self.drain(1)

    def drain(self, _most: int) -> None:
        """As much as is there."""
        try:
            if self.is_proxied:
                self.read_header()
            is_tls = self.detects and self.first_byte() == HANDSHAKE
        except BlockingIOError:
            self.wait()
        except BadHeader as bad:
            self.close(bad)
        except OSError:
            self.close()
        else:
            self.release()
            self.host.settle(self, is_tls=is_tls)

    def read_header(self) -> None:
        """Raises OSError and BadHeader."""
        while missing := size_of(self.header) - len(self.header):
            self.header += some(self.sock.recv(missing))
        self.is_proxied = False
        self.there = client_of(self.header, self.there.transport) or self.there
        if not self.host.name(self):
            raise ConnectionRefusedError

    def first_byte(self) -> int:
        """It stays to be read. Raises OSError."""
        return some(self.sock.recv(1, MSG_PEEK))[0]

    def wait(self) -> None:
        if not self.watched:
            self.watched = True
            self.epoll.watch(self.sock, self.drain)

    def release(self) -> None:
        if self.watched:
            self.epoll.release(self.sock)

    def is_overdue(self, now: float) -> bool:
        return now > self.due

    def close(self, bad: BadHeader | None = None) -> None:
        self.release()
        self.sock.close()
        self.host.dismiss(self, bad)


def some(data: bytes) -> bytes:
    """Raises OSError at the stream's end."""
    if not data:
        raise ConnectionResetError
    return data
