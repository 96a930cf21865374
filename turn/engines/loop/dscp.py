"""What a flow's packets come marked with, they leave marked with (RFC 8656 §14), as of a second ago.

To read and set the mark of each packet would double the work on it (3.5 µs and more), and the packets of a
call hardly change theirs. So one a second is looked at, and the socket that it leaves by gets its mark: where
a client has several flows, what it hears bears that of the flow looked at last. Clients without a socket of
their own, and those of TCP and TLS, send and get best effort.

Of the header's other fields the alternate behaviour holds. ECN: a sign of congestion is worth something only
if none is lost, so packets leave as not capable of it. TTL: the system's own, since one less than came in
would end calls whose two halves together are longer than the way that a packet may go; users of other relays
met that.
"""

from __future__ import annotations

import socket
import struct

from turn.engines.loop.sockets import LEVEL

RECEIVE = {socket.AF_INET: socket.IP_RECVTOS, socket.AF_INET6: socket.IPV6_RECVTCLASS}
FIELD = {socket.AF_INET: socket.IP_TOS, socket.AF_INET6: socket.IPV6_TCLASS}
TOS_MESSAGES = ((socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS))

DSCP = 0xFC  # of the field; the rest is ECN
NETWORK_CONTROL = 0xC0  # CS6 and above: routers' own (RFC 4594 §3.1), and not for strangers to have
BEST_EFFORT = 0
CONTROL_BYTES = socket.CMSG_SPACE(struct.calcsize("i"))


def enable(sock: socket.socket) -> None:
    """Let each packet say how it is marked, to who wants to know."""
    sock.setsockopt(LEVEL[sock.family], RECEIVE[sock.family], 1)


def mark_of(control: list[tuple[int, int, bytes]]) -> int:
    """How a packet is marked, as far as it may stay so."""
    for level, kind, data in control:
        if (level, kind) in TOS_MESSAGES:
            mark = data[0] if len(data) == 1 else int(struct.unpack("i", data)[0])
            return mark & DSCP if mark < NETWORK_CONTROL else BEST_EFFORT
    return BEST_EFFORT


def set_on(sock: socket.socket, mark: int) -> None:
    """Let what leaves by this socket be marked so."""
    if sock.getsockopt(LEVEL[sock.family], FIELD[sock.family]) != mark:
        sock.setsockopt(LEVEL[sock.family], FIELD[sock.family], mark)
