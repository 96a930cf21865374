"""A connection inside TLS: OpenSSL reads from buffers of ours, a little at a time."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from select import EPOLLIN, EPOLLONESHOT, EPOLLOUT
from socket import socket
from time import monotonic

from turn.engines.loop.epoll import Epoll
from turn.engines.tcp.connection import NOT_YET, WHOLE_FRAME, Connection
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.flows import Address

HANDSHAKE_SECONDS = 5.0  # seconds
READ_TLS = 4 << 10  # bytes of TLS per turn: of records that hold nothing (key updates), no more than 150
MAX_WITHOUT_DATA = 32 << 10  # bytes of TLS without any data, a handshake's too: who sends more is no client


class TlsConnection(Connection):
    """A connection inside TLS. OpenSSL never sees the socket, where records that hold nothing could keep it
    reading for ever."""

    __slots__ = ("handshakes", "incoming", "outgoing", "tls", "without_data")

    def __init__(
        self,
        epoll: Epoll,
        sock: socket,
        here: Address,
        there: Address,
        context: ssl.SSLContext,
        turnstile: HandshakeQueue,
    ) -> None:
        super().__init__(epoll, sock, here, there)
        self.handshakes = turnstile
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.without_data = 0

    def start_reading(
        self, on_allocation: Callable[[], None], on_close: Callable[[Connection], None]
    ) -> None:
        self.on_allocation, self.on_close = on_allocation, on_close
        self.read_by = monotonic() + HANDSHAKE_SECONDS
        self.epoll.register(self.sock, self.queue_handshake)

    def queue_handshake(self, _most: int) -> None:
        """The handshake goes on in its turn; until then epoll need not tell of it again."""
        if self.handshakes.add(self.continue_handshake):
            self.epoll.modify(self.sock, EPOLLONESHOT)

    def continue_handshake(self) -> None:
        """As much of the handshake as is there."""
        try:
            if self.queue is not None:
                self.flush_queue(self.queue)
            self.receive_encrypted()
            try:
                self.tls.do_handshake()
            finally:
                self.send_outgoing()  # an alert too
        except NOT_YET:
            self.rearm()
            return
        except OSError:
            self.close()
            return
        except Exception:
            self.close()
            raise
        self.read_by = monotonic() + WHOLE_FRAME
        self.epoll.readers[self.sock.fileno()] = self.on_readable
        self.rearm()
        self.on_readable(1)

    def rearm(self) -> None:
        self.epoll.modify(self.sock, EPOLLIN if self.queue is None else EPOLLIN | EPOLLOUT)

    def receive_encrypted(self) -> None:
        """Some of what the client sent, still sealed. Raises OSError, at the stream's end too."""
        data = self.sock.recv(READ_TLS)
        self.without_data += len(data)
        if not data or self.without_data > MAX_WITHOUT_DATA:
            raise ConnectionResetError
        self.incoming.write(data)

    def receive_into(self, room: memoryview) -> int:
        """What one record holds. Raises OSError, at the stream's end too."""
        try:
            size = self.decrypt(room)
        except ssl.SSLWantReadError:
            self.receive_encrypted()
            size = self.decrypt(room)
        if not size:
            raise ConnectionResetError
        self.without_data = 0
        return size

    def decrypt(self, room: memoryview) -> int:
        """Raises OSError."""
        try:
            return self.tls.read(len(room), room)  # type: ignore[return-value]
        finally:
            self.send_outgoing()

    def send_outgoing(self) -> None:
        """What TLS itself has to say; while something waits, it goes with the next packet. Raises OSError."""
        if self.queue is None and self.outgoing.pending:
            self.send_now(self.outgoing.read())
        elif self.outgoing.pending > MAX_WITHOUT_DATA:
            raise ConnectionResetError

    def encrypt(self, data: bytes | memoryview) -> bytes:
        at = 0
        while at < len(data):  # a record at a time
            at += self.tls.write(data[at:])
        return self.outgoing.read()

    def has_buffered(self) -> bool:
        return self.tls.pending() > 0 or self.incoming.pending > 0

    def close(self) -> None:
        self.handshakes.remove(self.continue_handshake)
        super().close()
