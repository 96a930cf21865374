"""Ports for servers and relays under test, of which nobody else has any use meanwhile.

All lie below the ports that the system gives out. Tests run in several processes at once: each has a share
of its own, so that what one process has just given back for a moment, as a relay does that is killed and
starts again, no other takes."""

from __future__ import annotations

import socket
from functools import cache
from itertools import cycle

SHARES = 20  # processes that may test at once
SERVED, SERVED_EACH = 23_000, 150  # more than a process gives out before the first of them is in use
RELAYED, RELAYED_EACH = 10_000, 600


class Share:
    """One of the shares; a name in the kernel is the claim, and ends with this process."""

    def __init__(self) -> None:
        self.claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.number = next(filter(self.is_mine, range(SHARES)), SHARES)
        if self.number == SHARES:
            raise RuntimeError(f"{SHARES} other processes test at once")
        first = SERVED + SERVED_EACH * self.number
        self.served = cycle(range(first, first + SERVED_EACH))

    def is_mine(self, number: int) -> bool:
        try:
            self.claim.bind(f"\0calln-tests-{number}")
        except OSError:
            return False
        return True


share = cache(Share)


def free_port() -> int:
    """A port that UDP and TCP have free in both families; it comes again when all others have been given."""
    return next(filter(is_free, share().served))


def relayed_ports() -> str:
    """What `relay_ports` of each relay of this process says."""
    first = RELAYED + RELAYED_EACH * share().number
    return f"{first}-{first + RELAYED_EACH - 1}"


def is_free(port: int) -> bool:
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tcp,
    ):
        try:
            udp.bind(("::", port))
            tcp.bind(("::", port))
        except OSError:
            return False
    return True
