"""All relays are told of calls and bans; one that is away holds nobody up, and a reload may change them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from server.ice import IceServers, IceSettings
from server.relay_links import LinkState, RelayLinks
from server.signalling.effects import CallVouched, NamesEnded
from server.store.bans import Bans
from server.store.sqlite import open_store
from tests.server.relays import SECRET, Relays, told_relay
from turn.limits.bans import MAX_BANS

PATIENCE = 10.0
USERS = ("one", "other")


@asynccontextmanager
async def linked(folder: Path, **relays: Relays) -> AsyncIterator[RelayLinks]:
    store = open_store(folder)
    first, *more = relays
    ice = IceServers(IceSettings(first, (3478,), SECRET, 600, more_hosts=tuple(more)))
    links = RelayLinks(ice, Bans(store), time.monotonic, time.time)
    links.start(lambda host: relays[host].open_way)
    try:
        yield links
    finally:
        await links.finish()
        store.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def test_all_relays_are_told_and_one_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    here, away, there = Relays(told_relay()), Relays(None), Relays(told_relay())
    async with linked(tmp_path, here=here, away=away, there=there) as links:
        links.bans.add(ip_network("192.0.2.7"), time.time(), 600, "")
        links.take_bans()
        links.take_news(CallVouched(USERS, (("aaaa", "bbbb"),)))
        for relays in (here, there):
            await until(lambda: relays.counts() == {"servers": 1, "vouched": 2, "ended": 0, "bans": 1})  # noqa: B023
        states = {state.host: state for state in links.states()}
        assert states["here"] == LinkState("here", "", 0)
        assert states["away"] == LinkState("away", "it cannot be reached", 2)
        figures = {
            (sample.name, sample.labels.get("relay", "")): sample.value
            for metric in links.collect()
            for sample in metric.samples
        }
        assert figures["calln_relay_told", "here"] == 1.0
        assert figures["calln_relay_told", "away"] == 0.0
        assert figures["calln_relay_untold", "away"] == 2.0
        links.take_news(NamesEnded(USERS))
    for relays in (here, there):
        assert relays.counts() == {"servers": 1, "vouched": 0, "ended": 2, "bans": 1}


async def test_what_is_known_before_the_start_is_told(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    Bans(store).add(ip_network("192.0.2.7"), time.time(), None, "")
    store.close()
    relays = Relays(told_relay())
    async with linked(tmp_path, here=relays):
        await until(lambda: relays.counts()["bans"])


async def test_bans_beyond_what_relays_take_are_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(tmp_path, here=Relays(told_relay())) as links:
        for count, left_out in ((MAX_BANS, 0), (MAX_BANS + 1, 1), (MAX_BANS + 2, 2)):
            links.bans.ends = {ip_network((number << 8, 32)): None for number in range(count)}
            links.take_bans()
            samples = {one.name: one.value for metric in links.collect() for one in metric.samples}
            assert samples["calln_relay_bans_left_out"] == left_out
    assert caplog.text.count("networks are banned: relays are told the newest only") == 1


async def test_a_reload_may_name_other_relays(tmp_path: Path) -> None:
    here, there = Relays(told_relay()), Relays(told_relay())
    store = open_store(tmp_path)
    ice = IceServers(IceSettings("here", (3478,), SECRET, 600))
    links = RelayLinks(ice, Bans(store), time.monotonic, time.time)
    links.follow_settings()
    assert links.states() == []
    links.start(lambda host: {"here": here, "there": there}[host].open_way)
    await until(lambda: here.heard)
    ice.settings = ice.settings._replace(host="there")
    links.follow_settings()
    await until(lambda: there.heard)
    assert [state.host for state in links.states()] == ["there"]
    await links.finish()
    store.close()
