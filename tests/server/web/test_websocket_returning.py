"""Who was cut off: who is waited for, who counts meanwhile, and from where somebody returns."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

from server.signalling.close_codes import TOO_SLOW
from server.web.websocket import Hub
from tests.server.serving import PATIENCE, Service, pages_of, serving


async def lines(hub: Hub, number: int) -> None:
    """Until so many hub are open."""
    async with asyncio.timeout(PATIENCE):
        while len(hub.clients) != number:
            await asyncio.sleep(0.01)


async def test_an_idle_page_that_was_cut_off_is_not_waited_for(service: Service) -> None:
    hub = service.web.hub
    idle = await service.visitor("127.0.0.7")
    idle.cut()
    await lines(hub, 0)
    assert not hub.resumable
    assert not hub.lobby.visitors
    assert not pages_of(hub)


async def test_who_may_come_back_counts_among_the_visitors(tmp_path: Path) -> None:
    async with serving(tmp_path, visitors=2) as service:
        one, other = await service.couple()
        one.cut()
        await other.hear("partner")
        assert len(service.web.hub.resumable) == 1
        assert await (await service.browser("127.0.0.4")).closed() == TOO_SLOW


async def test_a_ban_after_a_return_is_of_the_new_address(service: Service) -> None:
    one, other = await service.couple()
    one.cut()
    await other.hear("partner")
    again = await service.browser("127.0.0.9")
    await again.hello(one.token, one.secret)
    await other.hear("partner")
    await other.tell("report", reason="spam")
    code = (await other.hear("reported"))["code"]
    found = service.web.hub.lobby.reports.lookup(code, service.web.hub.clock())
    assert found is not None
    assert found.address == ip_address("127.0.0.9")
