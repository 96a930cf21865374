"""ICMP errors about packets that did not arrive: from a socket's error queue (ip(7), ipv6(7))."""

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

TOO_LARGE = {4: (3, 4), 16: (2, 0)}  # type and code, by the length of the family's addresses
EXTENDED = struct.Struct("=IBBBxII")  # sock_extended_err: errno, origin, type, code, info, data
CONTROL_BYTES = 512  # for EXTENDED and the address of the sender of the error


def report_errors(epoll: Epoll, sock: socket.socket, relay: Address) -> None:
    """Report ICMP errors about packets that left this socket of a relayed address, from now on.

    For IPv4, the kernel hides errors about packets that were too large, unless the socket chooses the size of
    its packets by itself. OMIT does so; it never sets Don't Fragment either, and learns nothing from errors,
    which anybody may forge. For IPv6, routers do not fragment: there the kernel has to learn from the errors,
    and reports them, too.
    """
    sock.setsockopt(sockets.LEVEL[sock.family], RECVERR[sock.family], 1)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, sockets.IP_MTU_DISCOVER, sockets.PMTUDISC_OMIT)
    epoll.register_errors(sock, ErrorQueue(epoll, sock, relay))


class ErrorQueue:
    """Reads one socket's error queue. Each allocation has two such sockets, so this is small."""

    __slots__ = ("epoll", "relay", "sock")

    def __init__(self, epoll: Epoll, sock: socket.socket, relay: Address) -> None:
        self.epoll = epoll
        self.sock = sock
        self.relay = relay

    def __call__(self, most: int) -> None:
        """Read what waits, at most so many errors; epoll reports the queue again while anything is left."""
        for _ in range(most):
            try:
                failure = read_error(self.sock, self.relay)
            except BlockingIOError:
                return
            if failure is not None:
                self.epoll.report_failure(failure)


def read_error(sock: socket.socket, relay: Address) -> Failure | None:
    """The next error; None for an error of this machine itself, which `send` has raised already. Raises
    BlockingIOError when the queue is empty."""
    _, control, _, remote = sock.recvmsg(0, CONTROL_BYTES, socket.MSG_ERRQUEUE)
    for level, kind, data in control:
        if (level, kind) == (sockets.LEVEL[sock.family], RECVERR[sock.family]) and remote:
            _, origin, icmp_type, code, info, _ = EXTENDED.unpack_from(data)
            if origin == ORIGIN[socket.AddressFamily(sock.family)]:
                return Failure(relay, sockets.address(remote[:2]), icmp_type, code, info)
    return None


def too_large(relay: Address, peer: Address) -> Failure:
    """The failure of a packet that this machine may not fragment and could not send. Raises OSError."""
    return Failure(relay, peer, *TOO_LARGE[len(relay.ip)], sockets.path_mtu(relay, peer))
