"""Where an operator finds the relay: a hatch in site.state_dir that the newest of several versions has.

A newer one finds each by the name of its own. An older one takes the place back when the newer one was killed
before it took over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from host.unix_socket import Hatch, is_dead
from turn.process.upgrade import DOOR
from turn.service.preflight import Unavailable

LOOKS, LOOK_SECONDS = 20, 0.1  # whether who is gone still seems to be there: a process ends bit by bit


class Doorway(Hatch):
    """A hatch that only this account may open. Raises Unavailable."""

    def __init__(self, folder: Path) -> None:
        with told(folder / DOOR):
            super().__init__(folder / DOOR)

    def take(self) -> None:
        """Be where operators look, in the place of whoever was there. Raises Unavailable."""
        with told(self.place):
            super().take()

    async def take_back(self) -> None:
        """The same once nobody is there any more; where somebody is and stays, the place is theirs."""
        for _ in range(LOOKS):
            if is_dead(self.place):
                with suppress(Unavailable):  # we are still found under our own name
                    self.take()
                return
            await asyncio.sleep(LOOK_SECONDS)


@contextmanager
def told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{place}: {error.strerror or error}; point site.state_dir elsewhere") from None
