"""Older versions of this relay on this machine, which finish their calls while we take what is new.

Whoever starts asks each one that lives to share. From then on it keeps its clients on sockets of their own,
and only then do we bind beside it: so no client of an older one ever meets us. It shares as long as we hold
the connection, and ends it when it has left its listeners; then we are alone.
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

SOCKET = "relay.sock"  # in site.state_dir: the newest one's; each has a name of its own that begins so, too
REQUEST = b"POST /share HTTP/1.0\r\n\r\n"
SHARED = b"shared\n"
LOCK = "relay.lock"  # who holds it starts, the others wait: two at once would not know of each other
START_SECONDS, LOOK_SECONDS = 45.0, 0.05  # how long they wait, and how often they look
PATIENCE = 10.0  # seconds for an answer: thousands of clients get a socket first
CREDENTIALS = Struct("3i")  # of a process, its user and its group

Connection = tuple[StreamReader, StreamWriter]


class OlderVersions:
    """Those that share with us."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.lock: int | None = None  # to start, while it is ours

    def __bool__(self) -> bool:
        return bool(self.connections)

    async def ask_to_share(self, place: Path) -> bool:
        """False: whoever is there lives and does not share. One that hangs is left out."""
        try:
            line = await asyncio.open_unix_connection(str(place))
        except ConnectionRefusedError:  # it ended without cleaning up
            if place.name != SOCKET and place.is_socket():
                place.unlink(missing_ok=True)
            return True
        except OSError:  # such as one that is no longer there
            return True
        self.connections.append(line)
        try:
            async with asyncio.timeout(PATIENCE):
                return await request_sharing(*line)
        except TimeoutError:
            self.leave_out(line)
            return True
        except (OSError, EOFError):
            return False

    def leave_out(self, line: Connection) -> None:
        self.connections.remove(line)
        line[1].close()
        hangs = process_behind(line[1].get_extra_info("socket"))
        log.warning("an older relay hangs: end process %d (kill -9), or it may keep clients waiting", hangs)

    def unlock(self) -> None:
        """We can be asked ourselves: it is the next one's turn."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    async def until_left(self) -> None:
        """Until none of them listens any more."""
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


def process_behind(sock: socket.socket) -> int:
    """The one that opened the door at the other end (unix(7))."""
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return int(CREDENTIALS.unpack(told)[0])


def operator_sockets(folder: Path) -> Iterable[Path]:
    """Each one's own; the newest one's, which every version has, only where that is all there is."""
    return sorted(folder.glob(f"{SOCKET}.*")) or [folder / SOCKET]


@asynccontextmanager
async def sharing(folder: Path) -> AsyncIterator[OlderVersions]:
    """Those that share with us within. One that does not is as good as another program: the port is taken."""
    elders = OlderVersions()
    elders.lock = await start_lock(folder)
    try:
        if not all(await asyncio.gather(*map(elders.ask_to_share, operator_sockets(folder)))):
            log.warning("an older relay of this machine does not share its ports")
            elders.let_go()
        yield elders
    finally:
        elders.let_go()
        elders.unlock()


async def start_lock(folder: Path) -> int | None:
    """Our turn to start. None: the folder cannot be had, which others tell of, or somebody hangs."""
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
