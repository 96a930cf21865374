"""The page is there soon on a slow line: few small files, which a second visit does not fetch again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import CDPSession, Route

from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import PATIENCE, Visitor, start

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNTRIES = {"geoip": "2130706432,2147483647,DE\n", "geoip6": "::1,::1,DE\n"}  # 127.0.0.0/8
MOST_REQUESTS, MOST_BYTES = 4, 45_000
MOST_REQUESTS_AGAIN = 2
READY = "() => document.body.dataset.state === 'idle' && !document.getElementById('soon')"


class Wire:
    """What the browser really fetched: address, bytes, and what asked for it."""

    def __init__(self, devtools: CDPSession) -> None:
        self.asked: dict[str, Mapping[str, Any]] = {}
        self.bytes: dict[str, int] = {}
        self.kept: set[str] = set()
        self.failed: set[str] = set()
        devtools.on("Network.requestWillBeSent", lambda event: self.asked.update({event["requestId"]: event}))
        devtools.on("Network.requestServedFromCache", lambda event: self.kept.add(event["requestId"]))
        devtools.on("Network.responseReceived", self.watch_response)
        devtools.on("Network.loadingFinished", self.watch_end)
        devtools.on("Network.loadingFailed", lambda event: self.failed.add(event["requestId"]))

    def watch_response(self, event: Mapping[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            self.kept.add(event["requestId"])

    def watch_end(self, event: Mapping[str, Any]) -> None:
        self.bytes[event["requestId"]] = int(event["encodedDataLength"])

    async def until_all_is_there(self) -> None:
        """The browser tells of an end a moment after the page has what came."""
        async with asyncio.timeout(PATIENCE / 1000):
            while not self.asked.keys() <= self.bytes.keys() | self.kept | self.failed:
                await asyncio.sleep(0.02)

    def fetched(self) -> dict[str, int]:
        """Addresses, and bytes with the headers; but for the icon of the page before, which names none."""
        every = {key: event["request"]["url"] for key, event in self.asked.items() if key not in self.kept}
        return {url: self.bytes.get(key, 0) for key, url in every.items() if not url.endswith("/favicon.ico")}

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
    await wire.until_all_is_there()
    return wire


def sections(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """A site that lets its visitors choose among all countries."""
    for name, text in COUNTRIES.items():
        (folder / name).write_text(text)
    return {"geo": {"database": str(folder)}}


@pytest.mark.parametrize("language", ["en", "ar", "hi", "ja", "uk"])
async def test_few_small_files_and_once(service: Service, visit: Visit, language: str) -> None:
    visitor = await visit("healthz", locale=language)
    first = await load(visitor, service.url)
    assert len(first.fetched()) <= MOST_REQUESTS, first.fetched()
    assert sum(first.fetched().values()) <= MOST_BYTES, first.fetched()
    assert first.asked_by_scripts() == []
    assert await visitor.page.locator("html").get_attribute("lang") == language
    assert await visitor.page.locator("#countries input[type=checkbox]").count() > 200
    await visitor.page.goto("about:blank")
    again = await load(visitor, service.url)
    assert len(again.fetched()) <= MOST_REQUESTS_AGAIN, again.fetched()


async def test_start_is_heard_before_the_script_is_there(service: Service, visit: Visit) -> None:
    visitor, other = await visit("healthz"), await visit()
    released = asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await visitor.page.route("**/built/main.*.js", hold)
    await visitor.page.goto(service.url, wait_until="commit")
    button = visitor.page.get_by_role("button", name="Start", exact=True)
    await button.wait_for()
    await start([other])
    await button.click()
    await visitor.page.get_by_text("as soon as the page is loaded").wait_for()
    released.set()
    await visitor.until_state("talking")
    await other.until_state("talking")
    assert visitor.complaints == []
    await visitor.press("Stop")
    await visitor.page.reload()
    await visitor.until(READY)  # a press counts once
