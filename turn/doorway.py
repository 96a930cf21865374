"""Where an operator finds the relay: a Unix socket in site.state_dir that the newest of several versions has.

Each has a name of its own beside that place, under which a newer one finds it, and takes the place back when
the newer one has gone without taking over.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import stat
from contextlib import suppress
from pathlib import Path

from turn.elders import DOOR
from turn.machine import Unavailable

LOOKS, LOOK_SECONDS = 20, 0.1  # whether who is gone still seems to be there: a process ends bit by bit


class Doorway:
    """A socket under its own name, which only this account may open. Raises Unavailable."""

    def __init__(self, folder: Path) -> None:
        name = secrets.token_hex(4)
        self.place, self.own, self.draft = folder / DOOR, folder / f"{DOOR}.{name}", folder / f".{name}"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sock.bind(str(self.own))
            self.own.chmod(stat.S_IRUSR | stat.S_IWUSR)
            self.sock.listen()
        except OSError as error:
            self.sock.close()
            raise self.unavailable(error) from None

    def take(self) -> None:
        """Be where operators look, in the place of whoever was there. Raises Unavailable."""
        try:
            self.draft.hardlink_to(self.own)
            self.draft.rename(self.place)
        except OSError as error:
            raise self.unavailable(error) from None

    async def take_back(self) -> None:
        """The same once nobody is there any more; where somebody is and stays, the place is theirs."""
        for _ in range(LOOKS):
            if not is_answered(self.place):
                with suppress(Unavailable):  # we are still found under our own name
                    self.take()
                return
            await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Both names go, but not a newer relay's."""
        with suppress(OSError):
            if self.place.samefile(self.own):
                self.place.unlink()
        self.own.unlink(missing_ok=True)
        self.sock.close()

    def unavailable(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self.place}: {error.strerror or error}; point site.state_dir elsewhere")


def is_answered(place: Path) -> bool:
    """Whether a process is behind this socket; one that hangs is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(str(place))
        except BlockingIOError:  # its queue is full
            return True
        except OSError:
            return False
    return True
