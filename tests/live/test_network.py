"""The network between page and server goes and comes back: visitors who talk or wait just go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.live.cable import Cable
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import start, talk
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLUG = free_port()


def sections(_: Path) -> Mapping[str, Mapping[str, Any]]:
    """The server allows pages that were opened through the cable as well."""
    return {"site": {"url": f"http://127.0.0.1:{PLUG}"}}


@pytest_asyncio.fixture(loop_scope="module")
async def cable(service: Service) -> AsyncIterator[Cable]:
    cable = Cable(service.http)
    await cable.plug(PLUG)
    service.url = f"http://127.0.0.1:{PLUG}/"
    yield cable
    await cable.pull()


async def test_a_call_goes_on_and_what_was_typed_meanwhile_arrives(cable: Cable, visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await cable.pull()
    await one.until_says("cannot be reached")
    await one.write("typed while away")
    await one.hears()
    await cable.plug(PLUG)
    await other.reads("typed while away")
    for visitor in (one, other):
        await visitor.until("() => document.getElementById('trouble').textContent === ''")
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
        assert "resume" in visitor.said("hello")[-1]
    await other.write("and an answer")
    await one.reads("and an answer")


async def test_who_waits_waits_on(cable: Cable, visit: Visit) -> None:
    one = await visit()
    await start([one])
    await one.until_says("Looking for somebody")
    await cable.pull()
    await one.until_says("cannot be reached")
    await cable.plug(PLUG)
    await one.until_says("Looking for somebody")
    other = await visit()
    await start([other])
    for visitor in (one, other):
        await visitor.until_state("talking")
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    await one.hears()


async def test_the_next_try_is_announced(cable: Cable, visit: Visit) -> None:
    visitor = await visit()
    await cable.pull()
    await visitor.press("Start")
    await visitor.until_says("Trying again in")
    await visitor.press("Stop")
    await visitor.until_state("idle")
    await cable.plug(PLUG)
    await visitor.press("Start")
    await visitor.until_says("Looking for somebody")
    assert await visitor.states() == ["idle", "waiting", "idle", "waiting"]
