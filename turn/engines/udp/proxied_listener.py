"""A listener that proxies speak to for their clients; everybody else meets it as any other.

A proxy has a port of its own for each client, begins the first datagram from it with a header, or each, and
gets the answers back there. Such a client has a twin, connected to that port, only where it must be kept from
others who listen here; none for speed, since a header stands in front of what a twin carries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import socket
from time import monotonic

from turn.engines.framing import HEADROOM
from turn.engines.loop import sockets
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import SockAddr
from turn.engines.loop.trusted_proxies import TrustedProxies
from turn.engines.table import LinkedClient
from turn.engines.transmit import Transmit
from turn.engines.udp.listener import UdpListener
from turn.engines.udp.peer_sockets import WHOLE_BUFFER, ConnectedSocket
from turn.flows import Address, Packet
from turn.wire.proxy_protocol import PREFIX, SIGNATURE, BadHeader, client_of, size_of

MAX_ROUTES = 8192  # beside those of allocations: clients of proxies with forged addresses cost no more
REQUEST_SECONDS = (
    40.0  # seconds that an unanswered request lasts (RFC 8489 §6.2.1): who asks keeps its place so long
)
TRIES = 8  # at the least used routes per new one, so that a flood walks no long list

ProxyPort = tuple[SockAddr, bytes]  # a proxy's, and the address of ours that it sends to
Name = tuple[Address, Address]  # a client, and the listener that it reaches


class Route:
    """A client that comes by a proxy's port, and the way back to it."""

    __slots__ = ("client", "header", "key", "last_used", "own_socket", "port", "send")

    def __init__(self, name: Name, port: ProxyPort, header: bytes, send: Transmit) -> None:
        self.key = name
        self.port = port
        self.header = header  # the last one, which mostly is the next
        self.send = send
        self.client: LinkedClient | None = None  # while it has a linked flow
        self.own_socket: ConnectedSocket | None = None  # while it is kept
        self.last_used = monotonic()

    def set_send(self, send: Transmit) -> None:
        """From now on this is the way to it."""
        self.send = send
        if self.client is not None:
            self.client.send = send


class Routes:
    """Where the clients of proxies are; the longest unused is forgotten, but not while it holds something."""

    def __init__(self, holds: Callable[[Name], bool], most: int = MAX_ROUTES) -> None:
        self.holds = holds
        self.most = most
        self.by_port: OrderedDict[ProxyPort, Route] = OrderedDict()
        self.by_client: dict[Name, Route] = {}

    def use(self, port: ProxyPort) -> Route | None:
        """Who comes by this port, used just now."""
        route = self.by_port.get(port)
        if route is not None:
            self.by_port.move_to_end(port)
            route.last_used = monotonic()
        return route

    def add(self, route: Route) -> None:
        for _ in range(TRIES):
            if len(self.by_port) < self.most:
                break
            oldest = next(iter(self.by_port.values()))
            if self.holds(oldest.key):
                self.by_port.move_to_end(oldest.port)
            else:
                self.remove(oldest)
        self.by_port[route.port] = self.by_client[route.key] = route

    def remove(self, route: Route) -> None:
        del self.by_port[route.port], self.by_client[route.key]

    def move(self, route: Route, port: ProxyPort) -> None:
        """Its proxy sends from another port now."""
        del self.by_port[route.port]
        route.port = port
        route.last_used = monotonic()
        self.by_port[port] = route


