"""The channels to all relays: what happens in calls and bans goes to each, and none waits for another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.announcements import Announcements, Subject
from server.ice import IceServers
from server.relay_channel import RelayChannel
from server.relay_ways import WayOpener
from server.signalling.effects import CallNews
from server.store.bans import Bans
from turn.limits.bans import MAX_BANS

log = logging.getLogger("calln.server")

LAST_SECONDS = 1.0  # at the end: for relays to hear which calls have ended
POLL_SECONDS = 0.05


class LinkState(NamedTuple):
    """A relay's host, what keeps it from hearing us (empty: nothing), and how much it does not know yet."""

    host: str
    problem: str
    untold: int


class RelayLinks(Collector):
    """`open_way` makes the way to a relay by its host. Nothing is sent until `run`."""

    def __init__(
        self,
        ice: IceServers,
        bans: Bans,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.ice, self.bans, self.clock, self.wall = ice, bans, clock, wall
        self.announcements = Announcements()
        self.channels: dict[str, RelayChannel] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.open_way: Callable[[str], WayOpener] | None = None
        self.take_bans()

    def take_news(self, news: CallNews) -> None:
        """Something has happened in a call."""
        self.tell(self.announcements.take(news, self.clock(), self.ice.settings.seconds))

    def take_bans(self) -> None:
        """The ban list may have changed."""
        before = self.announcements.bans_left_out
        self.tell(self.announcements.set_bans(self.bans.ends))
        if self.announcements.bans_left_out and not before:
            log.warning("more than %d networks are banned: relays are told the newest only", MAX_BANS)

    def tell(self, subjects: Iterable[Subject]) -> None:
        subjects = list(subjects)
        for channel in self.channels.values():
            channel.tell(subjects)

    def start(self, open_way: Callable[[str], WayOpener]) -> None:
        """Speak to the relays from now on."""
        self.open_way = open_way
        self.follow_settings()

    def follow_settings(self) -> None:
        """A reload may have changed the secret, and which relays there are."""
        if self.open_way is None:
            return
        hosts = self.ice.settings.hosts
        for host in [host for host in self.channels if host not in hosts]:
            self.tasks.pop(host).cancel()
            del self.channels[host]
        for channel in self.channels.values():
            channel.follow_secret()
        for host in [host for host in hosts if host not in self.channels]:
            channel = self.channels[host] = RelayChannel(
                host, self.open_way(host), self.announcements, self.secret, self.clock, self.wall
            )
            self.tasks[host] = asyncio.create_task(channel.run())

    def secret(self) -> bytes:
        return self.ice.settings.secret

    async def finish(self) -> None:
        """Say what is still to be said, for a short time, and end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while not all(channel.is_quiet for channel in self.channels.values()):
                    await asyncio.sleep(POLL_SECONDS)
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    def states(self) -> list[LinkState]:
        return [LinkState(one.name, one.state, len(one.untold)) for one in self.channels.values()]

    def collect(self) -> Iterator[Metric]:
        """For the metrics: a relay's host is no secret of a visitor."""
        hears = GaugeMetricFamily("calln_relay_told", "1 for a relay that hears us.", labels=("relay",))
        untold = GaugeMetricFamily("calln_relay_untold", "What a relay does not know yet.", labels=("relay",))
        for host, problem, waiting in self.states():
            hears.add_metric((host,), float(not problem))
            untold.add_metric((host,), waiting)
        left_out = GaugeMetricFamily(
            "calln_relay_bans_left_out", "Banned networks that relays do not hear of: there are too many."
        )
        left_out.add_metric((), self.announcements.bans_left_out)
        yield from (hears, untold, left_out)
