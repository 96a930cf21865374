"""Sockets that a service manager holds for every version of this server (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

FIRST = 3  # the descriptors begin behind standard error
VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited(environment: MutableMapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """By the names that the manager gives them; nobody who is started by us hears of them."""
    process, count, names = (environment.pop(name, "") for name in VARIABLES)
    if process != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[str, list[socket.socket]] = {}
    for number, name in zip(range(int(count)), names.split(":"), strict=False):
        found.setdefault(name, []).append(taken(FIRST + number))
    return found


def taken(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
