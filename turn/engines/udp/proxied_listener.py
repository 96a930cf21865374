"""A UDP listener that trusted proxies send to for their clients; other clients may use it directly.

A proxy uses one port of its own for each client. It puts a PROXY header in front of the first datagram from
that port, or of each, and gets the answers back there. Such a client has a socket of its own, connected to
the proxy's port, only where its packets would otherwise go to another process that listens here. It has none
for speed, since a header may stand in front of each datagram.
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
from turn.engines.table import ClientKey, LinkedClient
from turn.engines.transmit import DISCARD, Outlet
from turn.engines.udp.listener import UdpListener
from turn.engines.udp.peer_sockets import WHOLE_BUFFER, ConnectedSocket
from turn.flows import Address, Packet
from turn.wire.proxy_protocol import PREFIX, SIGNATURE, BadHeader, client_of, header_size

MAX_ROUTES = 8192  # without those that hold an allocation: more forged client addresses cost no more memory
REQUEST_SECONDS = 40.0  # how long a client repeats a request (RFC 8489 §6.2.1): so long its route is safe
TRIES = 8  # of the longest unused routes per new one, so that a flood walks no long list

ProxyPort = tuple[SockAddr, bytes]  # a proxy's address and port, and our address that it sends to


class Route:
    """A client that comes by a proxy's port, and what sends back to it."""

    __slots__ = ("client", "header", "key", "last_used", "outlet", "own_socket", "port")

    def __init__(self, key: ClientKey, port: ProxyPort, header: bytes, outlet: Outlet) -> None:
        self.key = key
        self.port = port
        self.header = header  # the last one, which mostly is the next
        self.outlet = outlet
        self.client: LinkedClient | None = None  # while it has a linked flow
        self.own_socket: ConnectedSocket | None = None  # while it is pinned
        self.last_used = monotonic()

    def set_outlet(self, outlet: Outlet) -> None:
        """From now on, send to the client by this."""
        self.outlet = outlet
        if self.client is not None:
            self.client.outlet = outlet


class Routes:
    """Where the clients of proxies are. The longest unused is removed, unless it holds an allocation."""

    def __init__(self, holds: Callable[[ClientKey], bool], most: int = MAX_ROUTES) -> None:
        self.holds = holds
        self.most = most
        self.by_port: OrderedDict[ProxyPort, Route] = OrderedDict()
        self.by_client: dict[ClientKey, Route] = {}

    def use(self, port: ProxyPort) -> Route | None:
        """The route by this port, which a packet uses now."""
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
        """The proxy uses another port for this client now."""
        del self.by_port[route.port]
        route.port = port
        route.last_used = monotonic()
        self.by_port[port] = route


