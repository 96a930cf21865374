"""What a service knows of encrypted sessions, and from servers: shared with other processes, and saved for
later ones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from turn.core.relay import RelayNews
from turn.service.gate_news import GateNews
from turn.service.service import Service

log = logging.getLogger("calln.relay")

PAUSE_FACTOR = 25  # times the seconds of a save until the next: saving must not delay packets
AGAIN_SECONDS = 20.0  # between two saves without a change; a file is valid for a minute


def open_news(folder: Path) -> GateNews | None:
    """None: the folder cannot be used; calls go on, but other processes do not hear from us."""
    try:
        return GateNews(folder)
    except OSError as problem:
        log.warning("other processes do not learn which calls are encrypted: %s", problem.strerror)
        return None


class GateSync:
    """Between one service and its news."""

    def __init__(self, service: Service, news: GateNews) -> None:
        self.service, self.news = service, news
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
            self.load_files()  # removes old files
            self.save()
            self.news.close()

    async def save_when_due(self) -> None:
        """Save what is new at once, since a process may be killed in the first second of a call; at the
        latest after AGAIN_SECONDS."""
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_SECONDS):
                while await self.changed.wait():
                    await asyncio.sleep(self.save())
        self.save()

    def on_news(self, news: list[RelayNews]) -> None:
        self.changed.set()
        self.news.broadcast(news)

    def receive_news(self) -> None:
        self.learn(self.news.received())

    def load_files(self) -> None:
        self.learn(self.news.read_files(time.time()))

    def learn(self, news: Iterable[RelayNews]) -> None:
        now = time.monotonic()
        for one in news:
            self.service.apply(self.service.relay.learn(one, now))
        self.service.publish_news()  # an offer from there may complete a handshake here
        self.service.schedule_expiry()

    def save(self) -> float:
        """How many seconds to wait before the next save."""
        self.changed.clear()
        began = time.thread_time()  # on a busy machine it takes longer, and costs no more
        try:
            relay = self.service.relay
            self.news.save(relay.proven_sessions(), time.time(), relay.known_notices(time.monotonic()))
        except OSError as problem:  # a full disk, perhaps
            log.warning("which calls are encrypted could not be saved: %s", problem.strerror)
            return AGAIN_SECONDS
        return PAUSE_FACTOR * (time.thread_time() - began)
