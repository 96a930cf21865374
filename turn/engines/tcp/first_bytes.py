"""A connection whose client is not known yet: a proxy has to name it, or the first byte has to show TLS."""

from __future__ import annotations

from socket import MSG_PEEK, socket
from time import monotonic
from typing import Protocol

from turn.engines.loop.epoll import Epoll
from turn.flows import Address
from turn.wire.proxy_protocol import BadHeader, client_of, header_size

FIRST_BYTES_SECONDS = 5.0  # for the header and the first byte behind it
TLS_HANDSHAKE_RECORD = 22  # TLS begins with this record (RFC 8446 §5.1); no STUN message does (RFC 7983 §7)


class PendingHandler(Protocol):
    """Decides what becomes of a pending connection."""

    def client_named(self, pending: PendingConnection) -> bool:
        """A proxy has named the client; whether it may stay."""

    def identified(self, pending: PendingConnection, *, is_tls: bool) -> None:
        """All is known; from here on the socket is the handler's."""

    def rejected(self, pending: PendingConnection, bad: BadHeader | None) -> None:
        """The connection has been closed; `bad` is the header's mistake, if that was the reason."""


class PendingConnection:
    """Reads what it needs to know and not a byte more, so that the connection then begins as any other."""

    __slots__ = (
        "detects_tls",
        "due",
        "epoll",
        "handler",
        "header",
        "is_proxied",
        "is_registered",
        "proxy_ip",
        "remote",
        "sock",
    )

    def __init__(
        self, epoll: Epoll, sock: socket, remote: Address, *, is_proxied: bool, detects_tls: bool
    ) -> None:
        self.epoll = epoll
        self.sock = sock
        self.remote = remote  # the proxy, until it has named the client
        self.proxy_ip = remote.ip if is_proxied else b""
        self.is_proxied = is_proxied  # and the client is not named yet
        self.detects_tls = detects_tls
        self.header = b""
        self.is_registered = False
        self.due = monotonic() + FIRST_BYTES_SECONDS
        self.handler: PendingHandler

    def inspect(self, handler: PendingHandler) -> None:
        """Mostly all bytes are there already."""
        self.handler = handler
        self.sock.setblocking(False)
        self.read_more(1)

    def read_more(self, _most: int) -> None:
        """Read what has arrived."""
        try:
            if self.is_proxied:
                self.read_header()
            is_tls = self.detects_tls and self.first_byte() == TLS_HANDSHAKE_RECORD
        except BlockingIOError:
            self.wait_for_more()
        except BadHeader as bad:
            self.close(bad)
        except OSError:
            self.close()
        else:
            self.stop_waiting()
            self.handler.identified(self, is_tls=is_tls)

    def read_header(self) -> None:
        """Raises OSError and BadHeader."""
        while missing := header_size(self.header) - len(self.header):
            self.header += not_empty(self.sock.recv(missing))
        self.is_proxied = False
        self.remote = client_of(self.header, self.remote.transport) or self.remote
        if not self.handler.client_named(self):
            raise ConnectionRefusedError

    def first_byte(self) -> int:
        """The byte stays in the socket. Raises OSError."""
        return not_empty(self.sock.recv(1, MSG_PEEK))[0]

    def wait_for_more(self) -> None:
        if self.is_registered:
            return
        try:
            self.epoll.register(self.sock, self.read_more)
        except OSError:  # the system watches no more sockets
            self.close()
        else:
            self.is_registered = True

    def stop_waiting(self) -> None:
        if self.is_registered:
            self.epoll.unregister(self.sock)

    def is_overdue(self, now: float) -> bool:
        return now > self.due

    def close(self, bad: BadHeader | None = None) -> None:
        self.stop_waiting()
        self.sock.close()
        self.handler.rejected(self, bad)


def not_empty(data: bytes) -> bytes:
    """Raises OSError at the stream's end."""
    if not data:
        raise ConnectionResetError
    return data