class ProxiedListener(UdpListener):
    """A listener that trusts proxies."""

    def __init__(
        self, epoll: Epoll, address: Address, sock: socket, proxies: TrustedProxies, *, exclusive: bool = True
    ) -> None:
        super().__init__(epoll, address, sock, exclusive=exclusive)
        self.proxies = proxies
        self.routes = Routes(lambda key: epoll.holds(*key))

    def receive(self, size: int, remote: SockAddr, ip: bytes) -> None:
        """A datagram in the buffer. A client with a linked flow is no proxy: that was checked before."""
        if (remote, ip) in self.clients:
            super().receive(size, remote, ip)
            return
        source, local = sockets.address(remote), Address(ip, self.address.port)
        if self.proxies.includes(source):
            self.receive_proxied(size, (remote, ip), source, local)
        elif self.is_direct(source, local):
            super().receive(size, remote, ip)

    def is_direct(self, source: Address, local: Address) -> bool:
        """Whether a datagram that came without a proxy is from its source. It may be forged where a proxy's
        client with this address holds an allocation, or sent something a moment ago. Else the address now
        belongs to the client that sends directly."""
        route = self.routes.by_client.get((source, local))
        if route is None:
            return True
        if monotonic() < route.last_used + REQUEST_SECONDS or self.routes.holds(route.key):
            return False
        self.routes.remove(route)
        return True

    def receive_if_ours(self, size: int, remote: SockAddr, ip: bytes) -> None:
        """See UdpListener. Which client a proxy sends for, the datagram says."""
        source, local = sockets.address(remote), Address(ip, self.address.port)
        if not self.proxies.includes(source):
            super().receive_if_ours(size, remote, ip)
            return
        with suppress(BadHeader):
            if self.epoll.holds(
                *self.client_of_datagram(self.epoll.body[:size], (remote, ip), source, local)
            ):
                self.receive(size, remote, ip)

    def client_of_datagram(
        self, data: memoryview, port: ProxyPort, source: Address, local: Address
    ) -> ClientKey:
        """Which client sent this; changes nothing. Raises BadHeader."""
        route = self.routes.by_port.get(port)
        header = leading_header(data, may_lack=route is not None)
        return route.key if route is not None and not header else (client_of(header, "udp") or source, local)

    def receive_proxied(self, size: int, port: ProxyPort, source: Address, local: Address) -> None:
        """A datagram from a proxy."""
        packet = self.strip_and_carry(port, source, local, self.epoll.view, HEADROOM, size)
        if packet is not None:
            self.epoll.punt(packet)

    def strip_and_carry(
        self, port: ProxyPort, source: Address, local: Address, view: memoryview, start: int, size: int
    ) -> Packet | None:
        """Carry what stands behind the header. Returns the packet that is to be punted, if there is one."""
        try:
            route, length = self.route_of(view[start : start + size], port, source, local)
        except BadHeader as bad:
            self.proxies.log_refusal(bad)
            return None
        start, end = start + length, start + size
        if route.client is not None and route.client.carry(view, start, end - start):
            return None
        return Packet(local, route.key[0], bytes(view[start:end]))

    def route_of(
        self, data: memoryview, port: ProxyPort, source: Address, local: Address
    ) -> tuple[Route, int]:
        """The route that a datagram uses, and how long its header is. Raises BadHeader."""
        route = self.routes.use(port)
        if route is not None and data[: len(route.header)] == route.header:
            return route, len(route.header)
        header = leading_header(data, may_lack=route is not None)
        if route is not None and not header:
            return route, 0
        return self.route_for((client_of(header, "udp") or source, local), port, header), len(header)

    def route_for(self, key: ClientKey, port: ProxyPort, header: bytes) -> Route:
        """The route of this client, which uses this port from now on. Raises BadHeader."""
        before, route = self.routes.by_port.get(port), self.routes.by_client.get(key)
        if before is not None and before is not route:
            self.drop_route(before)
        if route is None:
            if self.routes.holds(key):
                raise BadHeader("the header names a client that is here without a proxy")
            route = Route(key, port, header, self.reply_sender(key[1], port))
            self.routes.add(route)
        elif route.port != port:
            self.move_route(route, port)
        route.header = header
        return route

    def reply_sender(self, local: Address, port: ProxyPort) -> Outlet:
        return self.shared_sender(local, sockets.address(port[0]))

    def move_route(self, route: Route, port: ProxyPort) -> None:
        was_pinned = route.own_socket is not None
        self.close_socket(route)
        self.routes.move(route, port)
        route.set_outlet(self.reply_sender(route.key[1], port))
        if was_pinned:
            self.open_socket(route)

    def drop_route(self, route: Route) -> None:
        """The proxy has given the port to another client: this is like the end of a connection."""
        self.close_socket(route)
        self.routes.remove(route)
        route.set_outlet(DISCARD)
        if self.routes.holds(route.key):
            self.epoll.report_lost_later(*route.key)

    def pin_client(self, client: ClientKey) -> None:
        route = self.routes.by_client.get(client)
        if route is None:
            super().pin_client(client)
        elif route.own_socket is None:
            self.open_socket(route)

    def unpin_client(self, client: ClientKey) -> None:
        route = self.routes.by_client.get(client)
        if route is None:
            super().unpin_client(client)
        elif route.own_socket is not None:
            route.own_socket.read_checked(WHOLE_BUFFER)
            self.close_socket(route)

    def open_socket(self, route: Route) -> None:
        """Connect a socket to the proxy's port, if the system has one left."""
        local, remote = route.key[1], sockets.address(route.port[0])
        try:
            opened = ConnectedSocket(self.epoll, sockets.open_connected(local, remote), local, remote)
            opened.start_reading(
                partial(self.carry_or_punt, route.port, remote, local),
                partial(self.receive_stray, ip=local.ip),
            )
        except OSError:
            return
        route.own_socket = opened
        route.set_outlet(Outlet(opened.sock.send))

    def carry_or_punt(
        self, port: ProxyPort, remote: Address, local: Address, view: memoryview, start: int, size: int
    ) -> bool:
        """A datagram in a client's own socket. It is punted later: others may still wait in the buffer."""
        packet = self.strip_and_carry(port, remote, local, view, start, size)
        if packet is not None:
            self.epoll.punt_later(packet)
        return True

    def close_socket(self, route: Route) -> None:
        """What waits in the socket is lost: to read it would overwrite the packet that is being read."""
        own, route.own_socket = route.own_socket, None
        if own is not None:
            self.epoll.close_socket(own.sock)
            route.set_outlet(self.reply_sender(route.key[1], route.port))

    def link_client(self, client: LinkedClient) -> None:
        route = self.routes.by_client.get((client.address, client.listener))
        if route is None:
            super().link_client(client)
        else:
            route.client = client
            client.outlet = route.outlet

    def unlink_client(self, client: LinkedClient) -> None:
        route = self.routes.by_client.get((client.address, client.listener))
        if route is not None:
            route.client = None
        elif (sockets.sockaddr(client.address), client.listener.ip) in self.clients:
            super().unlink_client(client)

    def sender(self, local: Address, remote: Address) -> Outlet:
        route = self.routes.by_client.get((remote, local))
        return super().sender(local, remote) if route is None else route.outlet

    def close(self) -> None:
        for route in self.routes.by_client.values():
            if route.own_socket is not None:
                self.epoll.close_socket(route.own_socket.sock)
        super().close()


def leading_header(data: memoryview, *, may_lack: bool) -> bytes:
    """The header in front of the client's bytes; empty if there is none. Raises BadHeader."""
    start = bytes(data[:PREFIX])
    if may_lack and not start.startswith(SIGNATURE):
        return b""
    length = header_size(start)
    if length > len(data):
        raise BadHeader("the header is cut off")
    return bytes(data[:length])
