"""A relay is killed in the middle of calls between real browsers, and starts again: they talk on.

The pages do nothing for that: no restart of ICE, no new credentials.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright

from host.tls import Certificate
from tests.interop.certificates import make
from tests.live.gated import LIMITS, NETWORK, Gated, account
from tests.live.pairs import Pair, bare
from tests.live.turn_clients import Relay, begin_relay
from tests.live.visitors import open_firefox
from tests.ports import free_port
from tests.turn.service.kept import kept_files

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEATHS = 2
# Beside what a network repeats: while a relay starts, the checks of some seconds wait at its socket.
REFUSED = NETWORK | {"too many checks"}


class Mortal:
    """A relay that lets only encrypted packets pass, and its process, which is killed now and then."""

    def __init__(self, folder: Path, workers: int) -> None:
        files = make(folder)
        self.certificate, self.workers = Certificate(files.chain, files.key), workers
        self.gated = Gated(Relay(free_port(), free_port(), free_port(), {}), folder, files.trust)

    async def start(self) -> None:
        self.process = await begin_relay(
            self.gated.relay,
            self.gated.folder,
            self.certificate,
            encrypted_only="enforce",
            limits=LIMITS,
            workers=self.workers,
        )

    async def kill(self) -> None:
        self.process.kill()
        await self.process.communicate()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def firefox(playwright: Playwright) -> AsyncIterator[Browser]:
    browser = await open_firefox(playwright)
    yield browser
    await browser.close()


@pytest.mark.parametrize("names", [("chromium", "chromium"), ("chromium", "firefox"), ("firefox", "firefox")])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_call_goes_on_when_its_relay_was_killed(
    tmp_path: Path, chromium: Browser, firefox: Browser, names: tuple[str, str], workers: int
) -> None:
    browsers = {"chromium": chromium, "firefox": firefox}
    relay = Mortal(tmp_path, workers)
    await relay.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(relay.kill)
        contexts = [await browsers[name].new_context() for name in names]
        for context in contexts:
            stack.push_async_callback(context.close)
        pair = Pair(*[await bare(context) for context in contexts])
        await pair.open(relay.gated.url("udp"), (account(), account()))
        await pair.meet()
        await pair.hears(way="relay udp")
        for _ in range(DEATHS):
            await relay.kill()
            await relay.start()
            await pair.hears(way="relay udp")
        assert (await relay.gated.refused(Counter())).keys() <= REFUSED
        assert "failed" not in [await page.evaluate("connection.iceConnectionState") for page in pair.ends]


async def test_without_what_it_has_kept_the_call_would_be_over(tmp_path: Path, chromium: Browser) -> None:
    """So nothing else than what is kept has held the calls above."""
    relay = Mortal(tmp_path, 1)
    await relay.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(relay.kill)
        context = await chromium.new_context()
        stack.push_async_callback(context.close)
        pair = Pair(await bare(context), await bare(context))
        await pair.open(relay.gated.url("udp"), (account(), account()))
        await pair.meet()
        await pair.hears(way="relay udp")
        await relay.kill()
        for file in kept_files(tmp_path):
            file.unlink()
        await relay.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(8.0):
                await pair.hears(way="relay udp")
