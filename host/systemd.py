"""What a service manager is told, if there is one (sd_notify(3)), and the sockets that it holds for every
version of a process (sd_listen_fds(3)).
"""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import cache

NOTIFY_SECONDS = 1.0  # all clients wait meanwhile
FIRST_DESCRIPTOR = 3  # behind standard error
LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def notify(state: str, seconds: float = NOTIFY_SECONDS) -> None:
    """A manager that does not read is waited for so long, and then does not hear of it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with suppress(OSError):
            manager_socket().settimeout(seconds)
            manager_socket().sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


@cache
def manager_socket() -> socket.socket:
    """Kept open: without a free descriptor the watchdog must still be fed, or it ends us. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    atexit.register(sock.close)
    return sock


def ready() -> None:
    notify("READY=1")


def reloading() -> None:
    """READY=1 must follow. The clock tells the manager this reload from earlier ones."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_seconds() -> float | None:
    """How often to feed the watchdog: twice as often as it asks for (sd_watchdog_enabled(3))."""
    asked, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not asked.isdecimal() or not int(asked) or process not in ("", str(os.getpid())):
        return None
    return int(asked) / 2e6


async def feed_watchdog(is_well: Callable[[], bool] = lambda: True) -> None:
    """Until cancelled. It runs in the loop that moves packets: if that hangs, the watchdog notices."""
    seconds = watchdog_seconds()
    while True:
        if seconds is not None and is_well():
            notify("WATCHDOG=1", 0.0)
        await asyncio.sleep(seconds or 3600)


def inherited_sockets(environment: MutableMapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """By the names that the manager gives them; processes that we start do not inherit them."""
    process, count, names = (environment.pop(name, "") for name in LISTEN_VARIABLES)
    if process != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[str, list[socket.socket]] = {}
    for number, name in zip(range(int(count)), names.split(":"), strict=False):
        found.setdefault(name, []).append(inherited_socket(FIRST_DESCRIPTOR + number))
    return found


def inherited_socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
