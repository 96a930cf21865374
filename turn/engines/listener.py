"""A shared socket that strangers come in by, and twins of it for clients with a linked flow."""

from __future__ import annotations

from functools import partial
from socket import socket

from turn.engines import sockets
from turn.engines.ends import Joined
from turn.engines.epoll import Epoll
from turn.engines.framing import ROOM
from turn.engines.gather import Sender, Transmit
from turn.engines.sockets import CONTROL_BYTES, SockAddr
from turn.engines.table import Client
from turn.flows import Address, Packet

MAX_TWINS = 512  # per listener: before Linux 6.13 each packet's look-up walks them all


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
