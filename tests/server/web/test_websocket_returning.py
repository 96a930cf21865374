"""Who was cut off: who is waited for, who counts meanwhile, and from where somebody returns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

from server.signalling.close_codes import TOO_SLOW
from server.web.websocket import Hub
from tests.server.serving import PATIENCE, Browser, Service, pages_of, serving


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


async def test_a_call_goes_on_at_the_server_that_starts_after_a_crash(tmp_path: Path) -> None:
    async with crashed(tmp_path) as (pages, service):
        one, other = [await back(service, page) for page in pages]
        hub = service.web.hub
        assert not hub.resumable
        await other.hear("partner")
        await one.tell("text", text="still here?")
        assert (await other.hear("text"))["text"] == "still here?"


async def test_what_is_said_before_the_partner_is_back_waits_for_it(tmp_path: Path) -> None:
    async with crashed(tmp_path) as (pages, service):
        one = await back(service, pages[0])
        await one.tell("text", text="are you there?")
        await one.hear("partner")
        await one.hear("sent")
        assert len(service.web.hub.resumable) == 1
        other = await back(service, pages[1])
        await other.hear("partner")
        assert (await other.hear("text"))["text"] == "are you there?"


@asynccontextmanager
async def crashed(folder: Path) -> AsyncIterator[tuple[tuple[Browser, Browser], Service]]:
    """The pages of a call, and a server that starts after the one that made it."""
    async with serving(folder / "before") as before:
        pages = await before.couple()
        async with serving(folder / "after") as service:
            yield pages, service


async def back(service: Service, page: Browser) -> Browser:
    """A page of another server, in its call again."""
    (matched,) = [word for word in map(json.loads, page.heard) if word["type"] == "matched"]
    browser = await service.browser()
    reply = await browser.hello(page.token, page.secret, heard=5, ticket=matched["ticket"])
    assert (reply["resumed"], reply["state"], reply["call"]) == (False, "calling", page.call)
    browser.call = page.call
    return browser
