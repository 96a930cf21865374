"""An end whose packets are marked, and that sees how packets come."""

from __future__ import annotations

import socket
from contextlib import suppress

from tests.turn.engines.world import LOOPBACK, End
from turn.engines.loop import dscp
from turn.engines.loop.sockets import LEVEL

BEST_EFFORT, ASSURED, EXPEDITED, ROUTING = 0, 34 << 2, 46 << 2, 48 << 2  # RFC 8837 §5, RFC 4594 §3.1
CONGESTED = 0b11
OWN_TTL = 5  # of who sends; far from the system's default
IP_RECVTTL = 12  # from Linux's headers
TTL = {  # how to set it, to ask for it, and how it is said
    4: (socket.IP_TTL, IP_RECVTTL, socket.IP_TTL),
    6: (socket.IPV6_UNICAST_HOPS, socket.IPV6_RECVHOPLIMIT, socket.IPV6_HOPLIMIT),
}


class Marked(End):
    """An end that sees how packets come, and sends marked ones."""

    def __init__(self, version: int) -> None:
        super().__init__(LOOPBACK[version])
        self.level = LEVEL[self.sock.family]
        set_ttl, ask_for_ttl, self.ttl = TTL[version]
        self.sock.setsockopt(self.level, set_ttl, OWN_TTL)
        self.sock.setsockopt(self.level, ask_for_ttl, 1)
        dscp.enable(self.sock)

    def mark(self, value: int) -> None:
        self.sock.setsockopt(self.level, dscp.FIELD[self.sock.family], value)

    def seen(self) -> set[tuple[int, int]]:
        """Marks, with all their bits, and TTLs of what has come."""
        found = set()
        with suppress(BlockingIOError):
            while True:
                control = self.sock.recvmsg(65536, 256)[1]
                said = {kind: data[0] for level, kind, data in control if level == self.level}
                found.add((said[dscp.FIELD[self.sock.family]], said[self.ttl]))
        return found
