"""The page that checks the connection: the relay has all its ways, and a network blocks some of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Playwright

from tests.interop.certificates import make
from tests.interop.clients.browser import trust_in
from tests.live.checking import ADDRESS, check
from tests.live.roads import driver
from tests.live.service import Service
from tests.live.visitors import CHROMIUM, FIREFOX, WATCH, Visitor
from tests.turn.engines.land import Place, ip

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a network namespace"),
]

HERE, NAME = "127.0.0.1", "localhost"  # Firefox asks for TURN over TLS only by a name
UDP, TLS, PAGE = 3478, 5349, 443  # as they are by default
# Browsers take no machine for connected that has nothing but its loopback interface.
INTERFACE = (
    "link add net type veth peer name far",
    "link set far up",
    "address add 10.66.8.1/24 dev net",
    "link set net up",
    "route add default dev net",
)
ALWAYS = ("browser", "microphone", "server")
NOTHING, DATAGRAMS = "accept", f"udp dport {UDP} drop"  # the relay's other ports are not of this network
ALL_BUT_THE_PAGE = f"{DATAGRAMS}; tcp dport {{ {UDP}, {TLS} }} drop"


class Network(NamedTuple):
    """A network namespace with the whole service in it. What is blocked there changes."""

    place: Place
    service: Service
    trust: Path

    def block(self, rules: str) -> None:
        """Only these packets are dropped from now on."""
        chain = f"chain out {{ type filter hook output priority 0; {rules}; }}"
        empty = "table inet blocked {}; delete table inet blocked"
        with self.place.inside():
            subprocess.run(["nft", f"{empty}; table inet blocked {{ {chain}; }}"], check=True)


def sections(folder: Path) -> dict[str, dict[str, object]]:
    files = make(folder)
    certificate = {"certificate": str(files.chain), "key": str(files.key)}
    listen = [f"udp://{HERE}:{UDP}", f"tcp://{HERE}:{UDP}", f"tls://{HERE}:{TLS}"]
    return {
        "site": {"url": f"https://{NAME}"},
        "server": {"tls_listen": f"{HERE}:{PAGE}", **certificate},
        "turn": {"listen": listen, **certificate},
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    folder, place = tmp_path_factory.mktemp("network"), Place()
    service = Service(folder, sections(folder))
    service.turn = UDP
    try:
        with place.inside():
            for line in INTERFACE:
                ip(line)
            await service.begin("relay", lambda: (service.state / "relay.sock").exists())
            await service.begin("serve", lambda: (service.state / "server.sock").exists())
        yield Network(place, service, folder / "trust.pem")
    finally:
        await service.close()
        os.close(place.descriptor)


async def chromium(playwright: Playwright, home: Path, network: Network) -> BrowserContext:
    trust_in(home / ".pki/nssdb", str(network.trust))
    return await playwright.chromium.launch_persistent_context(
        home / "profile", executable_path="/usr/bin/chromium", args=[*CHROMIUM], env={"HOME": str(home)}
    )


async def firefox(playwright: Playwright, home: Path, network: Network) -> BrowserContext:
    trust_in(home, str(network.trust))
    return await playwright.firefox.launch_persistent_context(
        home,
        channel="moz-firefox",
        executable_path="/usr/bin/firefox-esr",
        firefox_user_prefs={**FIREFOX},
    )


Contexts = dict[str, BrowserContext]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsers(network: Network, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Contexts]:
    async with driver(network.place) as playwright:
        opened = {
            kind.__name__: await kind(playwright, tmp_path_factory.mktemp("home"), network)
            for kind in (chromium, firefox)
        }
        yield opened
        for context in opened.values():
            await context.close()


BY_ADDRESS = f"""
const Named = RTCPeerConnection;
window.RTCPeerConnection = class extends Named {{
  constructor(settings = {{}}) {{
    super(JSON.parse(JSON.stringify(settings).replaceAll("{NAME}:", "{HERE}:")));
  }}
}};
"""

# What is blocked: what is found there, and words of the page.
CASES: dict[str, tuple[str, dict[str, str], str]] = {
    "nothing": (NOTHING, {}, "Everything works"),
    "UDP": (DATAGRAMS, {"stun": "weak", "udp": "bad"}, "should work. Read what is said below"),
    "all but the page": (
        ALL_BUT_THE_PAGE,
        {"stun": "weak", "udp": "bad", "tcp": "bad"},
        "should work. Read what is said below",
    ),
}


async def begin(context: BrowserContext, *scripts: str) -> Visitor:
    visitor = Visitor(context, await context.new_page())
    for script in (WATCH, *scripts):
        await visitor.page.add_init_script(script)
    await visitor.page.goto(f"https://{NAME}/check")
    return visitor


async def is_told(visitor: Visitor, name: str) -> None:
    _, differences, words = CASES[name]
    states = await check(visitor)
    good = dict.fromkeys((*ALWAYS, "stun", "udp", "tcp", "tls", "path"), "good")
    report = await visitor.page.locator("#result").input_value()
    assert states == good | differences, (name, report)
    assert words in await visitor.page.locator("#verdict").inner_text()
    assert f"port {PAGE}, {TLS}: found" in report
    assert not ADDRESS.search(report)


async def test_what_is_said_is_true(network: Network, browsers: Contexts) -> None:
    """In both browsers at once: a way that is blocked takes its time."""
    visitors = [await begin(context) for context in browsers.values()]
    for name, (rules, _, _) in CASES.items():
        network.block(rules)
        await asyncio.gather(*(is_told(visitor, name) for visitor in visitors))
    for visitor in visitors:
        assert await visitor.page.evaluate("watched.violations") == []
        await visitor.page.close()


async def test_a_way_that_a_browser_does_not_use_is_not_blamed_on_the_network(
    network: Network, browsers: Contexts
) -> None:
    """Firefox asks for TURN over TLS only by a name."""
    visitor = await begin(browsers["firefox"], BY_ADDRESS)
    network.block(NOTHING)
    states = await check(visitor)
    assert (states["tls"], states["path"]) == ("unused", "good")
    assert "Everything works" in await visitor.page.locator("#verdict").inner_text()
