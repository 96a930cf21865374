"""Older versions of this relay on this machine, which finish their calls while we take the new clients.

A process that starts asks each version that runs to share. That one then keeps its clients on sockets of
their own, and only after that do we bind the same listeners: so no client of an older version ever reaches
us. It shares as long as we hold the connection, and ends the connection when it has left its listeners.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from struct import Struct

log = logging.getLogger("calln.relay")

SOCKET = (
    "relay.sock"  # in site.state_dir: the newest version's; each has its own name beside, which begins so
)
REQUEST = b"POST /share HTTP/1.0\r\n\r\n"
SHARED = b"shared\n"
LOCK = "relay.lock"  # one process starts at a time: two at once would not know of each other
START_SECONDS, LOOK_SECONDS = 45.0, 0.05  # how long others wait for the lock, and how often they try
PATIENCE = 10.0  # seconds for an answer: thousands of clients get a socket first
CREDENTIALS = Struct("3i")  # of a process, its user and its group

Connection = tuple[StreamReader, StreamWriter]


class OlderVersions:
    """The versions that share with us."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.lock: int | None = None  # the descriptor, while we start

    def __bool__(self) -> bool:
        return bool(self.connections)

    async def ask_to_share(self, path: Path) -> bool:
        """False: this version runs and does not share. One that hangs is left out."""
        try:
            connection = await asyncio.open_unix_connection(str(path))
        except ConnectionRefusedError:  # it ended without cleaning up
            if path.name != SOCKET and path.is_socket():
                path.unlink(missing_ok=True)
            return True
        except OSError:  # such as one that has just ended
            return True
        self.connections.append(connection)
        try:
            async with asyncio.timeout(PATIENCE):
                return await request_sharing(*connection)
        except TimeoutError:
            self.leave_out(connection)
            return True
        except (OSError, EOFError):
            return False

    def leave_out(self, connection: Connection) -> None:
        self.connections.remove(connection)
        connection[1].close()
        process = peer_process(connection[1].get_extra_info("socket"))
        log.warning(
            "an older relay hangs and may keep clients waiting; end process %d: kill -9 %d", process, process
        )

    def unlock(self) -> None:
        """Another version may start: from now on it can ask us."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    async def until_left(self) -> None:
        """Wait until none of them listens any more."""
        for reader, _ in self.connections:
            with suppress(OSError):
                await reader.read()

    def let_go(self) -> None:
        for _, writer in self.connections:
            writer.close()
        self.connections.clear()


async def request_sharing(reader: StreamReader, writer: StreamWriter) -> bool:
    """Raises OSError and EOFError."""
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    return b" 200 " in head.partition(b"\r\n")[0] and await reader.readline() == SHARED


def peer_process(sock: socket.socket) -> int:
    """The process that opened the other end (unix(7))."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(packed)[0])


def operator_sockets(folder: Path) -> Iterable[Path]:
    """The own name of each version; the common name only if there is no other."""
    return sorted(folder.glob(f"{SOCKET}.*")) or [folder / SOCKET]


@asynccontextmanager
async def sharing(folder: Path) -> AsyncIterator[OlderVersions]:
    """Within, older versions share with us. If one does not, we ask none: then the port is taken."""
    older = OlderVersions()
    older.lock = await start_lock(folder)
    try:
        if not all(await asyncio.gather(*map(older.ask_to_share, operator_sockets(folder)))):
            log.warning("an older relay of this machine does not share its ports")
            older.let_go()
        yield older
    finally:
        older.let_go()
        older.unlock()


async def start_lock(folder: Path) -> int | None:
    """The lock's descriptor. None: the folder cannot be used, which is reported later, or another process
    hangs while it starts."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    for _ in range(int(START_SECONDS / LOOK_SECONDS)):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        await asyncio.sleep(LOOK_SECONDS)
    os.close(descriptor)
    return None
