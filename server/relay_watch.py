"""Watches the relays: each is asked every few seconds, and calls hear at once when one has died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from host.attempts import Attempts
from server.ice import IceServers
from server.relay_health import RelayHealth

log = logging.getLogger("calln.server")

EVERY_SECONDS = 2.0  # between two questions: with two misses, a death is known within five

SILENT = "it does not answer, so pages are told of others, if any live"
RETURNING = "it answers again, and pages are told of it after a minute"

Ask = Callable[[], Awaitable[bool]]


class RelayWatch(Collector):
    """Nothing is sent until `start`. `on_death` hears the host of each relay that has died."""

    def __init__(
        self, ice: IceServers, clock: Callable[[], float], on_death: Callable[[str], object]
    ) -> None:
        self.ice, self.clock, self.on_death = ice, clock, on_death
        self.health = RelayHealth()
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.question: Callable[[str], Ask] | None = None
        ice.lives = self.health.lives

    def start(self, question: Callable[[str], Ask]) -> None:
        """Ask the relays from now on; `question` makes what asks the relay of a host."""
        self.question = question
        self.follow_settings()

    def follow_settings(self) -> None:
        """A reload may have changed which relays there are."""
        if self.question is None:
            return
        hosts = self.ice.settings.hosts
        self.health.follow(hosts)
        for host in [host for host in self.tasks if host not in hosts]:
            self.tasks.pop(host).cancel()
        for host in [host for host in hosts if host not in self.tasks]:
            self.tasks[host] = asyncio.create_task(self.watch(host, self.question(host)))

    async def watch(self, host: str, ask: Ask) -> None:
        """Until cancelled."""
        attempts = Attempts("the look at a relay", log, self.clock)
        while True:
            await asyncio.gather(self.look(host, ask, attempts), asyncio.sleep(EVERY_SECONDS))

    async def look(self, host: str, ask: Ask, attempts: Attempts) -> None:
        """Ask once. What goes wrong here ends nothing."""
        with attempts.attempt():
            if self.health.learn(host, await ask(), self.clock()):
                self.say_change(host)

    def say_change(self, host: str) -> None:
        if self.health.lives(host):
            log.info("the relay %s answers: pages are told of it again", host)
            return
        log.warning("the relay %s does not answer: pages are told of others, if any live", host)
        self.on_death(host)

    async def stop_asking(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    def troubles(self) -> dict[str, str]:
        """Of each relay that pages are not told of, by host, what the reason is."""
        hosts = [host for host in self.ice.settings.hosts if not self.health.lives(host)]
        return {host: RETURNING if self.health.answers(host) else SILENT for host in hosts}

    def collect(self) -> Iterator[Metric]:
        """For the metrics: a relay's host is no secret of a visitor."""
        text = "1 for a relay that answers, so that pages are told of it."
        lives = GaugeMetricFamily("calln_relay_lives", text, labels=("relay",))
        for host in self.ice.settings.hosts:
            lives.add_metric((host,), float(self.health.lives(host)))
        yield lives
