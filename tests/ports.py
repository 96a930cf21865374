"""Ports for servers under test, of which nobody else has any use meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import cache
from itertools import cycle

LOWEST, PAST = 23_000, 26_000  # around it lie relayed addresses of tests, and what the system gives out
SHARE = 100  # ports of one process: more than it gives out before the first of them is in use


@cache
def shares() -> tuple[socket.socket, Iterator[int]]:
    """A share that no other process has, in turn; a name in the kernel is the claim, and ends with us."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for first in range(LOWEST, PAST, SHARE):
        try:
            claim.bind(f"\0calln-tests-{first}")
        except OSError:
            continue
        return claim, cycle(range(first, first + SHARE))
    raise RuntimeError(f"{(PAST - LOWEST) // SHARE} other processes test at once")


def free_port() -> int:
    """A port that UDP and TCP have free in both families; it comes again when all others have been given."""
    _, share = shares()
    return next(port for port in share if is_free(port))


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
