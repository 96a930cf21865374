"""Draws the icons for phones and the picture beside posted links, from icon.svg (`make icons`)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from playwright.async_api import async_playwright

from tests.built import STATIC
from tests.live.visitors import open_chromium

ICON = (STATIC / "icon.svg").read_text()
WAVES, COLOUR = re.findall("<path.*/>", ICON)[0], re.findall('fill="(#[0-9a-f]+)"', ICON)[0]
GROUND = "#f5f4f0"


def svg(box: str, drawn: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="100%" height="100%">{drawn}</svg>'


def everywhere(colour: str) -> str:
    return f'<rect x="-200" y="-200" width="400" height="400" fill="{colour}"/>'


def drawings() -> Iterator[tuple[str, int, int, str]]:
    """Name, width, height, and what is drawn. A maskable icon keeps its fifth at each edge empty."""
    for size in (192, 512):
        yield f"icon-{size}.png", size, size, ICON
        yield f"maskable-{size}.png", size, size, svg("-3 -3 38 38", everywhere(COLOUR) + WAVES)
    drawn = re.findall("<svg[^>]*>(.*)</svg>", ICON)[0]
    yield "preview.png", 1200, 630, svg("-32 -9 96 50.4", everywhere(GROUND) + drawn)


async def draw() -> None:
    async with async_playwright() as playwright:
        browser = await open_chromium(playwright)
        for name, width, height, drawn in drawings():
            page = await browser.new_page(viewport={"width": width, "height": height})
            await page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{drawn}")
            await page.screenshot(path=STATIC / name, omit_background=True)
            await page.close()
        await browser.close()


if __name__ == "__main__":
    asyncio.run(draw())
