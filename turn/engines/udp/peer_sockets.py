"""The sockets of the peers' side: a relayed address; and those, of both sides, that know one other end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from socket import socket
from time import monotonic

from turn.engines.framing import LARGEST, ROOM, TAIL
from turn.engines.loop import dscp, icmp, sockets
from turn.engines.loop.epoll import LAST_START, Epoll
from turn.engines.loop.sockets import SockAddr
from turn.engines.table import Table
from turn.engines.transmit import Transmit
from turn.flows import Address, Packet

SETTLING = 0.1  # seconds in which a new joined socket may still hold what others sent before it was connected
LAST_WORDS = 1024  # packets: more than the buffer of a joined socket holds, however small they are

Take = Callable[[memoryview, int, int], bool]  # buffer, start, size: carried, or to be sent up
Stray = Callable[[int, SockAddr], None]  # size, source: what a joined socket caught of somebody else's


class Relayed:
    """A relayed address: peers without a linked flow, and flows that got no socket of their own."""

    __slots__ = ("address", "epoll", "sock", "table")

    def __init__(self, epoll: Epoll, table: Table, address: Address) -> None:
        """Raises OSError; EADDRINUSE means taken."""
        self.epoll = epoll
        self.table = table
        self.address = address
        self.sock = sockets.relayed(address)
        epoll.watch(self.sock, self.drain)
        icmp.hear(epoll, self.sock, address)

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
        if lane is None or not lane.carry_in(self.epoll.view, ROOM, size):
            self.epoll.up(Packet(self.address, peer, bytes(self.epoll.body[:size])))

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
        dscp.ask(self.sock)
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
            self.epoll.watch_now_and_then(self.sock, self.look)

    def look(self, _most: int) -> None:
        """One packet, and what it leaves by is marked as it is."""
        epoll, gather = self.epoll, self.epoll.gather
        epoll.drains[self.sock.fileno()] = self.drain
        try:
            size, control, _, _ = self.sock.recvmsg_into([epoll.body], dscp.CONTROL_BYTES)
        except OSError:
            return
        gather.on = True
        taken = self.take(epoll.view, ROOM, size)
        for sender in gather.holding:
            sender.mark(dscp.said(control))
        gather.end()
        if not taken:
            self.up(epoll.body[:size])

    def sort(self, most: int) -> None:
        for _ in range(most):
            try:
                size, there = self.sock.recvfrom_into(self.epoll.body)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error; or what went up has closed it
                if self.sock.fileno() < 0:
                    return
                continue
            if there[:2] != self.source:
                self.stray(size, there[:2])
            elif not self.take(self.epoll.view, ROOM, size):
                self.up(self.epoll.body[:size])

    def up(self, data: memoryview) -> None:
        self.epoll.up(Packet(self.here, self.there, bytes(data)))

    def close(self) -> None:
        """Send up what waits, later: a socket closes while the core's answer is being applied."""
        sockets.turn_away(self.sock)
        self.take = self.keep
        self.stray = partial(self.keep_stray, self.stray)
        self.sort(LAST_WORDS)
        self.epoll.drop(self.sock)

    def keep(self, _view: memoryview, _start: int, size: int) -> bool:
        self.epoll.up_later(Packet(self.here, self.there, bytes(self.epoll.body[:size])))
        return True

    def keep_stray(self, stray: Stray, size: int, there: SockAddr) -> None:
        self.epoll.later(partial(self.give, stray, bytes(self.epoll.body[:size]), there))

    def give(self, stray: Stray, data: bytes, there: SockAddr) -> None:
        """Once more in the buffer, as if it had just come."""
        self.epoll.body[: len(data)] = data
        stray(len(data), there)
