"""The socket of a relayed address, and sockets that are connected to one client or one peer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from socket import socket
from time import monotonic

from turn.engines.framing import GAP, HEADROOM, LARGEST
from turn.engines.loop import dscp, icmp, sockets
from turn.engines.loop.batching import transmit_to
from turn.engines.loop.epoll import LAST_START, Epoll
from turn.engines.loop.sockets import SockAddr
from turn.engines.table import Table
from turn.engines.transmit import Outlet
from turn.flows import Address, Packet

# Seconds in which a new connected socket may still hold what others sent before it was connected.
CHECKED_SECONDS = 0.1
WHOLE_BUFFER = 1024  # packets: more than the buffer of a connected socket holds, however small they are

Carry = Callable[[memoryview, int, int], bool]  # buffer, start, size: True if carried, False to punt it
OnStray = Callable[[int, SockAddr], None]  # size, source: a packet in the buffer from another source


class RelayedSocket:
    """A relayed address: for peers without a linked flow, and for flows that have no socket of their own."""

    __slots__ = ("address", "epoll", "sock", "table")

    def __init__(self, epoll: Epoll, table: Table, address: Address) -> None:
        """Raises OSError; EADDRINUSE means taken."""
        self.epoll = epoll
        self.table = table
        self.address = address
        self.sock = sockets.open_relayed(address)
        try:
            epoll.register(self.sock, self.on_readable)
        except OSError:
            self.sock.close()
            raise
        icmp.report_errors(epoll, self.sock, address)

    def on_readable(self, most: int) -> None:
        for _ in range(most):
            try:
                size, remote = self.sock.recvfrom_into(self.epoll.body)
            except BlockingIOError:
                return
            except OSError:
                continue
            self.receive(size, remote[:2])

    def receive(self, size: int, remote: SockAddr) -> None:
        """A datagram in the buffer, from this source."""
        peer = sockets.address(remote)
        lane = self.table.between(self.address, peer)
        if lane is None or not lane.carry_in(self.epoll.view, HEADROOM, size):
            self.epoll.punt(Packet(self.address, peer, bytes(self.epoll.body[:size])))

    def sender_to(self, remote: Address) -> Outlet:
        """What sends to one peer."""
        return Outlet(transmit_to(self.sock, sockets.sockaddr(remote)))


class ConnectedSocket:
    """A socket connected to one other end: to a client, or to the peer of a flow."""

    __slots__ = (
        "carry",
        "checked_until",
        "epoll",
        "local",
        "on_stray",
        "remote",
        "sock",
        "source",
    )

    def __init__(self, epoll: Epoll, sock: socket, local: Address, remote: Address) -> None:
        self.epoll = epoll
        self.sock = sock
        self.local = local
        self.remote = remote
        self.source = sockets.sockaddr(remote)
        self.checked_until = monotonic() + CHECKED_SECONDS
        self.carry: Carry
        self.on_stray: OnStray

    def start_reading(self, carry: Carry, on_stray: OnStray) -> None:
        """Read from now on: `carry` gets what is from the other end, `on_stray` what is not.

        Raises OSError if the system watches no more sockets; then this one is closed.
        """
        self.carry = carry
        self.on_stray = on_stray
        dscp.enable(self.sock)
        try:
            self.epoll.register(self.sock, self.read_first)
        except OSError:
            self.sock.close()
            raise

    def on_readable(self, most: int) -> None:
        """The packet loop: everything that a call sends or receives passes here.

        Several packets wait behind each other in the buffer and are then sent together. They are sent before
        any packet is punted, since the core's answer may use the buffer and close sockets.
        """
        recv_into, carry, view, batch = self.sock.recv_into, self.carry, self.epoll.view, self.epoll.batch
        start = HEADROOM
        batch.is_open = most > 1
        for _ in range(most):
            try:
                size = recv_into(view[start : start + LARGEST])
            except BlockingIOError:
                break
            except OSError:  # an ICMP error about an earlier packet
                continue
            if not carry(view, start, size):
                batch.finish()
                self.punt(view[start : start + size])
                batch.is_open = most > 1
                start = HEADROOM
                continue
            start += size + GAP
            if start > LAST_START:
                batch.flush()
                start = HEADROOM
        if batch.is_open:
            batch.finish()

    def read_first(self, most: int) -> None:
        """The first packets may be from any source, so each one's source is checked. What waits when that
        time is over may have waited since the beginning, so all of it is checked, too."""
        over = monotonic() > self.checked_until
        self.read_checked(WHOLE_BUFFER if over else most)
        if over and self.sock.fileno() in self.epoll.readers:  # the answer to a punt may have closed it
            self.epoll.register_sampler(self.sock, self.sample_mark)

    def sample_mark(self, _most: int) -> None:
        """Read one packet with its mark, and set the same mark on the socket that it leaves by."""
        epoll, batch = self.epoll, self.epoll.batch
        epoll.readers[self.sock.fileno()] = self.on_readable
        try:
            size, control, _, _ = self.sock.recvmsg_into([epoll.body], dscp.CONTROL_BYTES)
        except OSError:
            return
        batch.is_open = True
        carried = self.carry(epoll.view, HEADROOM, size)
        for sender in batch.senders:
            sender.mark_packets(dscp.mark_of(control))
        batch.finish()
        if not carried:
            self.punt(epoll.body[:size])

    def read_checked(self, most: int) -> None:
        for _ in range(most):
            try:
                size, remote = self.sock.recvfrom_into(self.epoll.body)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error; or the answer to a punt has closed it
                if self.sock.fileno() < 0:
                    return
                continue
            if remote[:2] != self.source:
                self.on_stray(size, remote[:2])
            elif not self.carry(self.epoll.view, HEADROOM, size):
                self.punt(self.epoll.body[:size])

    def punt(self, data: memoryview) -> None:
        self.epoll.punt(Packet(self.local, self.remote, bytes(data)))

    def close(self) -> None:
        """Punt what waits, but later: a socket is closed while the core's answer is being applied."""
        sockets.stop_receiving(self.sock)
        self.carry = self.punt_later
        self.on_stray = partial(self.replay_later, self.on_stray)
        self.read_checked(WHOLE_BUFFER)
        self.epoll.close_socket(self.sock)

    def punt_later(self, _view: memoryview, _start: int, size: int) -> bool:
        self.epoll.punt_later(Packet(self.local, self.remote, bytes(self.epoll.body[:size])))
        return True

    def replay_later(self, on_stray: OnStray, size: int, remote: SockAddr) -> None:
        self.epoll.call_soon(partial(self.replay, on_stray, bytes(self.epoll.body[:size]), remote))

    def replay(self, on_stray: OnStray, data: bytes, remote: SockAddr) -> None:
        """Put it into the buffer again, as if it had just come."""
        self.epoll.body[: len(data)] = data
        on_stray(len(data), remote)