class ProxiedListener(UdpListener):
    """A listener that believes proxies."""

    def __init__(
        self, epoll: Epoll, address: Address, sock: socket, proxies: TrustedProxies, *, exclusive: bool = True
    ) -> None:
        super().__init__(epoll, address, sock, exclusive=exclusive)
        self.proxies = proxies
        self.routes = Routes(lambda name: epoll.holds(*name))

    def receive(self, size: int, there: SockAddr, ip: bytes) -> None:
        """A datagram in the buffer. Of clients with a linked flow it is known already that they are no
        proxies."""
        if (there, ip) in self.clients:
            super().receive(size, there, ip)
            return
        source, here = sockets.address(there), Address(ip, self.address.port)
        if self.proxies.includes(source):
            self.receive_proxied(size, (there, ip), source, here)
        elif self.is_direct(source, here):
            super().receive(size, there, ip)

    def is_direct(self, source: Address, here: Address) -> bool:
        """Whether this comes from whom it seems to. Where a proxy's client with this address holds
        something, or was here a moment ago, it does not: anybody can forge a datagram in its name. Else the
        proxy's client has lost its place to who came now."""
        route = self.routes.by_client.get((source, here))
        if route is None:
            return True
        if monotonic() < route.last_used + REQUEST_SECONDS or self.routes.holds(route.key):
            return False
        self.routes.remove(route)
        return True

    def receive_if_ours(self, size: int, there: SockAddr, ip: bytes) -> None:
        """See Listener. For whom a proxy speaks, its datagram says."""
        source, here = sockets.address(there), Address(ip, self.address.port)
        if not self.proxies.includes(source):
            super().receive_if_ours(size, there, ip)
            return
        with suppress(BadHeader):
            if self.epoll.holds(*self.client_of_datagram(self.epoll.body[:size], (there, ip), source, here)):
                self.receive(size, there, ip)

    def client_of_datagram(self, data: memoryview, port: ProxyPort, source: Address, here: Address) -> Name:
        """Whose datagram this is; nothing changes. Raises BadHeader."""
        route = self.routes.by_port.get(port)
        header = leading_header(data, may_lack=route is not None)
        return route.key if route is not None and not header else (client_of(header, "udp") or source, here)

    def receive_proxied(self, size: int, port: ProxyPort, source: Address, here: Address) -> None:
        """A proxy's datagram."""
        packet = self.strip_and_carry(port, source, here, self.epoll.view, HEADROOM, size)
        if packet is not None:
            self.epoll.punt(packet)

    def strip_and_carry(
        self, port: ProxyPort, source: Address, here: Address, view: memoryview, start: int, size: int
    ) -> Packet | None:
        """Carry what lies behind the header; or what is to go up, if anything is."""
        try:
            route, length = self.route_of(view[start : start + size], port, source, here)
        except BadHeader as bad:
            self.proxies.log_refusal(bad)
            return None
        start, end = start + length, start + size
        if route.client is not None and route.client.carry(view, start, end - start):
            return None
        return Packet(here, route.key[0], bytes(view[start:end]))

    def route_of(
        self, data: memoryview, port: ProxyPort, source: Address, here: Address
    ) -> tuple[Route, int]:
        """Whose it is, and how long its header. Raises BadHeader."""
        route = self.routes.use(port)
        if route is not None and data[: len(route.header)] == route.header:
            return route, len(route.header)
        header = leading_header(data, may_lack=route is not None)
        if route is not None and not header:
            return route, 0
        return self.route_for((client_of(header, "udp") or source, here), port, header), len(header)

    def route_for(self, name: Name, port: ProxyPort, header: bytes) -> Route:
        """The client that has this name, at this port from now on. Raises BadHeader."""
        before, route = self.routes.by_port.get(port), self.routes.by_client.get(name)
        if before is not None and before is not route:
            self.drop_route(before)
        if route is None:
            if self.routes.holds(name):
                raise BadHeader("the header names a client that is here without a proxy")
            route = Route(name, port, header, self.reply_sender(name[1], port))
            self.routes.add(route)
        elif route.port != port:
            self.move_route(route, port)
        route.header = header
        return route

    def reply_sender(self, here: Address, port: ProxyPort) -> Transmit:
        return self.shared_sender(here, sockets.address(port[0]))

    def move_route(self, route: Route, port: ProxyPort) -> None:
        was_kept = route.own_socket is not None
        self.close_socket(route)
        self.routes.move(route, port)
        route.set_send(self.reply_sender(route.key[1], port))
        if was_kept:
            self.open_socket(route)

    def drop_route(self, route: Route) -> None:
        """The proxy has given the port to another client: like the end of a connection."""
        self.close_socket(route)
        self.routes.remove(route)
        route.set_send(nobody)
        if self.routes.holds(route.key):
            self.epoll.report_lost_later(*route.key)

    def pin_client(self, owner: Name) -> None:
        route = self.routes.by_client.get(owner)
        if route is None:
            super().pin_client(owner)
        elif route.own_socket is None:
            self.open_socket(route)

    def unpin_client(self, owner: Name) -> None:
        route = self.routes.by_client.get(owner)
        if route is None:
            super().unpin_client(owner)
        elif route.own_socket is not None:
            route.own_socket.read_checked(WHOLE_BUFFER)
            self.close_socket(route)

    def open_socket(self, route: Route) -> None:
        """A socket that finds what its proxy's port sends, if the system has one left."""
        here, there = route.key[1], sockets.address(route.port[0])
        try:
            twin = ConnectedSocket(self.epoll, sockets.open_connected(here, there), here, there)
        except OSError:
            return
        twin.start_reading(
            partial(self.carry_or_punt, route.port, there, here), partial(self.receive_stray, ip=here.ip)
        )
        route.own_socket = twin
        route.set_send(twin.sock.send)

    def carry_or_punt(
        self, port: ProxyPort, there: Address, here: Address, view: memoryview, start: int, size: int
    ) -> bool:
        """A datagram in a twin. What goes up goes later: packets before it may wait in the buffer still."""
        packet = self.strip_and_carry(port, there, here, view, start, size)
        if packet is not None:
            self.epoll.punt_later(packet)
        return True

    def close_socket(self, route: Route) -> None:
        """What waits in the twin is lost: to read it would overwrite what is being read."""
        twin, route.own_socket = route.own_socket, None
        if twin is not None:
            self.epoll.close_socket(twin.sock)
            route.set_send(self.reply_sender(route.key[1], route.port))

    def link_client(self, client: LinkedClient) -> None:
        route = self.routes.by_client.get((client.address, client.listener))
        if route is None:
            super().link_client(client)
        else:
            route.client = client
            client.send = route.send

    def unlink_client(self, client: LinkedClient) -> None:
        route = self.routes.by_client.get((client.address, client.listener))
        if route is not None:
            route.client = None
        elif (sockets.sockaddr(client.address), client.listener.ip) in self.clients:
            super().unlink_client(client)

    def sender(self, here: Address, there: Address) -> Transmit:
        route = self.routes.by_client.get((there, here))
        return super().sender(here, there) if route is None else route.send

    def close(self) -> None:
        for route in self.routes.by_client.values():
            if route.own_socket is not None:
                self.epoll.close_socket(route.own_socket.sock)
        super().close()


def leading_header(data: memoryview, *, may_lack: bool) -> bytes:
    """What a proxy has put before its client's bytes. Raises BadHeader."""
    start = bytes(data[:PREFIX])
    if may_lack and not start.startswith(SIGNATURE):
        return b""
    length = size_of(start)
    if length > len(data):
        raise BadHeader("the header is cut off")
    return bytes(data[:length])


def nobody(_data: memoryview) -> None:
    """The way to a client that has gone."""
