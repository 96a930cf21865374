"""A cable whose two ends each work on a core of their own, so that CPU time shows who has spent it.

Usually what a packet costs at the far end of a veth pair is done in the name of the sender, up to the
socket. Here each end has a kernel thread instead (threaded NAPI), on the core of the server or of the load:
what the kernel does for the server is the server's thread's time. Such a thread is used where the end has
GRO, and the other end splits no large packets (TSO). Senders finish checksums, as where packets come by wire.
The load's end looks by a timer at what has come: else the server would pay for waking the other core, with
each packet, which no network card asks of it. The threads are real-time ones, as interrupts are; the server
and its load are not, because Linux stops a real-time process for the last 50 ms of a second in which it has
used all the rest.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.cable import LOAD_CORE, SERVER_CORE, Net, Watched, ip
from tests.turn.engines.land import CLONE_NEWNET, checked, libc, returning

PRIORITY = "1"
LOOK, IDLE_LOOKS = 50_000, 1_000_000  # nanoseconds between two looks; without anything, before they stop
SIOCETHTOOL, GRO, CHECKSUMS = 0x8946, 0x2C, 0x17  # from Linux's headers


class Cable(NamedTuple):
    """The namespaces, and the server's kernel thread."""

    net: Net
    thread: Watched


@contextmanager
def threaded_cable() -> Iterator[Cable]:
    with Net.made("-threads") as net:
        for name in net:
            set_features(name)
        for name in net:  # each end looks at the other one's features when it comes up
            ip("-n", name, "link", "set", "cable", "down")
            ip("-n", name, "link", "set", "cable", "up")
        server, _ = (thread_of(name, core) for name, core in zip(net, (SERVER_CORE, LOAD_CORE), strict=True))
        set_device(net.load, "gro_flush_timeout", LOOK)
        set_device(net.load, "napi_defer_hard_irqs", IDLE_LOOKS)
        yield Cable(net, Watched(server))


def set_features(name: str) -> None:
    with returning():
        place = os.open(f"/run/netns/{name}", os.O_RDONLY)
        checked(libc.setns(place, CLONE_NEWNET))
        os.close(place)
        set_feature(GRO, on=True)
        set_feature(CHECKSUMS, on=False)


def thread_of(name: str, core: str) -> int:
    """Give this namespace's end a thread of its own; returns its number."""
    before = set(threads())
    set_device(name, "threaded", 1)
    [found] = set(threads()) - before
    subprocess.run(["taskset", "-cp", core, str(found)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["chrt", "--fifo", "--pid", PRIORITY, str(found)], check=True)
    return found


def set_device(name: str, key: str, value: int) -> None:
    write = f"echo {value} > /sys/class/net/cable/{key}"
    subprocess.run(["ip", "netns", "exec", name, "sh", "-c", write], check=True)


def set_feature(feature: int, *, on: bool) -> None:
    value = ctypes.create_string_buffer(struct.pack("II", feature, on), 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP", b"cable", ctypes.addressof(value)))


def threads() -> Iterator[int]:
    """Of all ends of such cables."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        if path.read_text().startswith("napi/cable"):
            yield int(path.parent.name)
