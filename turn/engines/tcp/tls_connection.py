"""A connection inside TLS: OpenSSL reads from buffers of ours, a little at a time."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from select import EPOLLIN, EPOLLONESHOT, EPOLLOUT
from socket import socket
from time import monotonic

from turn.engines.loop.epoll import Epoll
from turn.engines.tcp.connection import NOT_YET, WHOLE_FRAME, Connection
from turn.engines.tcp.handshake_queue import Turnstile
from turn.flows import Address

HANDSHAKE = 5.0  # seconds
SEALED = 4 << 10  # bytes of TLS per turn: of records that hold nothing (key updates), no more than 150
FRUITLESS = 32 << 10  # bytes of TLS without any data, a handshake's too: who sends more is no client


class Encrypted(Connection):
    """A connection inside TLS. OpenSSL never sees the socket, where records that hold nothing could keep it
    reading for ever."""

    __slots__ = ("fruitless", "incoming", "outgoing", "tls", "turnstile")

    def __init__(
        self,
        epoll: Epoll,
        sock: socket,
        here: Address,
        there: Address,
        context: ssl.SSLContext,
        turnstile: Turnstile,
    ) -> None:
        super().__init__(epoll, sock, here, there)
        self.turnstile = turnstile
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.fruitless = 0

    def start(self, settled: Callable[[], None], left: Callable[[Connection], None]) -> None:
        self.settled, self.left = settled, left
        self.read_by = monotonic() + HANDSHAKE
        self.epoll.watch(self.sock, self.wait)

    def wait(self, _most: int) -> None:
        """The handshake goes on in its turn; until then epoll need not tell of it again."""
        if self.turnstile.enter(self.shake):
            self.epoll.heed(self.sock, EPOLLONESHOT)

    def shake(self) -> None:
        """As much of the handshake as is there."""
        try:
            if self.outbox is not None:
                self.flush(self.outbox)
            self.fetch()
            try:
                self.tls.do_handshake()
            finally:
                self.answer()  # an alert too
        except NOT_YET:
            self.listen()
            return
        except OSError:
            self.close()
            return
        except Exception:
            self.close()
            raise
        self.read_by = monotonic() + WHOLE_FRAME
        self.epoll.drains[self.sock.fileno()] = self.drain
        self.listen()
        self.drain(1)

    def listen(self) -> None:
        self.epoll.heed(self.sock, EPOLLIN if self.outbox is None else EPOLLIN | EPOLLOUT)

    def fetch(self) -> None:
        """Some of what the client sent, still sealed. Raises OSError, at the stream's end too."""
        data = self.sock.recv(SEALED)
        self.fruitless += len(data)
        if not data or self.fruitless > FRUITLESS:
            raise ConnectionResetError
        self.incoming.write(data)

    def read(self, room: memoryview) -> int:
        """What one record holds. Raises OSError, at the stream's end too."""
        try:
            size = self.unseal(room)
        except ssl.SSLWantReadError:
            self.fetch()
            size = self.unseal(room)
        if not size:
            raise ConnectionResetError
        self.fruitless = 0
        return size

    def unseal(self, room: memoryview) -> int:
        """Raises OSError."""
        try:
            return self.tls.read(len(room), room)  # type: ignore[return-value]
        finally:
            self.answer()

    def answer(self) -> None:
        """What TLS itself has to say; while something waits, it goes with the next packet. Raises OSError."""
        if self.outbox is None and self.outgoing.pending:
            self.send_now(self.outgoing.read())
        elif self.outgoing.pending > FRUITLESS:
            raise ConnectionResetError

    def seal(self, data: bytes | memoryview) -> bytes:
        at = 0
        while at < len(data):  # a record at a time
            at += self.tls.write(data[at:])
        return self.outgoing.read()

    def holds_more(self) -> bool:
        return self.tls.pending() > 0 or self.incoming.pending > 0

    def close(self) -> None:
        self.turnstile.leave(self.shake)
        super().close()
