"""A caller's network changes in the middle of a call: it goes on, and the page tells no lie meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.roads import FarService, Roads, browser_at, driver
from tests.live.visitors import Visitor, hear, talk

pytestmark = [
    pytest.mark.asyncio(loop_scope="function"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make network namespaces"),
]

DARK = 4.0  # seconds in which nothing gets through after both have been told
CALM = 3.0  # seconds in which another attempt would have begun


@pytest.fixture
def roads() -> Roads:
    return Roads()


@pytest_asyncio.fixture
async def service(roads: Roads, tmp_path: Path) -> AsyncIterator[FarService]:
    service = FarService(tmp_path, roads)
    try:
        with roads.service.inside():
            await service.open()
        yield service
    finally:
        await service.close()
        roads.close()


@asynccontextmanager
async def call(roads: Roads, service: FarService, kind: str) -> AsyncIterator[tuple[Visitor, Visitor]]:
    """A caller with a browser of this kind, and a partner with a Chromium, who hear each other."""
    async with driver(roads.caller) as near, driver(roads.partner) as far:
        caller = await Visitor.open(await browser_at(near, kind, service.url), service.url)
        partner = await Visitor.open(await browser_at(far, "chromium", service.url), service.url)
        await talk(caller, partner)
        await go_on(caller, partner)
        yield caller, partner
        for visitor in (caller, partner):
            assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]


KINDS = ["chromium", "firefox"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", [True, False], ids=["another network", "another address"])
async def test_a_call_goes_on_in_a_changed_network(
    roads: Roads, service: FarService, second: bool, kind: str
) -> None:
    async with call(roads, service, kind) as (caller, partner):
        if second:
            roads.leave_first_network()
        else:
            roads.drop_second_network()
            await go_on(caller, partner)
            roads.change_address()
        before = offers_at(partner)
        await caller.until_says("interrupted")
        await go_on(caller, partner)
        mended = offers_at(partner)
        assert mended > before
        await asyncio.sleep(CALM)
        assert offers_at(partner) == mended  # what is mended is not restarted: that would be silent again


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_goes_on_after_a_time_in_which_nothing_gets_through(
    roads: Roads, service: FarService, kind: str
) -> None:
    """Both are told that they are not heard, and not that they talk."""
    async with call(roads, service, kind) as (caller, partner):
        roads.drop_second_network()
        roads.swallow()
        for visitor in (caller, partner):
            await visitor.until_says("interrupted")
        await asyncio.sleep(DARK)
        roads.let_through()
        await go_on(caller, partner)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_goes_on_by_tcp_where_udp_is_blocked_in_its_middle(
    roads: Roads, service: FarService, kind: str
) -> None:
    async with call(roads, service, kind) as (caller, partner):
        roads.drop_second_network()
        await go_on(caller, partner)
        roads.swallow("meta l4proto udp")
        await caller.until_says("interrupted")
        await go_on(caller, partner)


def offers_at(visitor: Visitor) -> int:
    """How many offers it has sent and heard."""
    frames = [frame for frame in (*visitor.sent, *visitor.received) if isinstance(frame, str)]
    return sum(json.loads(frame)["type"] == "offer" for frame in frames)


async def go_on(one: Visitor, other: Visitor) -> None:
    for visitor in (one, other):
        await visitor.until_says("You are talking.")
    await hear(one, other)
