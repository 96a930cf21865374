"""The socket in site.state_dir where an operator finds the newest of several versions of the relay.

A newer version finds the older ones by their own names. An older one takes the known name back when the newer
one was killed before it took over.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from host.startup import Unavailable
from host.unix_socket import VersionedSocket, is_dead
from turn.process.upgrade import SOCKET

LOOKS, LOOK_SECONDS = 20, 0.1  # a process ends bit by bit: for a while its socket still answers


class OperatorSocket(VersionedSocket):
    """Only this account may open it. Raises Unavailable."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / SOCKET)

    async def publish_again(self) -> None:
        """Take the known name back once no process answers there; one that stays keeps it."""
        for _ in range(LOOKS):
            if is_dead(self.path):
                with suppress(Unavailable):  # we are still found under our own name
                    self.publish()
                return
            await asyncio.sleep(LOOK_SECONDS)
