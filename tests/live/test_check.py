"""The page that checks the connection: it says what works and what to do, and its report holds no address."""

from __future__ import annotations

import pytest

from tests.live.accessibility import PHONE, axe, fits
from tests.live.checking import ADDRESS, check
from tests.live.conftest import Visit
from tests.live.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_everything_works_here(visit: Visit) -> None:
    visitor = await visit("check", **PHONE)
    states = await check(visitor)
    assert states == {
        **dict.fromkeys(("browser", "microphone", "server", "stun", "udp", "path"), "good"),
        **dict.fromkeys(("tcp", "tls"), "none"),
    }
    assert "Everything works" in await visitor.page.locator("#verdict").inner_text()
    report = await visitor.page.locator("#result").input_value()
    assert "path: good" in report
    assert not ADDRESS.search(report)
    assert await axe(visitor) == ""
    assert await fits(visitor)
    assert visitor.complaints == []


async def test_a_relay_that_cannot_be_reached_is_named(service: Service, visit: Visit) -> None:
    visitor = await visit("check")
    await service.end("relay")
    states = await check(visitor)
    await service.begin("relay", service.relay_answers)
    assert (states["server"], states["udp"], states["path"]) == ("good", "bad", "bad")
    assert "blocked in your network" not in await visitor.page.locator("#checks").inner_text()
    assert "will not work" in await visitor.page.locator("#verdict").inner_text()
    assert "Try another network" in await visitor.page.locator("#check-path").inner_text()
    assert (await check(visitor))["path"] == "good"
