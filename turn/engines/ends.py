"""The sockets that packets come in by: a listener, a relayed address, and those that know one other end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from socket import socket
from time import monotonic

from turn.engines import sockets
from turn.engines.epoll import LAST_START, Epoll
from turn.engines.framing import LARGEST, ROOM, TAIL
from turn.engines.gather import Sender, Transmit
from turn.engines.sockets import CONTROL_BYTES, SockAddr
from turn.engines.table import Client, Table
from turn.flows import Address, Packet

SETTLING = 0.1  # seconds in which a new joined socket may still hold what others sent before it was connected
MAX_TWINS = 512  # per listener: before Linux 6.13 each packet's look-up walks them all
LAST_WORDS = 1024  # packets: more than the buffer of a joined socket holds, however small they are

Take = Callable[[memoryview, int, int], bool]  # buffer, start, size: carried, or to be sent up
Stray = Callable[[int, SockAddr], None]  # size, source: what a joined socket caught of somebody else's


class Listener:
    """A shared socket that strangers come in by, and twins of it for clients with a linked flow."""

    def __init__(self, epoll: Epoll, address: Address, sock: socket) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        self.read = self.read_with_local if sockets.is_wildcard(address) else self.read_plain
        self.clients: dict[tuple[SockAddr, bytes], Client] = {}  # with a linked flow, by source and our ip
        self.twins: dict[Client, Joined] = {}
        self.shared: dict[Client, None] = {}  # those without a twin, longest waiting first
        epoll.watch(self.sock, self.drain)
        epoll.crowded.append(self.drain)

    def drain(self, most: int) -> None:
        for _ in range(most):
            try:
                size, there, ip = self.read()
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an earlier packet
                continue
            if ip is not None:
                self.receive(size, there, ip)

    def read_plain(self) -> tuple[int, SockAddr, bytes | None]:
        size, there = self.sock.recvfrom_into(self.epoll.body)
        return size, there[:2], self.address.ip

    def read_with_local(self) -> tuple[int, SockAddr, bytes | None]:
        size, control, _, there = self.sock.recvmsg_into([self.epoll.body], CONTROL_BYTES)
        return size, there[:2], sockets.local_ip(control)

    def receive(self, size: int, there: SockAddr, ip: bytes) -> None:
        """A datagram in the buffer, from this source to this address of ours."""
        client = self.clients.get((there, ip))
        if client is None or not client.carry(self.epoll.view, ROOM, size):
            here = Address(ip, self.address.port)
            self.epoll.up(Packet(here, sockets.address(there), bytes(self.epoll.body[:size])))

    def greet(self, client: Client) -> None:
        """A client with its first linked flow."""
        self.clients[sockets.sockaddr(client.address), client.listener.ip] = client
        if len(self.twins) >= MAX_TWINS or not self.pair(client):
            client.send = self.sender(client.listener, client.address)
            self.shared[client] = None

    def pair(self, client: Client) -> bool:
        """Give the client a twin; False if the system has none left."""
        here, there = client.listener, client.address
        try:
            twin = Joined(self.epoll, sockets.joined(here, there), here, there)
        except OSError:
            return False
        twin.start(client.carry, partial(self.receive, ip=here.ip))
        self.twins[client] = twin
        client.send = Sender(twin.sock, self.epoll.gather)
        return True

    def part(self, client: Client) -> None:
        """A client without its last linked flow: its twin goes to the one that has waited longest."""
        del self.clients[sockets.sockaddr(client.address), client.listener.ip]
        self.shared.pop(client, None)
        twin = self.twins.pop(client, None)
        if twin is None:
            return
        twin.close()
        heir = next(iter(self.shared), None)
        if heir is not None and self.pair(heir):
            del self.shared[heir]

    def sender(self, here: Address, there: Address) -> Transmit:
        """What sends to one client from the address that it knows us by."""
        sock, destination = self.sock, sockets.sockaddr(there)
        if here == self.address:
            return lambda data: sock.sendto(data, destination)
        control = sockets.leave_from(here.ip)
        return lambda data: sock.sendmsg([data], control, 0, destination)

    def close(self) -> None:
        self.epoll.drop(self.sock)


class Relayed:
    """A relayed address: peers without a linked flow, and flows that got no socket of their own."""

    def __init__(self, epoll: Epoll, table: Table, address: Address) -> None:
        """Raises OSError; EADDRINUSE means taken."""
        self.epoll = epoll
        self.table = table
        self.address = address
        self.sock = sockets.relayed(address)
        epoll.watch(self.sock, self.drain)

    def drain(self, most: int) -> None:
        for _ in range(most):
            try:
                size, there = self.sock.recvfrom_into(self.epoll.body)
            except BlockingIOError:
                return
            except OSError:
                continue
            self.receive(size, there[:2])

    def receive(self, size: int, there: SockAddr) -> None:
        """A datagram in the buffer, from this source."""
        peer = sockets.address(there)
        lane = self.table.between(self.address, peer)
        if lane is None:
            self.epoll.up(Packet(self.address, peer, bytes(self.epoll.body[:size])))
        else:
            lane.carry_in(self.epoll.view, ROOM, size)

    def sender(self, there: Address) -> Transmit:
        """What sends to one peer."""
        sock, destination = self.sock, sockets.sockaddr(there)
        return lambda data: sock.sendto(data, destination)


class Joined:
    """A socket connected to one other end: a client's twin, or a flow's leg to its peer."""

    __slots__ = ("epoll", "here", "settled", "sock", "source", "stray", "take", "there")

    def __init__(self, epoll: Epoll, sock: socket, here: Address, there: Address) -> None:
        self.epoll = epoll
        self.sock = sock
        self.here = here
        self.there = there
        self.source = sockets.sockaddr(there)
        self.settled = monotonic() + SETTLING
        self.take: Take
        self.stray: Stray

    def start(self, take: Take, stray: Stray) -> None:
        """Read from now on: `take` what is from the other end, `stray` what is not."""
        self.take = take
        self.stray = stray
        self.epoll.watch(self.sock, self.settle)

    def drain(self, most: int) -> None:
        """The packet loop: everything that a call sends or receives passes here.

        Several packets lie behind each other in the buffer until they leave together; before anything is
        punted they have left, since the core's answer may use the buffer and close sockets.
        """
        recv_into, take, view, gather = self.sock.recv_into, self.take, self.epoll.view, self.epoll.gather
        start = ROOM
        gather.on = most > 1
        for _ in range(most):
            try:
                size = recv_into(view[start : start + LARGEST])
            except BlockingIOError:
                break
            except OSError:  # an ICMP error about an earlier packet
                continue
            if not take(view, start, size):
                gather.end()
                self.up(view[start : start + size])
                gather.on = most > 1
                start = ROOM
            elif start > LAST_START - size - ROOM - TAIL:
                gather.flush()
                start = ROOM
            else:
                start += size + TAIL + ROOM
        if gather.on:
            gather.end()

    def settle(self, most: int) -> None:
        """The first packets: they may be from anybody, so each one's source is read. What waits when the
        time is over may have waited since the beginning: all of it is read so."""
        over = monotonic() > self.settled
        self.sort(LAST_WORDS if over else most)
        if over and self.sock.fileno() in self.epoll.drains:  # what went up may have closed it
            self.epoll.drains[self.sock.fileno()] = self.drain

    def sort(self, most: int) -> None:
        for _ in range(most):
            try:
                size, there = self.sock.recvfrom_into(self.epoll.body)
            except BlockingIOError:
                return
            except OSError:
                continue
            if there[:2] != self.source:
                self.stray(size, there[:2])
            elif not self.take(self.epoll.view, ROOM, size):
                self.up(self.epoll.body[:size])

    def up(self, data: memoryview) -> None:
        self.epoll.up(Packet(self.here, self.there, bytes(data)))

    def close(self) -> None:
        """Send up what waits, later: a socket closes while the core's answer is being applied."""
        self.take = self.keep
        self.stray = self.keep_stray
        self.sort(LAST_WORDS)
        self.epoll.drop(self.sock)

    def keep(self, _view: memoryview, _start: int, size: int) -> bool:
        self.epoll.up_later(Packet(self.here, self.there, bytes(self.epoll.body[:size])))
        return True

    def keep_stray(self, size: int, there: SockAddr) -> None:
        self.epoll.up_later(Packet(self.here, sockets.address(there), bytes(self.epoll.body[:size])))
