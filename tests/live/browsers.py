"""The browsers of a test module: each kind is opened when it is first asked for, and visitors share it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from playwright.async_api import Browser, Playwright

from tests.live.visitors import open_chromium, open_firefox

KINDS: Mapping[str, Callable[[Playwright], Awaitable[Browser]]] = {
    "chromium": open_chromium,
    "firefox": open_firefox,  # it takes six seconds of a processor to begin
}


class Browsers:
    def __init__(self, playwright: Playwright) -> None:
        self.playwright = playwright
        self.opened: dict[str, Browser] = {}

    async def of(self, kind: str) -> Browser:
        if kind not in self.opened:
            self.opened[kind] = await KINDS[kind](self.playwright)
        return self.opened[kind]

    async def close(self) -> None:
        for browser in self.opened.values():
            await browser.close()
