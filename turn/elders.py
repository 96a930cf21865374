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
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

log = logging.getLogger("calln.relay")

DOOR = "relay.sock"  # in site.state_dir: the newest one's; each has a name of its own that begins so, too
WISH = b"POST /share HTTP/1.0\r\n\r\n"
SHARED = b"shared\n"
LOCK = "relay.lock"  # who holds it starts, the others wait: two at once would not know of each other
START_SECONDS, LOOK_SECONDS = 20.0, 0.05  # how long they wait, and how often they look
PATIENCE = 10.0  # seconds for an answer: thousands of clients get a socket first


class Refused(Exception):
    """An older one that does not share."""


class Elders:
    """Those that share with us."""

    def __init__(self) -> None:
        self.lines: list[tuple[StreamReader, StreamWriter]] = []
        self.turn: int | None = None  # to start, while it is ours

    def __bool__(self) -> bool:
        return bool(self.lines)

    async def ask(self, place: Path) -> None:
        """Nothing happens where nobody is. Raises Refused."""
        try:
            line = await asyncio.open_unix_connection(str(place))
        except ConnectionRefusedError:  # it ended without cleaning up
            if place.name != DOOR and place.is_socket():
                place.unlink(missing_ok=True)
            return
        except OSError:  # such as one that is no longer there
            return
        self.lines.append(line)
        try:
            async with asyncio.timeout(PATIENCE):
                await share(*line)
        except (OSError, EOFError, TimeoutError):
            raise Refused from None

    def begun(self) -> None:
        """We can be asked ourselves: it is the next one's turn."""
        if self.turn is not None:
            os.close(self.turn)
            self.turn = None

    async def left(self) -> None:
        """Until none of them listens any more."""
        for reader, _ in self.lines:
            with suppress(OSError):
                await reader.read()

    def let_go(self) -> None:
        for _, writer in self.lines:
            writer.close()
        self.lines.clear()


async def share(reader: StreamReader, writer: StreamWriter) -> None:
    """Raises OSError, EOFError and Refused."""
    writer.write(WISH)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0] or await reader.readline() != SHARED:
        raise Refused


def doors(folder: Path) -> Iterable[Path]:
    """Each one's own; the newest one's, which every version has, only where that is all there is."""
    return sorted(folder.glob(f"{DOOR}.*")) or [folder / DOOR]


@asynccontextmanager
async def sharing(folder: Path) -> AsyncIterator[Elders]:
    """Those that share with us within. One that does not is as good as another program: the port is taken."""
    elders = Elders()
    elders.turn = await turn_of(folder)
    try:
        for place in doors(folder):
            try:
                await elders.ask(place)
            except Refused:
                log.warning("an older relay of this machine does not share its ports")
                elders.let_go()
                break
        yield elders
    finally:
        elders.let_go()
        elders.begun()


async def turn_of(folder: Path) -> int | None:
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
