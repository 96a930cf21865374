"""The way from this server to a relay: through a Unix socket on this machine, else over UDP, TCP or TLS.

The Unix socket is the one where the relay takes TURN clients from us. Where systemd allows a service no
packets to this machine itself, nothing else would arrive.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Protocol, cast

from host.unix_socket import own_names
from server.ice import IceSettings
from turn.flows import Address
from turn.wire.proxy_protocol import build_header
from turn.wire.stun import HEADER_BYTES

CONNECT_SECONDS = 5.0
MAX_ANSWER = 1500  # bytes
QUEUED = 16  # datagrams that wait to be read; more are dropped
LOOPBACK = socket.inet_aton("127.0.0.1")
PRIVILEGED = 1024  # ports below are no client's


class RelayWay(Protocol):
    """Takes requests there and answers back. `is_reliable`: nothing is lost on it."""

    is_reliable: bool

    def send(self, data: bytes) -> None:
        """Send one message."""

    async def receive(self) -> bytes:
        """The next message. Raises OSError if the way has ended."""


WayOpener = Callable[[], AbstractAsyncContextManager[RelayWay]]
NetworkWay = Callable[[str, str, IceSettings], AbstractAsyncContextManager[RelayWay]]


class DatagramWay(asyncio.DatagramProtocol):
    """Over UDP. An ICMP error says only that the relay is not there yet."""

    is_reliable = False

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue(QUEUED)
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.received.full():
            self.received.put_nowait(data)

    def send(self, data: bytes) -> None:
        self.transport.sendto(data)

    async def receive(self) -> bytes:
        return await self.received.get()


class StreamWay:
    """Over a connection."""

    is_reliable = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> bytes:
        try:
            head = await self.reader.readexactly(HEADER_BYTES)
            size = int.from_bytes(head[2:4])
            if size > MAX_ANSWER:
                raise ConnectionResetError
            return head + await self.reader.readexactly(size)
        except EOFError:
            raise ConnectionResetError from None


def way_to(host: str, settings: Callable[[], IceSettings], unix_socket: Path) -> WayOpener:
    """Opens the best way to the relay of this name, each time anew.

    Over the network, its addresses take turns, and UDP and a connection: a flood under our address, or a
    firewall between us, may leave no answer to one of them.
    """
    tries = count()

    @asynccontextmanager
    async def open_way() -> AsyncIterator[RelayWay]:
        """Raises OSError."""
        now = settings()
        stream = await connect_unix(unix_socket) if await may_be_here(host, now) else None
        if stream is not None:
            with_header(stream)
            async with closing(stream):
                yield stream
            return
        ips = await resolve(host)
        ways = [(opener, text_of(ip)) for opener in network_ways(now) for ip in ips]
        opener, ip = ways[next(tries) % len(ways)]
        async with opener(ip, host, now) as way:
            yield way

    return open_way


def network_ways(settings: IceSettings) -> list[NetworkWay]:
    """What the relay has; UDP first."""
    datagrams: list[NetworkWay] = [datagram_way] if settings.ports else []
    return [*datagrams, stream_way] if settings.tcp_ports or settings.tls_ports else datagrams


async def may_be_here(host: str, settings: IceSettings) -> bool:
    """Whether the relay of this machine, if there is one, is the one of this name. Raises OSError.

    The only one that there is may be behind a NAT that we do not know of, and no name has to be resolved.
    """
    return len(settings.hosts) == 1 or any(is_here(ip, settings.served_here) for ip in await resolve(host))


async def resolve(host: str) -> list[bytes]:
    """All its addresses. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    places = ((family, str(place[0]).partition("%")[0]) for family, _, _, _, place in found)
    return list(dict.fromkeys(socket.inet_pton(family, ip) for family, ip in places))


def text_of(ip: bytes) -> str:
    return str(ip_address(ip))


def is_here(ip: bytes, served: Iterable[bytes]) -> bool:
    """Whether the relay of this machine listens at this address, itself or behind a NAT.

    Of zeros only: at every address of the family.
    """
    served = frozenset(served)
    return ip in served or (bytes(len(ip)) in served and is_own(ip))


def is_own(ip: bytes) -> bool:
    """Whether this machine has this address: packets to it would leave from it. None is sent."""
    if ip.startswith(LOOPBACK[:1]) and len(ip) == len(LOOPBACK):
        return True
    family = socket.AF_INET if len(ip) == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((text_of(ip), 9))
        except OSError:
            return False
        return socket.inet_pton(family, sock.getsockname()[0]) == ip


async def connect_unix(path: Path) -> StreamWay | None:
    """The newest relay of this machine, or another one if that has died; None: there is none."""
    for place in (path, *own_names(path)):
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return StreamWay(*await asyncio.open_unix_connection(str(place)))
        except OSError:
            continue
    return None


def with_header(stream: StreamWay) -> None:
    """The relay takes no client there that is not named. We are one of this machine, at a port by chance."""
    port = PRIVILEGED + secrets.randbelow((1 << 16) - PRIVILEGED)
    stream.send(build_header(Address(LOOPBACK, port, "tls"), Address(LOOPBACK, port, "tls")))


async def connect_stream(ip: str, host: str, settings: IceSettings) -> StreamWay:
    """Over TCP, or TLS if the relay has nothing else. Raises OSError."""
    secure = None if settings.tcp_ports else ssl.create_default_context()
    port = (settings.tcp_ports or settings.tls_ports)[0]
    async with asyncio.timeout(CONNECT_SECONDS):
        name = host if secure else None
        return StreamWay(*await asyncio.open_connection(ip, port, ssl=secure, server_hostname=name))


@asynccontextmanager
async def stream_way(ip: str, host: str, settings: IceSettings) -> AsyncIterator[RelayWay]:
    """Raises OSError."""
    async with closing(await connect_stream(ip, host, settings)) as stream:
        yield stream


@asynccontextmanager
async def datagram_way(ip: str, host: str, settings: IceSettings) -> AsyncIterator[RelayWay]:
    """Raises OSError."""
    loop = asyncio.get_running_loop()
    place = ip, settings.ports[0]
    transport, way = await loop.create_datagram_endpoint(DatagramWay, remote_addr=place)
    try:
        yield way
    finally:
        transport.close()


@asynccontextmanager
async def closing(stream: StreamWay) -> AsyncIterator[StreamWay]:
    try:
        yield stream
    finally:
        stream.writer.close()
