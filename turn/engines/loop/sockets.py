"""The operating system in a few functions: sockets as the packet mover needs them (Linux)."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from contextlib import suppress
from ipaddress import ip_address

from turn.flows import Address

SockAddr = tuple[str, int]  # how the system writes an address, without IPv6's flow label and scope

LISTENER_BUFFER = 4 << 20  # all clients' bursts pass one socket: with 64 KiB, one packet in ten was lost
FLOW_BUFFER = 256 << 10  # one client's or one peer's burst
STREAM_BUFFER = 64 << 10  # of a TCP client, each way; left alone, the kernel would give a slow reader 4 MiB
BACKLOG = 1024

# A client that vanished is noticed after 45 + 4 * 15 seconds.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 45), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))

# Numbers from Linux's headers that the socket module does not name.
IP_PKTINFO, IP_MTU_DISCOVER, IP_MTU, SO_RCVBUFFORCE = 8, 10, 14, 33
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_DONTFRAG = 23, 24, 62
SO_ATTACH_FILTER = 26
PMTUDISC_DONT, PMTUDISC_PROBE, PMTUDISC_OMIT = 0, 3, 5
LEVEL = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}
DONT_FRAGMENT = {  # options, their values for such a packet, and for all others of a relayed address
    socket.AF_INET: ((IP_MTU_DISCOVER, PMTUDISC_PROBE, PMTUDISC_OMIT),),
    socket.AF_INET6: ((IPV6_MTU_DISCOVER, PMTUDISC_PROBE, PMTUDISC_DONT), (IPV6_DONTFRAG, 1, 0)),
}
PKTINFO4 = struct.Struct("=I4s4s")
PKTINFO6 = struct.Struct("=16sI")
CONTROL_BYTES = 64  # room for one PKTINFO
LOOPBACK = {4: ip_address("127.0.0.1").packed, 16: ip_address("::1").packed}

# A filter for a TCP listener (bpf(4), classic): of the flags, SYN and not ACK is dropped, all else passes.
INSTRUCTION = struct.Struct("=HBBI")
NO_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF))


def is_wildcard(address: Address) -> bool:
    """Whether this stands for every address of its family."""
    return not any(address.ip)


def sockaddr(address: Address) -> SockAddr:
    """As the system writes it."""
    return socket.inet_ntop(family(address), address.ip), address.port


def address(sockaddr: SockAddr) -> Address:
    """As the relay writes it."""
    host, port = sockaddr
    return Address(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host), port)


def family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if len(address.ip) == 4 else socket.AF_INET6


def open_listener(here: Address, *, shared: bool = False) -> socket.socket:
    """A socket that clients are met at. Raises OSError; EADDRINUSE means taken. With `beside` it may join
    others of this account that share the address."""
    make = udp_listener if here.transport == "udp" else tcp_listener
    try:
        return make(here)
    except OSError as error:
        if not shared or error.errno != errno.EADDRINUSE:
            raise
    return make(here, shared=True)


def udp_listener(here: Address, *, shared: bool = False) -> socket.socket:
    """A socket that strangers reach and twins may join. Raises OSError."""
    sock = bound_socket(here, LISTENER_BUFFER, shared=shared)
    if is_wildcard(here):
        enable_pktinfo(sock)
    return sock


def open_relayed(here: Address) -> socket.socket:
    """A socket at a relayed address that legs may join. Raises OSError; EADDRINUSE means taken."""
    return bound_socket(here, FLOW_BUFFER)


def bound_socket(here: Address, buffer: int, *, shared: bool = False) -> socket.socket:
    """A socket at an address that nobody else has, or `beside` those who have it."""
    sock = udp_socket(here, buffer)
    try:
        bind(sock, here, shared=shared)
    except OSError:
        sock.close()
        raise
    return sock


def bind(sock: socket.socket, here: Address, *, shared: bool) -> None:
    """Bound plain, and only then shared with what joins it: else two processes could take one port. Raises
    OSError."""
    if shared:
        set_reuseport(sock)
    sock.bind(sockaddr(here))
    set_reuseport(sock)


def open_connected(here: Address, there: Address) -> socket.socket:
    """A socket at a shared address that meets one other end only. Raises OSError.

    Between bind and connect it catches what others send to `here`: whoever opens it reads that first.
    """
    sock = udp_socket(here, FLOW_BUFFER)
    try:
        set_reuseport(sock)
        sock.bind(sockaddr(here))
        sock.connect(sockaddr(there))
    except OSError:
        sock.close()
        raise
    return sock


def udp_socket(here: Address, buffer: int) -> socket.socket:
    """An unbound, non-blocking UDP socket that never sets Don't Fragment (RFC 8656 §15)."""
    sock = socket.socket(family(here), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
    set_receive_buffer(sock, buffer)
    return sock


def tcp_listener(here: Address, *, shared: bool = False) -> socket.socket:
    """A TCP socket that clients connect to, and whose buffers theirs inherit. Raises OSError."""
    sock = socket.socket(family(here), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last calls of the one before linger
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, buffer, STREAM_BUFFER)
        bind(sock, here, shared=shared)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def stop_receiving(sock: socket.socket) -> None:
    """From now on what comes goes to others at the same address, if there are any; what waits here stays.

    Connected to itself, the socket is no longer looked up for anybody else.
    """
    here = address(sock.getsockname()[:2])
    with suppress(OSError):  # no way to there: what comes until it is closed is lost
        sock.connect(sockaddr(here._replace(ip=LOOPBACK[len(here.ip)]) if is_wildcard(here) else here))


def drop_new_handshakes(sock: socket.socket) -> None:
    """New connections find another door, at their second try; those that have begun come to this one.

    A kernel may let root alone do this: then connections go on coming here until it is closed.
    """
    program = b"".join(INSTRUCTION.pack(*line) for line in NO_SYN)
    kept = ctypes.create_string_buffer(program)
    filter_ = struct.pack("HL", len(NO_SYN), ctypes.addressof(kept))
    with suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)


