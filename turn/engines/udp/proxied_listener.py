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

from turn.engines.framing import ROOM
from turn.engines.loop import sockets
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import SockAddr
from turn.engines.loop.trusted_proxies import Proxies
from turn.engines.table import Client
from turn.engines.transmit import Transmit
from turn.engines.udp.listener import Listener
from turn.engines.udp.peer_sockets import LAST_WORDS, Joined
from turn.flows import Address, Packet
from turn.wire.proxy_protocol import PREFIX, SIGNATURE, BadHeader, client_of, size_of

MAX_ROUTES = 8192  # beside those of allocations: clients of proxies with forged addresses cost no more
ASKING = 40.0  # seconds that an unanswered request lasts (RFC 8489 §6.2.1): who asks keeps its place so long
LOOKS = 8  # at the least used routes per new one, so that a flood walks no long list

Port = tuple[SockAddr, bytes]  # a proxy's, and the address of ours that it sends to
Name = tuple[Address, Address]  # a client, and the listener that it reaches


class Route:
    """A client that comes by a proxy's port, and the way back to it."""

    __slots__ = ("client", "header", "name", "port", "send", "twin", "used")

    def __init__(self, name: Name, port: Port, header: bytes, send: Transmit) -> None:
        self.name = name
        self.port = port
        self.header = header  # the last one, which mostly is the next
        self.send = send
        self.client: Client | None = None  # while it has a linked flow
        self.twin: Joined | None = None  # while it is kept
        self.used = monotonic()

    def lead(self, send: Transmit) -> None:
        """From now on this is the way to it."""
        self.send = send
        if self.client is not None:
            self.client.send = send


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
            route.used = monotonic()
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

    def move(self, route: Route, port: Port) -> None:
        """Its proxy sends from another port now."""
        del self.by_port[route.port]
        route.port = port
        route.used = monotonic()
        self.by_port[port] = route


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
        something, or was here a moment ago, it does not: anybody can forge a datagram in its name. Else the
        proxy's client has lost its place to who came now."""
        route = self.routes.by_name.get((source, here))
        if route is None:
            return True
        if monotonic() < route.used + ASKING or self.routes.holds(route.name):
            return False
        self.routes.remove(route)
        return True

    def stray(self, size: int, there: SockAddr, ip: bytes) -> None:
        """See Listener. For whom a proxy speaks, its datagram says."""
        source, here = sockets.address(there), Address(ip, self.address.port)
        if not self.proxies.include(source):
            super().stray(size, there, ip)
            return
        with suppress(BadHeader):
            if self.epoll.holds(*self.named(self.epoll.body[:size], (there, ip), source, here)):
                self.receive(size, there, ip)

    def named(self, data: memoryview, port: Port, source: Address, here: Address) -> Name:
        """Whose datagram this is; nothing changes. Raises BadHeader."""
        route = self.routes.by_port.get(port)
        header = leading_header(data, may_lack=route is not None)
        return route.name if route is not None and not header else (client_of(header, "udp") or source, here)

    def pass_on(self, size: int, port: Port, source: Address, here: Address) -> None:
        """A proxy's datagram."""
        packet = self.carry(port, source, here, self.epoll.view, ROOM, size)
        if packet is not None:
            self.epoll.up(packet)

    def carry(
        self, port: Port, source: Address, here: Address, view: memoryview, start: int, size: int
    ) -> Packet | None:
        """Carry what lies behind the header; or what is to go up, if anything is."""
        try:
            route, length = self.route(view[start : start + size], port, source, here)
        except BadHeader as bad:
            self.proxies.refuse(bad)
            return None
        start, end = start + length, start + size
        if route.client is not None and route.client.carry(view, start, end - start):
            return None
        return Packet(here, route.name[0], bytes(view[start:end]))

    def route(self, data: memoryview, port: Port, source: Address, here: Address) -> tuple[Route, int]:
        """Whose it is, and how long its header. Raises BadHeader."""
        route = self.routes.at(port)
        if route is not None and data[: len(route.header)] == route.header:
            return route, len(route.header)
        header = leading_header(data, may_lack=route is not None)
        if route is not None and not header:
            return route, 0
        return self.find((client_of(header, "udp") or source, here), port, header), len(header)

    def find(self, name: Name, port: Port, header: bytes) -> Route:
        """The client that has this name, at this port from now on. Raises BadHeader."""
        before, route = self.routes.by_port.get(port), self.routes.by_name.get(name)
        if before is not None and before is not route:
            self.forget(before)
        if route is None:
            if self.routes.holds(name):
                raise BadHeader("the header names a client that is here without a proxy")
            route = Route(name, port, header, self.way(name[1], port))
            self.routes.add(route)
        elif route.port != port:
            self.move(route, port)
        route.header = header
        return route

    def way(self, here: Address, port: Port) -> Transmit:
        return self.shared_sender(here, sockets.address(port[0]))

    def move(self, route: Route, port: Port) -> None:
        was_kept = route.twin is not None
        self.unpair(route)
        self.routes.move(route, port)
        route.lead(self.way(route.name[1], port))
        if was_kept:
            self.pair(route)

    def forget(self, route: Route) -> None:
        """The proxy has given the port to another client: like the end of a connection."""
        self.unpair(route)
        self.routes.remove(route)
        route.lead(nobody)
        if self.routes.holds(route.name):
            self.epoll.lose_later(*route.name)

    def keep(self, owner: Name) -> None:
        route = self.routes.by_name.get(owner)
        if route is None:
            super().keep(owner)
        elif route.twin is None:
            self.pair(route)

    def release(self, owner: Name) -> None:
        route = self.routes.by_name.get(owner)
        if route is None:
            super().release(owner)
        elif route.twin is not None:
            route.twin.sort(LAST_WORDS)
            self.unpair(route)

    def pair(self, route: Route) -> None:
        """A socket that finds what its proxy's port sends, if the system has one left."""
        here, there = route.name[1], sockets.address(route.port[0])
        try:
            twin = Joined(self.epoll, sockets.joined(here, there), here, there)
        except OSError:
            return
        twin.start(partial(self.take, route.port, there, here), partial(self.catch, ip=here.ip))
        route.twin = twin
        route.lead(twin.sock.send)

    def take(
        self, port: Port, there: Address, here: Address, view: memoryview, start: int, size: int
    ) -> bool:
        """A datagram in a twin. What goes up goes later: packets before it may wait in the buffer still."""
        packet = self.carry(port, there, here, view, start, size)
        if packet is not None:
            self.epoll.up_later(packet)
        return True

    def unpair(self, route: Route) -> None:
        """What waits in the twin is lost: to read it would overwrite what is being read."""
        twin, route.twin = route.twin, None
        if twin is not None:
            self.epoll.drop(twin.sock)
            route.lead(self.way(route.name[1], route.port))

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

    def sender(self, here: Address, there: Address) -> Transmit:
        route = self.routes.by_name.get((there, here))
        return super().sender(here, there) if route is None else route.send

    def close(self) -> None:
        for route in self.routes.by_name.values():
            if route.twin is not None:
                self.epoll.drop(route.twin.sock)
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
