"""A page with two relays: a real browser asks both, and calls go on being made when one of them is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from config.file import load_config
from deploy.cli.relay import get
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "0123456789abcdef0123456789abcdef"
HOSTS = ("127.0.0.1", "127.0.0.2")
WAYS = ("udp", "tcp")
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
  };
}"""
GATHERED = """() => watched.connections.at(-1).getStats().then((stats) => [...stats.values()]
  .filter((one) => one.type === "local-candidate" && one.candidateType === "relay").map((one) => one.url))"""


def sections(folder: Path) -> dict[str, dict[str, Any]]:
    (folder / "secret").write_text(f"{SECRET}\n")
    (folder / "secret").chmod(0o600)
    return {"turn": {"secret_file": str(folder / "secret"), "host": HOSTS[0], "more_hosts": [HOSTS[1]]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(service: Service, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The relay of another machine, at the same port as the first."""
    folder = tmp_path_factory.mktemp("second")
    told = yaml.safe_load(service.file.read_text())["turn"]
    listen = [f"{way}://{HOSTS[1]}:{service.turn}" for way in WAYS]
    del told["host"], told["more_hosts"]
    second = Service(folder, {"turn": {**told, "listen": listen}})
    await second.begin("relay", lambda: (second.state / "relay.sock").exists())
    yield second
    await second.close()


async def held(service: Service) -> list[str]:
    """Users by the allocations they hold there."""
    told = await asyncio.to_thread(get, load_config(service.file), "/sessions")
    return [session["user"] for session in told["sessions"]]


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


async def test_a_call_that_is_relayed_alone_keeps_to_the_relay_that_saw_its_beginning(
    service: Service, second: Service, visit: Visit
) -> None:
    for _ in range(2):
        one, other = await visit("?relay=1"), await visit("?relay=1")
        await talk(one, other)
        for end in (one, other):
            assert len(set(await end.page.evaluate(GATHERED))) == 1
            await end.hears()


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
