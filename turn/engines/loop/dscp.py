"""Packets leave with the mark (DSCP) that the flow's packets had a moment ago (RFC 8656 §14).

To read and set the mark of each packet would double the work on it (3.5 µs and more), and the packets of a
call hardly ever change theirs. So one packet a second is read with its mark, and the socket that it leaves by
gets the same mark. Where a client has several flows, what the client receives has the mark of the flow that
was read last. Clients without a socket of their own, and those of TCP and TLS, send and get best effort.

For the other fields of the IP header the relay follows the RFC's alternate behaviour. ECN: a sign of
congestion helps only if none is lost, so packets leave as not capable of it. TTL: the system's own value. One
less than the value that came in would end calls whose two halves together have too many hops; users of other
relays met that.
"""

from __future__ import annotations

import socket
import struct

from turn.engines.loop.sockets import LEVEL

RECEIVE = {socket.AF_INET: socket.IP_RECVTOS, socket.AF_INET6: socket.IPV6_RECVTCLASS}
FIELD = {socket.AF_INET: socket.IP_TOS, socket.AF_INET6: socket.IPV6_TCLASS}
TOS_MESSAGES = ((socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS))

DSCP = 0xFC  # of the field; the rest is ECN
NETWORK_CONTROL = 0xC0  # CS6 and above are for routers (RFC 4594 §3.1), not for clients
BEST_EFFORT = 0
CONTROL_BYTES = socket.CMSG_SPACE(struct.calcsize("i"))


def enable(sock: socket.socket) -> None:
    """Let the system report the mark of each packet that is read with its control messages."""
    sock.setsockopt(LEVEL[sock.family], RECEIVE[sock.family], 1)


def mark_of(control: list[tuple[int, int, bytes]]) -> int:
    """The mark of a packet; best effort where the mark is not for clients."""
    for level, kind, data in control:
        if (level, kind) in TOS_MESSAGES:
            mark = data[0] if len(data) == 1 else int(struct.unpack("i", data)[0])
            return mark & DSCP if mark < NETWORK_CONTROL else BEST_EFFORT
    return BEST_EFFORT


def set_mark(sock: socket.socket, mark: int) -> None:
    """Send with this mark from now on."""
    if sock.getsockopt(LEVEL[sock.family], FIELD[sock.family]) != mark:
        sock.setsockopt(LEVEL[sock.family], FIELD[sock.family], mark)
