"""What an engine needs of the operating system (Linux): sockets and their options."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from contextlib import suppress
from ipaddress import ip_address

from turn.flows import Address

SockAddr = tuple[str, int]  # an address as the system writes it, without IPv6's flow label and scope

# In bytes. The bursts of all clients pass one socket: with 64 KiB, one packet in ten was lost.
LISTENER_BUFFER = 4 << 20
FLOW_BUFFER = 256 << 10  # bytes; a burst of one client or one peer
STREAM_BUFFER = 64 << 10  # bytes, each way of a TCP client; by itself the kernel gives a slow reader 4 MiB
BACKLOG = 1024  # connections that wait to be accepted

# A client that vanished is noticed after 45 + 4 * 15 seconds.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 45), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))

# Numbers from Linux's headers that the socket module does not name.
IP_PKTINFO, IP_MTU_DISCOVER, IP_MTU, SO_RCVBUFFORCE = 8, 10, 14, 33
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_DONTFRAG = 23, 24, 62
SO_ATTACH_FILTER = 26
PMTUDISC_DONT, PMTUDISC_PROBE, PMTUDISC_OMIT = 0, 3, 5
LEVEL = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}
DONT_FRAGMENT = {  # option, its value for such a packet, and for all others of a relayed address
    socket.AF_INET: ((IP_MTU_DISCOVER, PMTUDISC_PROBE, PMTUDISC_OMIT),),
    socket.AF_INET6: ((IPV6_MTU_DISCOVER, PMTUDISC_PROBE, PMTUDISC_DONT), (IPV6_DONTFRAG, 1, 0)),
}
PKTINFO4 = struct.Struct("=I4s4s")
PKTINFO6 = struct.Struct("=16sI")
CONTROL_BYTES = 64  # room for one PKTINFO
LOOPBACK = {4: ip_address("127.0.0.1").packed, 16: ip_address("::1").packed}

# A filter for a TCP listener (classic BPF): a segment with SYN and without ACK is dropped, all else passes.
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


def open_listener(local: Address, *, shared: bool = False) -> socket.socket:
    """A socket for clients. Raises OSError; EADDRINUSE: another socket has the address. With `shared` it may
    join other sockets of the same user that share the address."""
    make = udp_listener if local.transport == "udp" else tcp_listener
    try:
        return make(local)
    except OSError as error:
        if not shared or error.errno != errno.EADDRINUSE:
            raise
    return make(local, shared=True)


def udp_listener(local: Address, *, shared: bool = False) -> socket.socket:
    """A socket that every client reaches, and that clients' own sockets may join. Raises OSError."""
    sock = bound_socket(local, LISTENER_BUFFER, shared=shared)
    if is_wildcard(local):
        enable_pktinfo(sock)
    return sock


def open_relayed(local: Address) -> socket.socket:
    """A socket at a relayed address; connected ones may join it. Raises OSError; EADDRINUSE: it is taken."""
    return bound_socket(local, FLOW_BUFFER)


def bound_socket(local: Address, buffer: int, *, shared: bool = False) -> socket.socket:
    """A socket at an address that no other socket has, or `shared` with others at that address."""
    sock = udp_socket(local, buffer)
    try:
        bind(sock, local, shared=shared)
    except OSError:
        sock.close()
        raise
    return sock


def bind(sock: socket.socket, local: Address, *, shared: bool) -> None:
    """Bind first, and only then allow others to join: otherwise two processes could take the same port.
    Raises OSError."""
    if shared:
        set_reuseport(sock)
    sock.bind(sockaddr(local))
    set_reuseport(sock)


def open_connected(local: Address, remote: Address) -> socket.socket:
    """A socket at a shared address that is connected to one other end. Raises OSError.

    Between bind and connect it catches what others send to `local`: its user has to check that first.
    """
    sock = udp_socket(local, FLOW_BUFFER)
    try:
        set_reuseport(sock)
        sock.bind(sockaddr(local))
        sock.connect(sockaddr(remote))
    except OSError:
        sock.close()
        raise
    return sock


def udp_socket(local: Address, buffer: int) -> socket.socket:
    """An unbound, non-blocking UDP socket that never sets Don't Fragment (RFC 8656 §15)."""
    sock = socket.socket(family(local), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
    set_receive_buffer(sock, buffer)
    return sock


def tcp_listener(local: Address, *, shared: bool = False) -> socket.socket:
    """A TCP listener; accepted connections inherit its buffers. Raises OSError."""
    sock = socket.socket(family(local), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections of the process before may linger.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, buffer, STREAM_BUFFER)
        bind(sock, local, shared=shared)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def stop_receiving(sock: socket.socket) -> None:
    """Packets that come from now on go to other sockets at the same address; what waits in this one stays.

    A socket that is connected to itself matches no other sender when the kernel looks for one.
    """
    local = address(sock.getsockname()[:2])
    with suppress(OSError):  # no route to itself: what comes until it is closed is lost
        sock.connect(sockaddr(local._replace(ip=LOOPBACK[len(local.ip)]) if is_wildcard(local) else local))


def drop_new_handshakes(sock: socket.socket) -> None:
    """New connections reach another listener, at their second try; those that have begun come to this one.

    A kernel may allow this only for root. Then connections go on coming here until it is closed.
    """
    program = b"".join(INSTRUCTION.pack(*line) for line in NO_SYN)
    buffer = ctypes.create_string_buffer(program)
    filter_ = struct.pack("HL", len(NO_SYN), ctypes.addressof(buffer))
    with suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filter_)


def set_tcp_options(sock: socket.socket) -> None:
    """Non-blocking, sends at once, and notices that its client is gone."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def send_unfragmented(sock: socket.socket, data: bytes, remote: Address) -> None:
    """Send with Don't Fragment (RFC 8656 §14). Raises OSError; EMSGSIZE: too large for the first link."""
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # an earlier packet's error is not about this one
    for name, value, _ in DONT_FRAGMENT[sock.family]:
        sock.setsockopt(LEVEL[sock.family], name, value)
    try:
        sock.sendto(data, sockaddr(remote))
    finally:
        for name, _, usual in DONT_FRAGMENT[sock.family]:
            sock.setsockopt(LEVEL[sock.family], name, usual)


def path_mtu(local: Address, remote: Address) -> int:
    """How many bytes the largest IP packet has that is known to pass. Raises OSError."""
    with socket.socket(family(local), socket.SOCK_DGRAM) as sock:
        sock.bind(sockaddr(local._replace(port=0)))
        sock.connect(sockaddr(remote))
        return sock.getsockopt(LEVEL[sock.family], IP_MTU if len(local.ip) == 4 else IPV6_MTU)


def set_receive_buffer(sock: socket.socket, buffer: int) -> None:
    """Ask for a receive buffer of so many bytes; without the permission, at most net.core.rmem_max."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)


def receive_buffer(sock: socket.socket) -> int:
    """The bytes of the receive buffer, as they were asked for (the kernel doubles them)."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def set_reuseport(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def enable_pktinfo(sock: socket.socket) -> None:
    """Let the system report which of our addresses each packet was sent to."""
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
    """The control message that makes this address of ours the packet's source."""
    if len(ip) == 4:
        return [(socket.IPPROTO_IP, IP_PKTINFO, PKTINFO4.pack(0, ip, bytes(4)))]
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, PKTINFO6.pack(ip, 0))]
