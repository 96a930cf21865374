"""What the network says of packets that did not arrive: a socket's error queue (ip(7), ipv6(7))."""

from __future__ import annotations

import socket
import struct

from turn.engines import Failure
from turn.engines.loop import sockets
from turn.engines.loop.epoll import Epoll
from turn.flows import Address

# Numbers from Linux's headers that the socket module does not name.
IP_RECVERR, IPV6_RECVERR = 11, 25
RECVERR = {socket.AF_INET: IP_RECVERR, socket.AF_INET6: IPV6_RECVERR}
ORIGIN = {socket.AF_INET: 2, socket.AF_INET6: 3}  # of an error that came as ICMP or ICMPv6

TOO_LARGE = {4: (3, 4), 16: (2, 0)}  # type and code by the bytes of the family's addresses
EXTENDED = struct.Struct("=IBBBxII")  # sock_extended_err: errno, origin, type, code, info, data
CONTROL_BYTES = 512  # room for EXTENDED and the address of who sent the error


def report_errors(epoll: Epoll, sock: socket.socket, relay: Address) -> None:
    """Tell from now on what comes back for packets that left this socket of a relayed address.

    IPv4 drops what speaks of a packet that was too large, unless the socket chooses its packets' sizes by
    itself: OMIT does so, never sets Don't Fragment either, and learns nothing from errors that anybody may
    have forged. In IPv6 routers do not fragment: there the kernel has to learn, and tells as it does.
    """
    sock.setsockopt(sockets.LEVEL[sock.family], RECVERR[sock.family], 1)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, sockets.IP_MTU_DISCOVER, sockets.PMTUDISC_OMIT)
    epoll.register_errors(sock, ErrorQueue(epoll, sock, relay))


class ErrorQueue:
    """One socket's error queue. There are two sockets to an allocation: this is as small as can be."""

    __slots__ = ("epoll", "relay", "sock")

    def __init__(self, epoll: Epoll, sock: socket.socket, relay: Address) -> None:
        self.epoll = epoll
        self.sock = sock
        self.relay = relay

    def __call__(self, most: int) -> None:
        """What waits in the queue, so many at most: epoll comes back while anything is left."""
        for _ in range(most):
            try:
                failure = read_error(self.sock, self.relay)
            except BlockingIOError:
                return
            if failure is not None:
                self.epoll.report_failure(failure)


def read_error(sock: socket.socket, relay: Address) -> Failure | None:
    """The next error; None for one of this machine's own, which `send` has raised already. Raises
    BlockingIOError."""
    _, control, _, there = sock.recvmsg(0, CONTROL_BYTES, socket.MSG_ERRQUEUE)
    for level, kind, data in control:
        if (level, kind) == (sockets.LEVEL[sock.family], RECVERR[sock.family]) and there:
            _, origin, icmp_type, code, info, _ = EXTENDED.unpack_from(data)
            if origin == ORIGIN[socket.AddressFamily(sock.family)]:
                return Failure(relay, sockets.address(there[:2]), icmp_type, code, info)
    return None


def too_large(relay: Address, peer: Address) -> Failure:
    """What this machine itself says of a packet that must not be fragmented. Raises OSError."""
    return Failure(relay, peer, *TOO_LARGE[len(relay.ip)], sockets.path_mtu(relay, peer))
