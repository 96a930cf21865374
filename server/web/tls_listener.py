"""The TLS listener: the first byte tells whether a client speaks HTTP or TURN."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

from host.accept import BACKLOG, Accepting
from host.tls import Certificate, server_context
from server.store import Network
from server.store.bans import household
from server.web.origins import parse_address

log = logging.getLogger("calln.server")

ALPN = ["http/1.1", "stun.turn"]  # RFC 7301 §6, RFC 7443
STUN_BEFORE = 0x04  # RFC 7983 §7; "GET " looks like a channel, but nobody can have bound one yet
FIRST_BYTE_SECONDS = 10.0  # for the handshake and the first byte after it
MAX_NEWCOMERS = 2_048  # connections that have said nothing yet; a new one closes the oldest
MAX_NEWCOMERS_OF_ONE = 64  # from one address: an office has many browsers, and half-open connections are free
WRITE_BUFFER = 64 << 10  # bytes that may wait for a slow reader, or for a slow relay (asyncio: 512 KiB)
SHUTDOWN_SECONDS = 5.0  # for the client's TLS close

Forward = Callable[[asyncio.Transport, bytes], None]


class TlsListener:
    """Accepts connections, does the TLS handshake, and passes each on to HTTP or to the relay. `count` is
    called with what became of each."""

    def __init__(
        self, listeners: Sequence[socket.socket], forward_turn: Forward, count: Callable[[str], None]
    ) -> None:
        self.listeners = list(listeners)
        self.forward_turn = forward_turn
        self.count = count
        self.context: ssl.SSLContext | None = None  # until there is a certificate
        self.certificate_ends = 0.0  # in seconds since 1970; 0 if the certificate is not valid
        self.newcomers: dict[socket.socket, tuple[Network, asyncio.TimerHandle]] = {}  # the oldest first
        self.newcomers_of: Counter[Network] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self.make_http: Callable[[], asyncio.Protocol]

    def set_certificate(self, certificate: Certificate) -> None:
        """Use this certificate for new connections. Raises BadCertificate, and then nothing changes."""
        self.context = server_context(certificate, ALPN)

    def open(self, http: Callable[[], asyncio.Protocol]) -> None:
        self.make_http = http
        for listener in self.listeners:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self.accept_at(listener)

    def accept_at(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        accepting = Accepting(
            listener,
            lambda sock, source: self.start_handshake(sock, source[0]),
            lambda: loop.add_reader(listener.fileno(), accepting.accept_some),
            lambda: loop.remove_reader(listener.fileno()),
        )
        accepting.resume()

    def start_handshake(self, sock: socket.socket, host: str) -> None:
        address = parse_address(host)
        why = "gone" if address is None else self.refusal_reason(household(address))
        if address is None or why or self.context is None:
            sock.close()
            self.count(why)
            return
        while len(self.newcomers) >= MAX_NEWCOMERS:
            self.drop_silent(next(iter(self.newcomers)))
        loop, home = asyncio.get_running_loop(), household(address)
        self.newcomers[sock] = home, loop.call_later(FIRST_BYTE_SECONDS, self.drop_silent, sock)
        self.newcomers_of[home] += 1
        task = loop.create_task(self.handshake(sock, self.context))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def refusal_reason(self, home: Network) -> str:
        if self.context is None:
            return "no certificate"
        return "too many" if self.newcomers_of[home] >= MAX_NEWCOMERS_OF_ONE else ""

    async def handshake(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(Newcomer, self, sock),
                sock,
                ssl=context,
                ssl_handshake_timeout=FIRST_BYTE_SECONDS + 1,  # ours comes first
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError:
            if self.end_newcomer(sock):
                self.count("no handshake")

    def drop_silent(self, sock: socket.socket) -> None:
        """Close a connection that said nothing for too long. TLS then reads the end of the stream."""
        if self.end_newcomer(sock):
            self.count("silent")
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def end_newcomer(self, sock: socket.socket) -> bool:
        """Forget a newcomer; return whether it was one."""
        known = self.newcomers.pop(sock, None)
        if known is None:
            return False
        home, timer = known
        timer.cancel()
        self.newcomers_of[home] -= 1
        if not self.newcomers_of[home]:
            del self.newcomers_of[home]
        return True

    def on_first_bytes(self, newcomer: Newcomer, data: bytes) -> None:
        """The first bytes have arrived."""
        transport = newcomer.transport
        if not self.end_newcomer(newcomer.sock):
            transport.abort()
        elif data[0] < STUN_BEFORE:
            self.count("turn")
            self.forward_turn(transport, data)
        else:
            self.count("http")
            protocol = self.make_http()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(data)

    def close_listeners(self) -> None:
        """Accept no more connections. Another process may go on with the same sockets; connections stay."""
        for listener in self.listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        self.listeners.clear()

    def close(self) -> None:
        self.close_listeners()
        for sock in list(self.newcomers):
            self.drop_silent(sock)
        for task in list(self.tasks):
            task.cancel()


class Newcomer(asyncio.Protocol):
    """A TLS connection that has sent nothing yet."""

    transport: asyncio.Transport

    def __init__(self, listener: TlsListener, sock: socket.socket) -> None:
        self.listener = listener
        self.sock = sock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        self.listener.on_first_bytes(self, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.listener.end_newcomer(self.sock):
            self.listener.count("silent")
