"""A caller's network changes in the middle of a call: it goes on, and the page tells no lie meanwhile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.live.roads import FarService, Roads, browser_at, driver
from tests.live.visitors import Visitor, talk

pytestmark = [
    pytest.mark.asyncio(loop_scope="function"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make network namespaces"),
]


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


@pytest.mark.parametrize("second", [True, False], ids=["another network", "another address"])
async def test_a_call_goes_on_in_a_changed_network(roads: Roads, service: FarService, second: bool) -> None:
    async with driver(roads.caller) as near, driver(roads.partner) as far:
        caller = await Visitor.open(await browser_at(near, "chromium", service.url), service.url)
        partner = await Visitor.open(await browser_at(far, "chromium", service.url), service.url)
        await talk(caller, partner)
        await go_on(caller, partner)
        if second:
            roads.leave_first_network()
        else:
            roads.drop_second_network()
            await go_on(caller, partner)
            roads.change_address()
        await caller.until_says("interrupted")
        await go_on(caller, partner)
        for visitor in (caller, partner):
            assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]


async def go_on(one: Visitor, other: Visitor) -> None:
    for visitor in (one, other):
        await visitor.until_says("You are talking.")
        await visitor.hears()
