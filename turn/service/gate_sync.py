"""What a service knows of proved calls, in step with the processes beside it and for the one after it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from turn.gate.sessions import News
from turn.service.gate_news import Herald
from turn.service.service import Service

log = logging.getLogger("calln.relay")

PAUSE = 25  # times what a writing cost until the next: many calls must not keep us from their packets
AGAIN_SECONDS = 20.0  # between two writings where nothing has changed; a file is valid for a minute


def heard(folder: Path) -> Herald | None:
    """None: the folder cannot be had; then nothing is known of the others, and calls go on."""
    try:
        return Herald(folder)
    except OSError as problem:
        log.warning("what is proved of calls stays with this process: %s", problem.strerror)
        return None


class Memory:
    def __init__(self, service: Service, herald: Herald) -> None:
        self.service, self.herald = service, herald
        self.changed = asyncio.Event()
        service.tell = self.tell

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.herald.ear, self.hear)
        try:
            while True:
                self.read()
                await self.write_in_time()
        finally:
            loop.remove_reader(self.herald.ear)
            self.read()  # so that nothing stays that is too old for whoever comes next
            self.write()
            self.herald.close()

    async def write_in_time(self) -> None:
        """For a while, at once whatever is new: a process may be killed in the first second of a call."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_SECONDS):
                while await self.changed.wait():
                    await asyncio.sleep(self.write())
        self.write()

    def tell(self, news: list[News]) -> None:
        self.changed.set()
        self.herald.tell(news)

    def hear(self) -> None:
        self.learn(self.herald.hear())

    def read(self) -> None:
        self.learn(self.herald.read(time.time()))

    def learn(self, told: Iterable[News]) -> None:
        now = time.monotonic()
        for one in told:
            self.service.relay.learn_session(one, now)
        self.service.spread()  # an offer from there may settle what was chosen here
        self.service.wake_in_time()

    def write(self) -> float:
        """The seconds until it may be done again."""
        self.changed.clear()
        began = time.thread_time()  # on a busy machine it takes longer, and costs no more
        try:
            self.herald.write(self.service.relay.proven_sessions(), time.time())
        except OSError as problem:  # a full disk, perhaps
            log.warning("what is proved of calls could not be written: %s", problem.strerror)
            return AGAIN_SECONDS
        return PAUSE * (time.thread_time() - began)
