"""Sends packets at a rate: many from one socket in one system call, and without waiting for anything.

Nothing that comes back over UDP is received in Python: the sockets' buffers are tiny, and what arrives at a
full one is in the system's own table of drops, so that the counting costs the machine nothing.
"""

from __future__ import annotations

import ctypes
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
TINY = 1  # the kernel's smallest receive buffer: a packet or two
DONT_WAIT = 0x40  # MSG_DONTWAIT
BEHIND = 0.002  # seconds of backlog that are made up for: Linux stops a real-time process for 50 ms a second,
# and what it then sent as one burst would be in the delays
ASIDE = 0.001  # seconds between two calls of what else there is to do
READ = 1 << 18  # bytes of a stream that are taken at once

Shot = Callable[[], int]  # sends what one socket sends at a time; how many packets that were


class IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class MsgHdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(IoVec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_long),  # an int and four bytes of padding
        ("sent", ctypes.c_long),  # the same; with it this is struct mmsghdr
    ]


class Cartridge:
    """Packets by turns, so many at a time, as sendmmsg wants them."""

    def __init__(self, packets: Sequence[bytes], batch: int) -> None:
        self.batch = batch
        self.data = [ctypes.create_string_buffer(packet, len(packet)) for packet in packets]
        self.vectors = [IoVec(ctypes.cast(data, ctypes.c_void_p), len(data)) for data in self.data]
        self.headers = (MsgHdr * math.lcm(len(packets), batch))()
        for header, vector in zip(self.headers, cycle(self.vectors), strict=False):
            header.vectors, header.vector_count = ctypes.pointer(vector), 1
        self.batches = [ctypes.byref(self.headers[at]) for at in range(0, len(self.headers), batch)]

    def shot(self, sock: socket.socket) -> Shot:
        send, descriptor, batches, batch = LIBC.sendmmsg, sock.fileno(), cycle(self.batches), self.batch
        return lambda: max(send(descriptor, next(batches), batch, DONT_WAIT), 0)


class Pipe:
    """A client's connection: sends whole frames or waits with the rest, and counts what comes."""

    def __init__(self, sock: socket.socket, frame: bytes) -> None:
        self.sock = sock
        self.frame = frame
        self.left = b""
        self.came = 0
        sock.setblocking(False)

    def shoot(self, batch: int) -> int:
        return sum(self.send() for _ in range(batch))

    def send(self) -> int:
        data = self.left or self.frame
        is_new = not self.left
        try:
            self.left = data[self.sock.send(data) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self.left = data if isinstance(self.sock, ssl.SSLSocket) or not is_new else b""
            return 0
        return int(not self.left)

    def read(self) -> None:
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            while True:
                self.came += len(self.sock.recv(READ))

    @property
    def arrived(self) -> int:
        return self.came // len(self.frame)


def fire(
    shots: Sequence[Shot], step: float, seconds: float, aside: Callable[[], object]
) -> tuple[int, float]:
    """One shot every `step` seconds, from each socket in turn: packets sent, and how long it took."""
    sent, index = 0, 0
    begin = due = beside = time.monotonic()
    while (now := time.monotonic()) - begin < seconds:
        if now >= beside:
            aside()
            beside = now + ASIDE
        if now < due:
            if due - now > 0.0003:
                time.sleep(due - now - 0.0002)
            continue
        sent += shots[index]()
        index = (index + 1) % len(shots)
        due = max(due + step, now - BEHIND)
    return sent, time.monotonic() - begin


def shrink(sock: socket.socket) -> None:
    """From now on what arrives is counted and dropped, all but the first packet or two."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY)
    sock.setblocking(False)


def dropped(socks: Iterable[socket.socket]) -> int:
    """Packets that ever reached these sockets at this namespace's one address, and found no room."""
    wanted = {sock.getsockname()[1] for sock in socks}
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) in wanted)
