"""The TLS listener: the first byte tells whether a client speaks HTTP or TURN."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, cast

from host.accept import AsyncioListener
from host.settings import IPAddress
from host.tls import Certificate, server_context
from server.web.connections import ConnectionSlot, WebConnections
from server.web.origins import parse_address
from turn.limits.addresses import AddressCounts
from turn.limits.ledger import LocalUsage

log = logging.getLogger("calln.server")

ALPN = ["http/1.1", "stun.turn"]  # RFC 7301 §6, RFC 7443
STUN_BEFORE = 0x04  # RFC 7983 §7; "GET " looks like a channel, but nobody can have bound one yet
FIRST_BYTE_SECONDS = 10.0  # for the handshake and the first byte after it
MAX_NEWCOMERS = 2_048  # connections that have said nothing yet; a new one closes the oldest
MAX_NEWCOMERS_OF_ONE = 64  # from one address: an office has many browsers, and half-open connections are free
WRITE_BUFFER = 64 << 10  # bytes that may wait for a slow reader, or for a slow relay (asyncio: 512 KiB)
SHUTDOWN_SECONDS = 5.0  # for the client's TLS close

Ended = Callable[[], None]
Forward = Callable[[asyncio.Transport, bytes, Ended], None]
MakeHttp = Callable[[Ended], asyncio.Protocol]


class SilentConnection(NamedTuple):
    """A connection that has said nothing yet, and when it has to go."""

    ip: bytes
    timer: asyncio.TimerHandle


class TlsListener:
    """Accepts connections, does the TLS handshake, and passes each on to HTTP or to the relay. `count` is
    called with what became of each."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        forward_turn: Forward,
        count: Callable[[str], None],
        connections: WebConnections | None = None,
    ) -> None:
        self.sockets = list(listeners)
        self.listeners: list[AsyncioListener] = []
        self.forward_turn = forward_turn
        self.count = count
        self.connections = connections or WebConnections()
        self.context: ssl.SSLContext | None = None  # until there is a certificate
        self.certificate_ends = 0.0  # in seconds since 1970; 0 if the certificate is not valid
        self.newcomers: dict[socket.socket, SilentConnection] = {}  # the oldest first
        self.newcomers_of = AddressCounts(LocalUsage())
        self.tasks: set[asyncio.Task[None]] = set()
        self.make_http: MakeHttp

    def set_certificate(self, certificate: Certificate) -> None:
        """Use this certificate for new connections. Raises BadCertificate, and then nothing changes."""
        self.context = server_context(certificate, ALPN)

    def open(self, http: MakeHttp) -> None:
        self.make_http = http
        self.listeners = [AsyncioListener(sock, self.start_handshake) for sock in self.sockets]

    def start_handshake(self, sock: socket.socket, source: tuple[str, int]) -> None:
        address = parse_address(source[0])
        slot = self.admit(address)
        if address is None or slot is None or self.context is None:
            sock.close()
            return
        while len(self.newcomers) >= MAX_NEWCOMERS:
            self.drop_silent(next(iter(self.newcomers)))
        loop, ip = asyncio.get_running_loop(), address.packed
        timer = loop.call_later(FIRST_BYTE_SECONDS, self.drop_silent, sock)
        self.newcomers[sock] = SilentConnection(ip, timer)
        self.newcomers_of.add(ip)
        task = loop.create_task(self.handshake(sock, self.context, slot))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def admit(self, address: IPAddress | None) -> ConnectionSlot | None:
        """A place for a client of this address; None: it has to go, which is counted."""
        if address is None or self.context is None:
            self.count("gone" if address is None else "no certificate")
            return None
        exempt = self.connections.is_exempt(address)
        if not exempt and self.newcomers_of.exceeds(address.packed, MAX_NEWCOMERS_OF_ONE):
            self.count("too many")
            return None
        return self.connections.acquire(address) if self.connections.may_handshake(address) else None

    async def handshake(self, sock: socket.socket, context: ssl.SSLContext, slot: ConnectionSlot) -> None:
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(Newcomer, self, sock, slot),
                sock,
                ssl=context,
                ssl_handshake_timeout=FIRST_BYTE_SECONDS + 1,  # ours comes first
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except BaseException as failure:
            slot.release()
            if self.end_newcomer(sock):
                self.count("no handshake")
            if not isinstance(failure, OSError):
                raise

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
        known.timer.cancel()
        self.newcomers_of.add(known.ip, -1)
        return True

    def on_first_bytes(self, newcomer: Newcomer, data: bytes) -> None:
        """The first bytes have arrived."""
        transport = newcomer.transport
        if not self.end_newcomer(newcomer.sock):
            transport.abort()
        elif data[0] < STUN_BEFORE:
            self.count("turn")
            self.forward_turn(transport, data, newcomer.slot.release)
        else:
            self.count("http")
            protocol = self.make_http(newcomer.slot.release)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(data)

    def close_listeners(self) -> None:
        """Accept no more connections. Another process may go on with the same sockets; connections stay."""
        for listener in self.listeners:
            listener.close()
        for sock in self.sockets:  # those that nobody has opened
            sock.close()

    def close(self) -> None:
        self.close_listeners()
        for sock in list(self.newcomers):
            self.drop_silent(sock)
        for task in list(self.tasks):
            task.cancel()


class Newcomer(asyncio.Protocol):
    """A TLS connection that has sent nothing yet."""

    transport: asyncio.Transport

    def __init__(self, listener: TlsListener, sock: socket.socket, slot: ConnectionSlot) -> None:
        self.listener = listener
        self.sock = sock
        self.slot = slot

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        self.listener.on_first_bytes(self, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.slot.release()
        if self.listener.end_newcomer(self.sock):
            self.listener.count("silent")
