"""Other people's clients at a relay of two processes: who meets which of them is the kernel's choice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Playwright

from tests.live.turn_clients import HOSTS, ROWS, Relay, begin, begin_relay, lost, talk, turnutils, uclient
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

# uclient without -c asks for pairs of ports, which several processes do not give.
SINGLE = [row for row, flags in ROWS.items() if "-c" in flags]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    relay = Relay(free_port(), free_port(), free_port(), {})
    processes = [await begin_relay(relay, tmp_path_factory.mktemp("relay"), workers=2)]
    if shutil.which("turnutils_peer"):
        listen = [word for host in HOSTS.values() for word in ("-L", host)]
        processes.append(await begin("turnutils_peer", *listen, "-p", str(relay.peer)))
    yield relay
    for process in reversed(processes):
        process.kill()
        await process.communicate()


@turnutils
async def test_uclient_loses_nothing_at_two_workers(relay: Relay) -> None:
    rows = [(row, family) for row in SINGLE for family in HOSTS]
    for said in await asyncio.gather(*(uclient(relay, *key) for key in rows)):
        assert lost(said) == 0, said


@pytest.mark.skipif(
    shutil.which("certutil") is None, reason="Debian's libnss3-tools is not installed: no certutil"
)
@pytest.mark.parametrize("over", ["udp", "tcp", "tls"])
async def test_chromium_talks_through_two_workers(
    relay: Relay, playwright: Playwright, tmp_path: Path, over: str
) -> None:
    assert await talk(relay, playwright, tmp_path, over) == ["there and back", "relay", over]
