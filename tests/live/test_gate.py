"""The relay's gate before real browsers: each encrypted call goes through whole, nothing of one in clear."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Playwright

from tests.interop.clients.browser import BROWSERS
from tests.live.gated import NETWORK, PASSED, Gated, account, gated
from tests.live.impairment import Impairment
from tests.live.pairs import Pair, bare, heard
from tests.live.visitors import CHROMIUM
from turn.wire.srtp import SAMPLE

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLS = [
    (pair, over)
    for pair in (("chromium", "chromium"), ("firefox", "chromium"), ("firefox", "firefox"))
    for over in ("udp", "tcp", "tls")
]
BAD_NETWORK = [pair for pair, over in CALLS if over == "udp"]
MOST_IN_CLEAR = {"enforce": 0, "compat": 100}  # packets that a call in clear may get through
PUBLIC = "203.0.113.7"  # the relay's address in candidates
Open = dict[str, BrowserContext]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gated]:
    async with gated(tmp_path_factory.mktemp("relay")) as relay:
        yield relay


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browsers(
    playwright: Playwright, relay: Gated, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Open]:
    home = tmp_path_factory.mktemp("browsers")
    opened = {
        name: await begin(playwright, home / name, str(relay.trust)) for name, begin in BROWSERS.items()
    }
    yield opened
    for context in opened.values():
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def pair_of(browsers: Open, names: tuple[str, str], stack: AsyncExitStack) -> Pair:
    one, other = [await bare(browsers[name]) for name in names]
    pair = Pair(one, other)
    stack.push_async_callback(pair.close)
    return pair


@pytest.mark.parametrize(("names", "over"), CALLS)
async def test_a_call_goes_through_whole(
    relay: Gated, browsers: Open, stack: AsyncExitStack, names: tuple[str, str], over: str
) -> None:
    before = await relay.figures()
    pair = await pair_of(browsers, names, stack)
    await pair.open(relay.url(over), (account(), account()))
    await pair.meet()
    await pair.hears(way=f"relay {over}")
    await pair.restart()
    await pair.hears(way=f"relay {over}")
    assert await relay.refused(before) == {}
    assert (await relay.figures() - before)["media"] > 50


@pytest.mark.parametrize("names", [pair for pair in BAD_NETWORK if "firefox" in pair])
async def test_behind_nat_proved_streams_of_firefox_ask_nobody_any_more(
    browsers: Open, stack: AsyncExitStack, tmp_path: Path, names: tuple[str, str]
) -> None:
    """Firefox names its peer in each packet: by the public address, which the relay itself has not."""
    relay = await stack.enter_async_context(
        gated(tmp_path, external_ip=f"{PUBLIC}/127.0.0.1", allow_loopback_peers=False)
    )
    pair = await pair_of(browsers, names, stack)
    await pair.open(relay.url("udp"), (account(), account()))
    await pair.meet()
    await pair.hears({"audio": 2 * SAMPLE}, way="relay udp")
    before = await relay.figures()
    await pair.hears({"audio": 4 * SAMPLE})
    after = await relay.figures()
    assert {why for why in after if why not in PASSED} <= NETWORK
    # Reports only: one direction of voice alone would count so many, as each packet passes two allocations.
    assert (after - before)["media"] < 2 * 4 * SAMPLE


@pytest.mark.parametrize("names", BAD_NETWORK)
async def test_a_bad_network_is_no_reason_to_refuse_anything(
    relay: Gated, browsers: Open, stack: AsyncExitStack, names: tuple[str, str]
) -> None:
    """A tenth is lost, a fiftieth comes twice, and packets overtake each other."""
    impairment = Impairment(relay.relay.port, "-".join(names))
    before = await relay.figures()
    port = await impairment.open()
    stack.push_async_callback(impairment.close)
    pair = await pair_of(browsers, names, stack)
    await pair.open(relay.url("udp", port), (account(), account()))
    await pair.meet()
    await pair.hears()
    await pair.restart()
    await pair.hears()
    assert await relay.refused(before) == {}
    assert impairment.fates[0] > 100
    assert impairment.fates[2] > 10


@pytest.mark.parametrize("mode", ["enforce", "compat", "off"])
async def test_a_browser_that_does_not_encrypt(
    playwright: Playwright, stack: AsyncExitStack, tmp_path: Path, mode: str
) -> None:
    """It connects. Where the gate insists, nobody hears a thing; where it is off, they do."""
    relay = await stack.enter_async_context(gated(tmp_path, mode))
    browser = await playwright.chromium.launch(
        executable_path="/usr/bin/chromium", args=[*CHROMIUM, "--disable-webrtc-encryption"]
    )
    stack.push_async_callback(browser.close)
    pair = await pair_of({"chromium": await browser.new_context()}, ("chromium", "chromium"), stack)
    await pair.open(relay.url("udp"), (account(), account()), words=False)
    await pair.meet()
    await pair.until_connected()
    if mode == "off":
        await pair.hears({"audio": 50, "video": 10})
        return
    await pair.until_sent(200)
    arrived = sum(end["audio"] + end["video"] for end in [await heard(page) for page in pair.ends])
    assert arrived <= MOST_IN_CLEAR[mode]
    assert (await relay.figures())["media"] <= 2 * MOST_IN_CLEAR[mode]
