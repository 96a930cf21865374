"""A client's connection inside TLS: OpenSSL reads from our buffers, a little at a time."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from select import EPOLLIN, EPOLLONESHOT, EPOLLOUT
from socket import socket
from time import monotonic

from turn.engines.loop.epoll import Epoll
from turn.engines.tcp.connection import NOT_YET, WHOLE_FRAME, ClientConnection
from turn.engines.tcp.handshake_queue import HandshakeQueue
from turn.flows import Address

TLS_HANDSHAKE_SECONDS = 5.0
READ_TLS = 4 << 10  # bytes of TLS per turn: at most 150 records that hold no data (key updates)
MAX_WITHOUT_DATA = 32 << 10  # bytes of TLS that hold no data, handshake included; no real client sends more


class TlsConnection(ClientConnection):
    """A connection inside TLS. OpenSSL never reads from the socket itself: records without data could keep it
    reading for ever."""

    __slots__ = ("handshakes", "incoming", "outgoing", "tls", "without_data")

    def __init__(
        self,
        epoll: Epoll,
        sock: socket,
        local: Address,
        remote: Address,
        context: ssl.SSLContext,
        handshakes: HandshakeQueue,
    ) -> None:
        super().__init__(epoll, sock, local, remote)
        self.handshakes = handshakes
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.without_data = 0

    def start_reading(
        self, on_allocation: Callable[[], None], on_close: Callable[[ClientConnection], None]
    ) -> None:
        self.on_allocation, self.on_close = on_allocation, on_close
        self.read_by = monotonic() + TLS_HANDSHAKE_SECONDS
        self.epoll.register(self.sock, self.queue_handshake)

    def queue_handshake(self, _most: int) -> None:
        """The handshake waits for its turn; until then epoll does not report the socket again."""
        if self.handshakes.add(self.continue_handshake):
            self.epoll.modify(self.sock, EPOLLONESHOT)

    def continue_handshake(self) -> None:
        """Do as much of the handshake as has arrived."""
        try:
            if self.queue is not None:
                self.flush_queue(self.queue)
            self.receive_encrypted()
            try:
                self.tls.do_handshake()
            finally:
                self.send_outgoing()  # also an alert
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
        self.epoll.readers[self.sock.fileno()] = self.on_ready
        self.rearm()
        self.on_ready(1)

    def rearm(self) -> None:
        self.epoll.modify(self.sock, EPOLLIN if self.queue is None else EPOLLIN | EPOLLOUT)

    def receive_encrypted(self) -> None:
        """Read some of what the client sent, still encrypted. Raises OSError, at the stream's end too."""
        data = self.sock.recv(READ_TLS)
        self.without_data += len(data)
        if not data or self.without_data > MAX_WITHOUT_DATA:
            raise ConnectionResetError
        self.incoming.write(data)

    def receive_into(self, room: memoryview) -> int:
        """Read the data of one record. Raises OSError, at the stream's end too."""
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
        """Send what TLS itself has to send; where packets wait, it goes with the next one. Raises OSError."""
        if self.queue is None and self.outgoing.pending:
            self.send_now(self.outgoing.read())
        elif self.outgoing.pending > MAX_WITHOUT_DATA:
            raise ConnectionResetError

    def encrypt(self, data: bytes | memoryview) -> bytes:
        at = 0
        while at < len(data):  # one record at a time
            at += self.tls.write(data[at:])
        return self.outgoing.read()

    def has_buffered(self) -> bool:
        return self.tls.pending() > 0 or self.incoming.pending > 0

    def close(self) -> None:
        self.handshakes.remove(self.continue_handshake)
        super().close()
