"""A UDP socket that all clients of an address share; some of them have a socket of their own beside it."""

from __future__ import annotations

from collections.abc import Sequence
from socket import socket

from turn.engines.framing import HEADROOM
from turn.engines.loop import sockets
from turn.engines.loop.batching import AddressedSender, Control, transmit_to
from turn.engines.loop.epoll import Epoll
from turn.engines.loop.sockets import CONTROL_BYTES, SockAddr
from turn.engines.table import ClientKey, LinkedClient
from turn.engines.transmit import Outlet
from turn.engines.udp.client_sockets import ClientSockets
from turn.flows import Address, Packet

MAX_CLIENT_SOCKETS = 512  # per listener: before Linux 6.13 the look-up for each packet walks them all
CATCH_UP = 1024  # packets read at once where their order depends on it
EVERYTHING = 1 << 15  # packets: more than the buffer of a listener holds, however small they are


class UdpListener:
    """`exclusive`: no other process listens here for good. A client's own socket joins the group of all
    sockets bound to the same address, and the kernel then assigns unknown clients anew. So where others
    listen too, clients have sockets for speed only if the listener itself is bound to a wildcard."""

    def __init__(self, epoll: Epoll, address: Address, sock: socket, *, exclusive: bool = True) -> None:
        self.epoll = epoll
        self.address = address
        self.sock = sock
        wildcard = sockets.is_wildcard(address)
        self.read = self.read_with_local if wildcard else self.read_plain
        self.clients: dict[tuple[SockAddr, bytes], LinkedClient] = {}  # by source and our IP address
        self.receive_stray = self.receive if exclusive else self.receive_if_ours
        self.client_sockets = ClientSockets(
            epoll,
            MAX_CLIENT_SOCKETS if exclusive or wildcard else 0,
            self.receive_stray,
            self.shared_sender,
            lambda: self.on_readable(CATCH_UP),
        )
        epoll.register_shared(sock, self.on_readable)
        epoll.ticks.append(self.client_sockets.rebalance)

    def on_readable(self, most: int) -> None:
        for _ in range(most):
            try:
                size, remote, ip = self.read()
            except BlockingIOError:
                return
            except OSError:  # an ICMP error about an earlier packet
                continue
            if ip is not None:
                self.receive(size, remote, ip)

    def read_plain(self) -> tuple[int, SockAddr, bytes | None]:
        size, remote = self.sock.recvfrom_into(self.epoll.body)
        return size, remote[:2], self.address.ip

    def read_with_local(self) -> tuple[int, SockAddr, bytes | None]:
        size, control, _, remote = self.sock.recvmsg_into([self.epoll.body], CONTROL_BYTES)
        return size, remote[:2], sockets.local_ip(control)

    def receive(self, size: int, remote: SockAddr, ip: bytes) -> None:
        """A datagram in the buffer, from this source to this address of ours."""
        client = self.clients.get((remote, ip))
        if client is None or not client.carry(self.epoll.view, HEADROOM, size):
            local = Address(ip, self.address.port)
            self.epoll.punt(Packet(local, sockets.address(remote), bytes(self.epoll.body[:size])))

    def receive_if_ours(self, size: int, remote: SockAddr, ip: bytes) -> None:
        """A new client socket caught this datagram of another client, which may belong to another process. We
        would refuse what that process has granted, so the datagram is dropped; the client sends it again."""
        local = Address(ip, self.address.port)
        if (remote, ip) in self.clients or self.epoll.holds(sockets.address(remote), local):
            self.receive(size, remote, ip)

    def link_client(self, client: LinkedClient) -> None:
        """A client has got its first linked flow."""
        self.clients[sockets.sockaddr(client.address), client.listener.ip] = client
        self.client_sockets.attach(client)

    def unlink_client(self, client: LinkedClient) -> None:
        """A client has lost its last linked flow."""
        del self.clients[sockets.sockaddr(client.address), client.listener.ip]
        self.client_sockets.detach(client)

    def pin_client(self, client: ClientKey) -> None:
        self.client_sockets.pin(client)

    def unpin_client(self, client: ClientKey) -> None:
        self.client_sockets.unpin(client)

    def sender(self, local: Address, remote: Address) -> Outlet:
        """What sends an answer to one client, from the address of ours that the client sends to. It is made
        for each answer to a stranger, so it collects nothing."""
        own = self.client_sockets.by_client.get((remote, local))
        if own is not None:
            return Outlet(own.sock.send)
        return Outlet(transmit_to(self.sock, sockets.sockaddr(remote), self.control_for(local)))

    def shared_sender(self, local: Address, remote: Address) -> Outlet:
        """What sends to one client without a socket of its own, as long as it has a linked flow."""
        batch, control = self.epoll.batch, self.control_for(local)
        return AddressedSender(self.sock, batch, sockets.sockaddr(remote), control)

    def control_for(self, local: Address) -> Sequence[Control]:
        return () if local == self.address else sockets.from_local_ip(local.ip)

    def stop_new_clients(self) -> None:
        """Take no new clients. Packets that wait in the socket are served, in the loop's next turn."""
        sockets.stop_receiving(self.sock)
        self.epoll.call_soon(self.read_rest_and_close)

    def read_rest_and_close(self) -> None:
        if self.sock.fileno() >= 0:
            self.on_readable(EVERYTHING)
            self.epoll.close_socket(self.sock)

    def close(self) -> None:
        self.client_sockets.close()
        self.epoll.close_socket(self.sock)
