"""A listener that proxies speak to for their clients; everybody else meets it as any other.

A proxy has a port of its own for each client, begins the first datagram from it with a header, or each, and
gets the answers back there. Such a client has no twin: the header stands in front of what a twin would carry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from socket import socket

from turn.engines import sockets
from turn.engines.epoll import Epoll
from turn.engines.framing import ROOM
from turn.engines.gather import Transmit
from turn.engines.listener import Listener
from turn.engines.proxied import PREFIX, SIGNATURE, BadHeader, client_of, size_of
from turn.engines.sockets import SockAddr
from turn.engines.table import Client
from turn.engines.trust import Proxies
from turn.flows import Address, Packet

MAX_ROUTES = 8192  # beside those of allocations: clients of proxies with forged addresses cost no more
LOOKS = 8  # at the least used routes per new one, so that a flood walks no long list

Port = tuple[SockAddr, bytes]  # a proxy's, and the address of ours that it sends to
Name = tuple[Address, Address]  # a client, and the listener that it reaches


class Route:
    """A client that comes by a proxy's port, and the way back to it."""

    __slots__ = ("client", "header", "name", "port", "send")

    def __init__(self, name: Name, port: Port, header: bytes, send: Transmit) -> None:
        self.name = name
        self.port = port
        self.header = header  # the last one, which mostly is the next
        self.send = send
        self.client: Client | None = None  # while it has a linked flow


class Routes:
    """Where the clients of proxies are; the longest unused is forgotten, but not while it holds something."""

    def __init__(self, holds: Callable[[Name], bool], most: int = MAX_ROUTES) -> None:
        self.holds = holds
        self.most = most
        self.by_port: OrderedDict[Port, Route] = OrderedDict()
        self.by_name: dict[Name, Route] = {}

    def at(self, port: Port) -> Route | None:
        """Who comes by this port, used just now."""
        route = self.by_port.get(port)
        if route is not None:
            self.by_port.move_to_end(port)
        return route

    def add(self, route: Route) -> None:
        for _ in range(LOOKS):
            if len(self.by_port) < self.most:
                break
            oldest = next(iter(self.by_port.values()))
            if self.holds(oldest.name):
                self.by_port.move_to_end(oldest.port)
            else:
                self.remove(oldest)
        self.by_port[route.port] = self.by_name[route.name] = route

    def remove(self, route: Route) -> None:
        del self.by_port[route.port], self.by_name[route.name]

    def move(self, route: Route, port: Port, send: Transmit) -> None:
        """Its proxy sends from another port now."""
        del self.by_port[route.port]
        route.port, route.send = port, send
        self.by_port[port] = route
        if route.client is not None:
            route.client.send = send


class Fronted(Listener):
    """A listener that believes proxies."""

    def __init__(
        self, epoll: Epoll, address: Address, sock: socket, proxies: Proxies, *, alone: bool = True
    ) -> None:
        super().__init__(epoll, address, sock, alone=alone)
        self.proxies = proxies
        self.routes = Routes(lambda name: epoll.holds(*name))

    def receive(self, size: int, there: SockAddr, ip: bytes) -> None:
        """A datagram in the buffer. Of clients with a linked flow it is known already that they are no
        proxies."""
        if (there, ip) in self.clients:
            super().receive(size, there, ip)
            return
        source, here = sockets.address(there), Address(ip, self.address.port)
        if self.proxies.include(source):
            self.pass_on(size, (there, ip), source, here)
        elif self.is_itself(source, here):
            super().receive(size, there, ip)

    def is_itself(self, source: Address, here: Address) -> bool:
        """Whether this comes from whom it seems to. Where a proxy's client with this address holds
        something, it does not; else the proxy's client has lost its place to who came now."""
        route = self.routes.by_name.get((source, here))
        if route is None:
            return True
        if self.routes.holds(route.name):
            return False
        self.routes.remove(route)
        return True

    def pass_on(self, size: int, port: Port, source: Address, here: Address) -> None:
        """A proxy's datagram."""
        try:
            route, start = self.route(size, port, source, here)
        except BadHeader as bad:
            self.proxies.refuse(bad)
            return
        start, size = ROOM + start, size - start
        if route.client is None or not route.client.carry(self.epoll.view, start, size):
            self.epoll.up(Packet(here, route.name[0], bytes(self.epoll.view[start : start + size])))

    def route(self, size: int, port: Port, source: Address, here: Address) -> tuple[Route, int]:
        """Whose it is, and how long its header. Raises BadHeader."""
        body, route = self.epoll.body, self.routes.at(port)
        if route is not None and len(route.header) <= size and body[: len(route.header)] == route.header:
            return route, len(route.header)
        start = bytes(body[: min(size, PREFIX)])
        if route is not None and not start.startswith(SIGNATURE):
            return route, 0
        length = size_of(start)
        if length > size:
            raise BadHeader("the header is cut off")
        header = bytes(body[:length])
        return self.find((client_of(header, "udp") or source, here), port, header), length

    def find(self, name: Name, port: Port, header: bytes) -> Route:
        """The client that has this name, at this port from now on. Raises BadHeader."""
        before, route = self.routes.by_port.get(port), self.routes.by_name.get(name)
        if before is not None and before is not route:
            self.forget(before)
        send = super().sender(name[1], sockets.address(port[0]))
        if route is None:
            if self.routes.holds(name):
                raise BadHeader("the header names a client that is here without a proxy")
            route = Route(name, port, header, send)
            self.routes.add(route)
        elif route.port != port:
            self.routes.move(route, port, send)
        route.header = header
        return route

    def forget(self, route: Route) -> None:
        """The proxy has given the port to another client: like the end of a connection."""
        self.routes.remove(route)
        if route.client is not None:
            route.client.send = nobody
        if self.routes.holds(route.name):
            self.epoll.lose_later(*route.name)

    def greet(self, client: Client) -> None:
        route = self.routes.by_name.get((client.address, client.listener))
        if route is None:
            super().greet(client)
        else:
            route.client = client
            client.send = route.send

    def part(self, client: Client) -> None:
        route = self.routes.by_name.get((client.address, client.listener))
        if route is not None:
            route.client = None
        elif (sockets.sockaddr(client.address), client.listener.ip) in self.clients:
            super().part(client)

    def keep(self, owner: Name) -> None:
        """Whoever else listens at this address gets what a proxy sends: no twin would be found by it."""
        if owner not in self.routes.by_name:
            super().keep(owner)

    def sender(self, here: Address, there: Address) -> Transmit:
        route = self.routes.by_name.get((there, here))
        return super().sender(here, there) if route is None else route.send


def nobody(_data: memoryview) -> None:
    """The way to a client that has gone."""
