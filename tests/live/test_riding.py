"""Real browsers whose calls ride in the kernel: over a cable, by each family, behind NAT and not. Those on
the relay's own machine do not ride: its addresses are reached by loopback's alone."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext

from config.file import load_config
from deploy.cli.relay import get
from tests.interop.clients.browser import BROWSERS
from tests.live.gated import Gated, account, gated
from tests.live.pairs import Pair, bare, heard
from tests.live.roads import driver
from tests.turn.engines.land import Place, ip
from turn.wire.srtp import SAMPLE

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE = {"ipv4": "10.66.9.1", "ipv6": "fd66:9::1"}
HOSTS = {**HERE, "ipv6": "[fd66:9::1]"}
PUBLIC = {"ipv4": "203.0.113.7", "ipv6": "2001:db8::7"}  # the relay's addresses in candidates
PAIRS = [("chromium", "chromium"), ("firefox", "chromium"), ("firefox", "firefox")]
PATIENCE = 60  # seconds for a relay or a browser to begin
LOOKED_AT_AGAIN = 8 * SAMPLE  # packets: of reports and repairs, both ways, and each passes two allocations
TOO_LARGE = 20  # packets of video that are larger than what rides, by IPv6
LONG = 6 * SAMPLE  # packets of voice: eight seconds
PLACES = [*product(PUBLIC, ("public", "natted"))]
Open = dict[str, BrowserContext]


class Figures(NamedTuple):
    """Packets that rode, packets that linked flows carried in the process, and media that the gate judged."""

    rode: int
    below: int
    judged: int


class Land(NamedTuple):
    """A cable between two places, with both families."""

    relay: Place
    home: Place


@pytest.fixture(scope="module")
def land() -> Iterator[Land]:
    if os.geteuid() != 0:
        pytest.skip("a program in the kernel, and networks of its own, need root")
    places = Land(Place(), Place())
    with places.relay.inside():
        ip(f"link add cable type veth peer name cable netns /proc/{os.getpid()}/fd/{places.home.descriptor}")
    for place, host in ((places.relay, 1), (places.home, 2)):
        with place.inside():
            ip(f"address add 10.66.9.{host}/24 dev cable")
            ip(f"address add fd66:9::{host}/64 dev cable nodad")
            ip("link set cable up")
            ip(f"route add default via 10.66.9.{3 - host}")
            ip(f"-6 route add default via fd66:9::{3 - host}")
    yield places
    for place in places:
        os.close(place.descriptor)


class Riding(NamedTuple):
    """A relay with the kernel's engine; `port` is where it listens."""

    relay: Gated
    port: int

    async def figures(self) -> Figures:
        """What rides while the figures are taken is missing in the last two."""
        looks = [await self.look() for _ in range(3)]
        return Figures(looks[0].rode, max(look.below for look in looks), looks[0].judged)

    async def look(self) -> Figures:
        stats = await asyncio.to_thread(get, load_config(self.relay.folder / "config.yaml"), "/stats")
        sums: Counter[str] = Counter()
        for figure in stats["figures"]:
            sums[figure["name"]] += int(figure["value"])
        carried, rode = sums["calln_relay_packets_total"], sums["calln_relay_packets_in_kernel_total"]
        return Figures(rode, carried - rode, (await self.relay.figures())["media"])


Relays = dict[tuple[str, str], Riding]


@asynccontextmanager
async def riding(land: Land, folder: Path, port: int, family: str, **keys: Any) -> AsyncIterator[Riding]:
    """By one family, towards its clients and between its relayed addresses."""
    with land.relay.inside():
        made = gated(
            folder,
            engine="kernel",
            listen=f"{HOSTS[family]}:{port}",
            relay_addresses=[HERE[family]],
            allow_peers=["10.66.9.0/24", "fd66:9::/64"],
            **keys,
        )
        relay = await asyncio.wait_for(made.__aenter__(), PATIENCE)
    try:
        yield Riding(relay, port)
    finally:
        await made.__aexit__(None, None, None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relays(land: Land, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relays]:
    """By family and place."""
    async with AsyncExitStack() as stack:
        made: Relays = {}
        for port, (family, place) in enumerate(PLACES, 3478):
            external = [f"{PUBLIC[family]}/{HERE[family]}"] if place == "natted" else []
            one = riding(land, tmp_path_factory.mktemp("relay"), port, family, external_ip=external)
            made[family, place] = await stack.enter_async_context(one)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsers(
    land: Land, relays: Relays, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Open]:
    home, trust = tmp_path_factory.mktemp("browsers"), str(relays["ipv4", "public"].relay.trust)
    async with driver(land.home) as playwright:
        opened = {name: await begin(playwright, home / name, trust) for name, begin in BROWSERS.items()}
        yield opened
        for context in opened.values():
            await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def pair(browsers: Open, names: tuple[str, str]) -> AsyncIterator[Pair]:
    one, other = [await bare(browsers[name]) for name in names]
    pair = Pair(one, other)
    yield pair
    await pair.close()


async def lost(pair: Pair) -> int:
    return sum([(await heard(page))["lost"] for page in pair.ends])


@pytest.mark.parametrize(("family", "place"), PLACES)
@pytest.mark.parametrize("names", PAIRS, ids="-".join)
async def test_what_is_proved_rides(
    relays: Relays, pair: Pair, names: tuple[str, str], family: str, place: str
) -> None:
    """Nothing is lost. What does not ride is too large, or what the gate looks at again."""
    riding = relays[family, place]
    url = f"turn:{HOSTS[family]}:{riding.port}?transport=udp"
    await pair.open(url, (account(), account()))
    await pair.meet()
    await pair.hears({"audio": 2 * SAMPLE}, way="relay udp")
    before, missing = await riding.figures(), await lost(pair)
    await pair.hears({"audio": LONG})
    after = await riding.figures()
    assert after.rode - before.rode >= 4 * LONG  # both directions, and each passes two allocations
    assert after.below - before.below <= after.judged - before.judged + TOO_LARGE
    assert after.judged - before.judged <= LOOKED_AT_AGAIN
    assert await lost(pair) == missing  # before its consent is heard, media are refused
