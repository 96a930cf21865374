"""What a service knows of proved calls, in step with the processes beside it and for the one after it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from turn.gate.sessions import News
from turn.service.gate_news import GateNews
from turn.service.service import Service

log = logging.getLogger("calln.relay")

PAUSE_FACTOR = 25  # times what a writing cost until the next: many calls must not keep us from their packets
AGAIN_SECONDS = 20.0  # between two writings where nothing has changed; a file is valid for a minute


def open_news(folder: Path) -> GateNews | None:
    """None: the folder cannot be had; then nothing is known of the others, and calls go on."""
    try:
        return GateNews(folder)
    except OSError as problem:
        log.warning("what is proved of calls stays with this process: %s", problem.strerror)
        return None


class GateSync:
    def __init__(self, service: Service, herald: GateNews) -> None:
        self.service, self.news = service, herald
        self.changed = asyncio.Event()
        service.on_news = self.on_news

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.news.sock, self.receive_news)
        try:
            while True:
                self.load_files()
                await self.save_when_due()
        finally:
            loop.remove_reader(self.news.sock)
            self.load_files()  # so that nothing stays that is too old for whoever comes next
            self.save()
            self.news.close()

    async def save_when_due(self) -> None:
        """For a while, at once whatever is new: a process may be killed in the first second of a call."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_SECONDS):
                while await self.changed.wait():
                    await asyncio.sleep(self.save())
        self.save()

    def on_news(self, news: list[News]) -> None:
        self.changed.set()
        self.news.broadcast(news)

    def receive_news(self) -> None:
        self.learn(self.news.received())

    def load_files(self) -> None:
        self.learn(self.news.read_files(time.time()))

    def learn(self, told: Iterable[News]) -> None:
        now = time.monotonic()
        for one in told:
            self.service.relay.learn_session(one, now)
        self.service.publish_news()  # an offer from there may settle what was chosen here
        self.service.schedule_expiry()

    def save(self) -> float:
        """The seconds until it may be done again."""
        self.changed.clear()
        began = time.thread_time()  # on a busy machine it takes longer, and costs no more
        try:
            self.news.save(self.service.relay.proven_sessions(), time.time())
        except OSError as problem:  # a full disk, perhaps
            log.warning("what is proved of calls could not be written: %s", problem.strerror)
            return AGAIN_SECONDS
        return PAUSE_FACTOR * (time.thread_time() - began)
