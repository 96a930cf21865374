"""A relay dies in the middle of calls with hidden addresses: both talk on over another one, within seconds.

Meanwhile and afterwards both pages say what is true. After the first death the server tells pages of the
other relay alone, so the second call can only go on over one that its pages were not told of.

Firefox is on the other relay as soon as it is offered. Chromium checks no other pair before the old one has
been silent for 2.5 seconds, and leaves the old one a second later: 3.5 seconds are its least.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright

from deploy.doctor.operator_client import SERVER, OperatorError, request_json
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.two_relays import HOSTS, held, second_relay, sections
from tests.live.visitors import Visitor, open_firefox, talk
from tests.turn.service.kept import kept_files

__all__ = ["sections"]  # the fixture of the service looks for it

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON = 20.0  # seconds until they talk again: twice what is promised, on a busy machine

# The relay that this page's end of the voice's path is at.
RELAY = """async () => {
  const stats = [...(await watched.connections.at(-1).getStats()).values()];
  const id = stats.find(({ type }) => type === "transport")?.selectedCandidatePairId;
  const pairs = stats.filter(({ type }) => type === "candidate-pair");
  const pair = pairs.find((one) => (id ? one.id === id : one.selected));
  return stats.find((one) => one.id === pair?.localCandidateId)?.address;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def firefox(playwright: Playwright) -> AsyncIterator[Browser]:
    browser = await open_firefox(playwright)
    yield browser
    await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relays(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Service]]:
    async with second_relay(service, tmp_path_factory.mktemp("second")) as second:
        yield dict(zip(HOSTS, (service, second), strict=True))


async def begin_again(relay: Service) -> None:
    """It knows nothing of the calls before: they can only have gone on over the other one."""
    for file in kept_files(relay.state):
        file.unlink()
    await relay.begin("relay", lambda: (relay.state / "relay.sock").exists())
    await until(lambda: answers(relay))


async def answers(relay: Service) -> bool:
    with suppress(OperatorError):
        return isinstance(await held(relay), list)
    return False


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON):
        while not await condition():
            await asyncio.sleep(0.1)


async def is_known(dead: str, service: Service) -> bool:
    """Whether pages are not told of it any more."""
    said = await asyncio.to_thread(request_json, service.state, "GET", "/relays", at=SERVER)
    return dead in {one["host"] for one in said["relays"] if not one["lives"]}


async def talk_again(ends: tuple[Visitor, Visitor], since: float) -> float:
    """Seconds until both say that they talk."""
    for end in ends:
        await end.until_said("The voice connection is interrupted.")
    for end in ends:
        await end.until_says("You are talking.")
    return time.monotonic() - since


@pytest.mark.parametrize("names", [("chromium", "chromium"), ("chromium", "firefox"), ("firefox", "firefox")])
async def test_both_talk_on_over_another_relay(
    service: Service,
    relays: dict[str, Service],
    visit: Visit,
    chromium: Browser,
    firefox: Browser,
    names: tuple[str, str],
) -> None:
    browsers = {"chromium": chromium, "firefox": firefox}
    one, other = [await visit("?relay=1", browser=browsers[name]) for name in names]
    await talk(one, other)
    for end in (one, other):
        await end.hears()
        await end.until_says("You are talking.")
    dead = await one.page.evaluate(RELAY)
    assert dead in HOSTS
    await relays[dead].end("relay")
    async with asyncio.timeout(SOON):
        seconds = await talk_again((one, other), time.monotonic())
    print(f"{' and '.join(names)}: silent until {seconds:.1f} s after the relay died")
    for end in (one, other):
        await end.hears()
        assert await end.page.evaluate(RELAY) in set(HOSTS) - {dead}
        assert (await end.page.evaluate("watched.states"))[-1] == "talking"
    await until(lambda: is_known(dead, service))
    await begin_again(relays[dead])
