"""The TLS door: whoever comes in is a browser that speaks HTTP or a TURN client, as the first byte tells."""

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

from host.accept import Accepting
from host.tls import Certificate, server_context
from server.store import Network
from server.store.bans import household
from server.web.origins import parse_address

log = logging.getLogger("calln.server")

ALPN = ["http/1.1", "stun.turn"]  # RFC 7301 §6, RFC 7443
STUN_BEFORE = 0x04  # RFC 7983 §7; "GET " looks like a channel, but nobody can have bound one yet
PATIENCE = 10.0  # seconds for the handshake and the first byte behind it
MAX_NEW = 2_048  # connections of which nothing is known yet: for a newcomer the oldest has to go
MAX_NEW_OF_ONE = 64  # of one address: an office's browsers come many at once, and half-open ones are free
WAITING = 64 << 10  # bytes that wait for a slow reader before its protocol hears of it; 512 KiB otherwise
BACKLOG = 1_024
LAST_SECONDS = 5.0  # for the other side's last word of TLS

Carry = Callable[[asyncio.Transport, bytes], None]


class Door:
    """Accepts, shakes hands, and gives each connection to those who speak its language. `note` counts them
    by kind."""

    def __init__(self, listeners: Sequence[socket.socket], carry: Carry, note: Callable[[str], None]) -> None:
        self.listeners = list(listeners)
        self.carry = carry
        self.note = note
        self.context: ssl.SSLContext | None = None  # until there is a certificate
        self.ends = 0.0  # when that is over, in seconds since 1970; 0 where it is not good
        self.new: dict[socket.socket, tuple[Network, asyncio.TimerHandle]] = {}  # the oldest first
        self.new_of: Counter[Network] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self.http: Callable[[], asyncio.Protocol]

    def present(self, certificate: Certificate) -> None:
        """Show this to whoever comes from now on. Raises BadCertificate, and then nothing changes."""
        self.context = server_context(certificate, ALPN)

    def open(self, http: Callable[[], asyncio.Protocol]) -> None:
        self.http = http
        for listener in self.listeners:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self.accept_at(listener)

    def accept_at(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        accepting = Accepting(
            listener,
            lambda sock, there: self.admit(sock, there[0]),
            lambda: loop.add_reader(listener.fileno(), accepting.accept_some),
            lambda: loop.remove_reader(listener.fileno()),
        )
        accepting.resume()

    def admit(self, sock: socket.socket, host: str) -> None:
        address = parse_address(host)
        why = "gone" if address is None else self.obstacle(household(address))
        if address is None or why or self.context is None:
            sock.close()
            self.note(why)
            return
        while len(self.new) >= MAX_NEW:
            self.lose(next(iter(self.new)))
        loop, name = asyncio.get_running_loop(), household(address)
        self.new[sock] = name, loop.call_later(PATIENCE, self.lose, sock)
        self.new_of[name] += 1
        task = loop.create_task(self.shake(sock, self.context))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def obstacle(self, name: Network) -> str:
        if self.context is None:
            return "no certificate"
        return "too many" if self.new_of[name] >= MAX_NEW_OF_ONE else ""

    async def shake(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(Newcomer, self, sock),
                sock,
                ssl=context,
                ssl_handshake_timeout=PATIENCE + 1,  # ours comes first
                ssl_shutdown_timeout=LAST_SECONDS,
            )
        except OSError:
            if self.forget(sock):
                self.note("no handshake")

    def lose(self, sock: socket.socket) -> None:
        """Of whom nothing is known for too long; TLS then finds the end of the stream."""
        if self.forget(sock):
            self.note("silent")
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def forget(self, sock: socket.socket) -> bool:
        """It is no newcomer any more; whether it was one."""
        known = self.new.pop(sock, None)
        if known is None:
            return False
        name, timer = known
        timer.cancel()
        self.new_of[name] -= 1
        if not self.new_of[name]:
            del self.new_of[name]
        return True

    def settle(self, newcomer: Newcomer, data: bytes) -> None:
        """The first bytes have come."""
        transport = newcomer.transport
        if not self.forget(newcomer.sock):
            transport.abort()
        elif data[0] < STUN_BEFORE:
            self.note("turn")
            self.carry(transport, data)
        else:
            self.note("http")
            protocol = self.http()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(data)

    def leave(self) -> None:
        """Accept nobody any more. Who has these sockets too goes on; who is here stays."""
        for listener in self.listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        self.listeners.clear()

    def close(self) -> None:
        self.leave()
        for sock in list(self.new):
            self.lose(sock)
        for task in list(self.tasks):
            task.cancel()


class Newcomer(asyncio.Protocol):
    """A connection inside TLS that has said nothing yet."""

    transport: asyncio.Transport

    def __init__(self, door: Door, sock: socket.socket) -> None:
        self.door = door
        self.sock = sock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=WAITING)

    def data_received(self, data: bytes) -> None:
        self.door.settle(self, data)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.door.forget(self.sock):
            self.door.note("silent")
