"""What a service knows of encrypted sessions, and from servers: shared with other processes, and saved for
later ones.

All of it may fail, because of the folder or the disk or for want of a descriptor: calls go on, and it is
tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from host.attempts import Attempts
from turn.core.relay import RelayNews
from turn.service.gate_news import GateNews
from turn.service.service import Service

log = logging.getLogger("calln.relay")

PAUSE_FACTOR = 25  # times the seconds of a save until the next: saving must not delay packets
SHARING = "telling other processes which calls are encrypted"
LOADING = "reading which calls are encrypted"
SAVING = "saving which calls are encrypted"
AGAIN_SECONDS = 20.0  # between two saves without a change; a file is valid for a minute


class GateSync:
    """Between one service and the other processes that use this folder."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.news: GateNews | None = None
        self.changed = asyncio.Event()
        self.sharing, self.loading, self.saving = (Attempts(work, log) for work in (SHARING, LOADING, SAVING))
        service.on_news = self.on_news

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self.open()
                self.load_files()
                await self.save_when_due()
        finally:
            self.load_files()  # removes old files
            self.save()
            self.close()

    def open(self) -> None:
        """Also anew, if the socket's name is gone, perhaps with the whole folder."""
        with self.sharing.attempt():
            if self.news is not None and not self.news.path.exists():
                self.close()
            if self.news is None:
                self.news = GateNews(self.folder)
                asyncio.get_running_loop().add_reader(self.news.sock, self.receive_news)

    def close(self) -> None:
        news, self.news = self.news, None
        if news is not None:
            asyncio.get_running_loop().remove_reader(news.sock)
            with suppress(OSError):
                news.close()

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
        if self.news is not None:
            with self.sharing.attempt():
                self.news.broadcast(news)

    def receive_news(self) -> None:
        if self.news is not None:
            with self.loading.attempt():
                self.learn(self.news.received())

    def load_files(self) -> None:
        if self.news is not None:
            with self.loading.attempt():
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
        if self.news is not None:
            with self.saving.attempt():
                relay = self.service.relay
                self.news.save(relay.proven_sessions(), time.time(), relay.known_notices(time.monotonic()))
                return PAUSE_FACTOR * (time.thread_time() - began)
        return AGAIN_SECONDS
