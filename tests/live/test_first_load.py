"""The page is there soon on a slow line: few small files, which a second visit does not fetch again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.async_api import CDPSession, Route

from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import Visitor, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_REQUESTS, MOST_BYTES = 4, 45_000
MOST_REQUESTS_AGAIN = 2
READY = "() => document.body.dataset.state === 'idle' && !document.getElementById('start').disabled"


class Wire:
    """What the browser really fetched: address, bytes, and what asked for it."""

    def __init__(self, devtools: CDPSession) -> None:
        self.asked: dict[str, Mapping[str, Any]] = {}
        self.bytes: dict[str, int] = {}
        self.kept: set[str] = set()
        devtools.on("Network.requestWillBeSent", lambda event: self.asked.update({event["requestId"]: event}))
        devtools.on("Network.requestServedFromCache", lambda event: self.kept.add(event["requestId"]))
        devtools.on("Network.responseReceived", self.watch_response)
        devtools.on("Network.loadingFinished", self.watch_end)

    def watch_response(self, event: Mapping[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self.kept.add(event["requestId"])

    def watch_end(self, event: Mapping[str, Any]) -> None:
        self.bytes[event["requestId"]] = int(event["encodedDataLength"])

    def fetched(self) -> list[str]:
        """But for the icon of the page before, which names none."""
        every = [event["request"]["url"] for key, event in self.asked.items() if key not in self.kept]
        return [url for url in every if not url.endswith("/favicon.ico")]

    def asked_by_scripts(self) -> list[str]:
        """Each of them would be one more round trip before the page can be used."""
        return [
            event["request"]["url"] for event in self.asked.values() if event["initiator"]["type"] == "script"
        ]


async def watch(visitor: Visitor) -> Wire:
    devtools = await visitor.context.new_cdp_session(visitor.page)
    await devtools.send("Network.enable")
    return Wire(devtools)


async def load(visitor: Visitor, url: str) -> Wire:
    wire = await watch(visitor)
    await visitor.page.goto(url, wait_until="networkidle")
    await visitor.until(READY)
    return wire


async def test_few_small_files_and_once(service: Service, visit: Visit) -> None:
    visitor = await visit("healthz")
    first = await load(visitor, service.url)
    assert len(first.fetched()) <= MOST_REQUESTS, first.fetched()
    assert sum(first.bytes.values()) <= MOST_BYTES
    assert first.asked_by_scripts() == []
    await visitor.page.goto("about:blank")
    again = await load(visitor, service.url)
    assert len(again.fetched()) <= MOST_REQUESTS_AGAIN, again.fetched()


async def test_start_waits_for_the_script(service: Service, visit: Visit) -> None:
    visitor, other = await visit("healthz"), await visit()
    released = asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await visitor.page.route("**/built/main.js", hold)
    await visitor.page.goto(service.url, wait_until="commit")
    button = visitor.page.get_by_role("button", name="Start", exact=True)
    await button.wait_for()
    assert await button.is_disabled()
    released.set()
    await visitor.until(READY)
    await talk(visitor, other)
