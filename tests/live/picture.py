"""Takes the README's picture of a call, docs/call.png: `python -m tests.live.picture`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import ViewportSize, async_playwright

from tests.live.service import ROOT, Service
from tests.live.visitors import Visitor, open_chromium, talk

PICTURE = ROOT / "docs" / "call.png"
HOLIDAY = Path(__file__).parent / "holiday.jpg"
WINDOW: ViewportSize = {"width": 560, "height": 1056}
GAP = 12
SAID = (
    "Hello! Where are you calling from?",
    "From a small town by the sea. And you?",
    "Far from any sea, sadly. What is it like?",
)
# Both pages side by side; opened from a file, so no policy of ours stands in the way.
SHEET = """<body style="margin:0;display:flex;gap:12px;background:#c9cfcb">
<img src="light.png"><img src="dark.png"></body>"""


async def main() -> None:
    """Two pages in a real call, one light and one dark, in one picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = Service(folder, {})
        try:
            await service.open()
            await take(service, folder)
        finally:
            await service.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size >> 10} KiB")


async def take(service: Service, folder: Path) -> None:
    async with async_playwright() as playwright:
        browser = await open_chromium(playwright)
        light, dark = [
            await Visitor.open(browser, service.url, color_scheme=scheme, viewport=WINDOW)
            for scheme in ("light", "dark")
        ]
        await talk(light, dark)
        await chat(light, dark)
        await light.until("() => document.getElementById('duration').textContent >= '0:07'")
        await light.page.screenshot(path=folder / "light.png")
        await dark.page.screenshot(path=folder / "dark.png")
        (folder / "sheet.html").write_text(SHEET)
        sheet = await browser.new_page(viewport={**WINDOW, "width": 2 * WINDOW["width"] + GAP})
        await sheet.goto(f"file://{folder}/sheet.html")
        await sheet.screenshot(path=PICTURE)
        await browser.close()


async def chat(one: Visitor, other: Visitor) -> None:
    for number, text in enumerate(SAID):
        speaker, listener = (one, other) if number % 2 == 0 else (other, one)
        await speaker.write(text)
        await listener.reads(text)
    await other.page.set_input_files("#file", HOLIDAY)
    await other.press("Send the picture")
    for visitor in (one, other):
        await visitor.until_picture()
    await one.page.locator("#log .veiled").click()


if __name__ == "__main__":
    asyncio.run(main())
