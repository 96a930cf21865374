"""A page with two relays: a real browser asks both, and calls go on being made when one of them is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from server.signalling.returning import RELOAD_SECONDS
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.two_relays import HOSTS, WAYS, figures, held, second_relay, sections
from tests.live.visitors import talk

__all__ = ["sections"]  # the fixture of the service looks for it

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST = len(WAYS) * 2  # allocations at one relay for a user with one address: one per way, and as many anew

# Longer than a page gives the relay for its first answer.
SLOW = """() => {
  const plain = RTCPeerConnection.prototype.setLocalDescription;
  RTCPeerConnection.prototype.setLocalDescription = async function (...description) {
    await new Promise((done) => setTimeout(done, 11_000));
    return plain.apply(this, description);
  };
}"""
# As in a network that lets nothing else out.
RELAY_ONLY = """() => {
  const Plain = RTCPeerConnection;
  window.RTCPeerConnection = class extends Plain {
    constructor(settings) { super({ ...settings, iceTransportPolicy: "relay" }); }
    setConfiguration(settings) { super.setConfiguration({ ...settings, iceTransportPolicy: "relay" }); }
  };
}"""
# As if the server had named one of them only.
NEAR = """(host) => {
  const Plain = RTCPeerConnection;
  const near = ({ iceServers = [], ...settings }) => ({
    ...settings,
    iceServers: iceServers
      .map((server) => ({ ...server, urls: server.urls.filter((url) => url.includes(`:${host}:`)) }))
      .filter(({ urls }) => urls.length),
  });
  window.RTCPeerConnection = class extends Plain {
    constructor(settings) { super(near(settings)); }
    setConfiguration(settings) { super.setConfiguration(near(settings)); }
  };
}"""
PATIENCE = 20.0
GATHERED = """() => watched.connections.at(-1).getStats().then((stats) => [...stats.values()]
  .filter((one) => one.type === "local-candidate" && one.candidateType === "relay").map((one) => one.url))"""

# Calls of tests before end this long after their pages were closed: these might have been loaded again.
LONG = PATIENCE + RELOAD_SECONDS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(service: Service, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with second_relay(service, tmp_path_factory.mktemp("second")) as second:
        yield second


async def until(relay: Service, condition: Callable[[Counter[str]], bool]) -> None:
    """Wait for figures of a relay."""
    async with asyncio.timeout(LONG):
        while not condition(await figures(relay)):
            await asyncio.sleep(0.05)


async def test_a_browser_has_paths_by_both_and_holds_few_allocations(
    service: Service, second: Service, visit: Visit
) -> None:
    one, other = await visit(), await visit()
    for end in (one, other):
        await end.page.evaluate(RELAY_ONLY)
    await talk(one, other)
    await one.until(f"async () => new Set(await ({GATHERED})()).size >= {len(HOSTS)}")
    for relay in (service, second):
        assert 1 <= max(Counter(await held(relay)).values()) <= MOST
    for end in (one, other):
        await end.hears()


async def test_a_call_that_is_relayed_alone_has_paths_by_both_too(
    service: Service, second: Service, visit: Visit
) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.until(f"async () => new Set(await ({GATHERED})()).size >= {len(HOSTS)}")
    for end in (one, other):
        await end.hears()


async def test_two_who_were_told_of_different_relays_hear_each_other(
    service: Service, second: Service, visit: Visit
) -> None:
    """As where each has one near by."""
    one, other = await visit("?relay=1"), await visit("?relay=1")
    for end, host in zip((one, other), HOSTS, strict=True):
        await end.page.evaluate(NEAR, host)
    await talk(one, other)
    for end, host in zip((one, other), HOSTS, strict=True):
        await end.hears()
        assert {url.split(":")[1] for url in await end.page.evaluate(GATHERED)} == {host}


async def test_both_relays_hear_of_a_call_and_of_its_end(
    service: Service, second: Service, visit: Visit
) -> None:
    """Also of one that takes a direct path: it may come to either of them in its middle."""
    one, other = await visit(), await visit()
    await talk(one, other)
    assert "relay" not in (await one.media())["kinds"]
    for relay in (service, second):
        await until(relay, lambda known: known["servers"] == 1 and known["vouched_sessions"] == 2)
    await one.press("Stop")
    for relay in (service, second):
        await until(relay, lambda known: known["vouched_sessions"] == 0 and known["ended_users"] >= 2)


async def test_a_call_that_ends_gives_back_what_it_holds_at_both(
    service: Service, second: Service, visit: Visit
) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.page.evaluate(
        "watched.connections.at(-1).close = () => {}"
    )  # as a page that never says Refresh 0
    await other.press("Stop")
    async with asyncio.timeout(LONG):
        while [*await held(service), *await held(second)]:
            await asyncio.sleep(0.05)
    assert await one.page.evaluate("watched.connections.at(-1).signalingState") != "closed"


async def test_the_relay_is_missed_only_after_it_was_asked(
    service: Service, second: Service, visit: Visit
) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await one.page.evaluate(SLOW)
    await talk(one, other)
    for end in (one, other):
        await end.hears()


async def test_calls_are_made_when_one_relay_is_gone(service: Service, second: Service, visit: Visit) -> None:
    await second.end("relay")
    one, other = await visit(), await visit()
    for end in (one, other):
        await end.page.evaluate(RELAY_ONLY)
    await talk(one, other)
    for end in (one, other):
        await end.hears()