def set_tcp_options(sock: socket.socket) -> None:
    """A connection that waits for nothing, sends at once, and notices that its client is gone."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def send_unfragmented(sock: socket.socket, data: bytes, there: Address) -> None:
    """Send with Don't Fragment (RFC 8656 §14). Raises OSError; EMSGSIZE: too large for the first link."""
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # what an earlier packet met is not told of this one
    for name, value, _ in DONT_FRAGMENT[sock.family]:
        sock.setsockopt(LEVEL[sock.family], name, value)
    try:
        sock.sendto(data, sockaddr(there))
    finally:
        for name, _, usual in DONT_FRAGMENT[sock.family]:
            sock.setsockopt(LEVEL[sock.family], name, usual)


def path_mtu(here: Address, there: Address) -> int:
    """The largest IP packet that is known to pass. Raises OSError."""
    with socket.socket(family(here), socket.SOCK_DGRAM) as sock:
        sock.bind(sockaddr(here._replace(port=0)))
        sock.connect(sockaddr(there))
        return sock.getsockopt(LEVEL[sock.family], IP_MTU if len(here.ip) == 4 else IPV6_MTU)


def set_receive_buffer(sock: socket.socket, buffer: int) -> None:
    """Ask for a receive buffer: beyond net.core.rmem_max where we may, else up to it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)


def receive_buffer(sock: socket.socket) -> int:
    """The receive buffer's size in the measure that it was asked for in (the kernel doubles it)."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def set_reuseport(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def enable_pktinfo(sock: socket.socket) -> None:
    """Let each packet say which of our addresses it was sent to."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def local_ip(control: list[tuple[int, int, bytes]]) -> bytes | None:
    """Which of our addresses a packet was sent to; None if the system did not say."""
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return bytes(PKTINFO4.unpack(data)[1])
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return bytes(PKTINFO6.unpack(data)[0])
    return None


def from_local_ip(ip: bytes) -> list[tuple[int, int, bytes]]:
    """The control message that makes a packet leave from this address of ours."""
    if len(ip) == 4:
        return [(socket.IPPROTO_IP, IP_PKTINFO, PKTINFO4.pack(0, ip, bytes(4)))]
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, PKTINFO6.pack(ip, 0))]
