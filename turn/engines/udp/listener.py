"""A shared socket that strangers come in by, with those of its clients; some have a twin of it."""

from __future__ import annotations

from socket import socket

from turn.engines.framing import ROOM
from turn.engines.loop import sockets
from turn.engines.loop.batching import Addressed
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import CONTROL_BYTES, SockAddr
from turn.engines.table import Client
from turn.engines.transmit import Transmit
from turn.engines.udp.client_sockets import Owner, Twins
from turn.flows import Address, Packet

MAX_TWINS = 512  # per listener: before Linux 6.13 each packet's look-up walks them all
CATCH_UP = 1024  # packets read at once where order hangs on it
EVERYTHING = 1 << 15  # packets: more than the buffer of a listener holds, however small they are


class Listener:
    """`alone`: nobody else listens here for good. A twin joins all that are bound to the same address, and
    the kernel then shares strangers out anew: under others' eyes there are twins for speed only where they
    are bound to something else than the listener, which is a wildcard."""

    def __init__(self, epoll: Epoll, address: Address, sock: socket, *, alone: bool = True) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        wildcard = sockets.is_wildcard(address)
        self.read = self.read_with_local if wildcard else self.read_plain
        self.clients: dict[tuple[SockAddr, bytes], Client] = {}  # with a linked flow, by source and our ip
        self.catch = self.receive if alone else self.stray  # what a new twin holds of others
        self.twins = Twins(
            epoll,
            MAX_TWINS if alone or wildcard else 0,
            self.catch,
            self.shared_sender,
            lambda: self.drain(CATCH_UP),
        )
        epoll.watch(self.sock, self.drain)
        epoll.crowded.append(self.drain)
        epoll.ticks.append(self.twins.look)

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

    def stray(self, size: int, there: SockAddr, ip: bytes) -> None:
        """What a new twin caught of somebody else's: who has nothing here may be the others'. Ours would
        refuse what they have granted; so it is lost, and sent again by whoever sent it."""
        here = Address(ip, self.address.port)
        if (there, ip) in self.clients or self.epoll.holds(sockets.address(there), here):
            self.receive(size, there, ip)

    def greet(self, client: Client) -> None:
        """A client with its first linked flow."""
        self.clients[sockets.sockaddr(client.address), client.listener.ip] = client
        self.twins.greet(client)

    def part(self, client: Client) -> None:
        """A client without its last linked flow."""
        del self.clients[sockets.sockaddr(client.address), client.listener.ip]
        self.twins.part(client)

    def keep(self, owner: Owner) -> None:
        self.twins.keep(owner)

    def release(self, owner: Owner) -> None:
        self.twins.release(owner)

    def sender(self, here: Address, there: Address) -> Transmit:
        """What sends to one client from the address that it knows us by."""
        twin = self.twins.held.get((there, here))
        return twin.sock.send if twin else self.shared_sender(here, there)

    def shared_sender(self, here: Address, there: Address) -> Transmit:
        control = () if here == self.address else sockets.leave_from(here.ip)
        return Addressed(self.sock, self.epoll.gather, sockets.sockaddr(there), control)

    def withdraw(self) -> None:
        """Take no more strangers; those whose packets wait are answered, in the loop's next turn."""
        sockets.turn_away(self.sock)
        self.epoll.later(self.end)

    def end(self) -> None:
        if self.sock.fileno() >= 0:
            self.drain(EVERYTHING)
            self.shut()

    def shut(self) -> None:
        if self.sock.fileno() >= 0:
            self.epoll.crowded.remove(self.drain)
            self.epoll.drop(self.sock)

    def close(self) -> None:
        self.twins.close()
        self.shut()
