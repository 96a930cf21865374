"""How fast a picture comes over the relay, by the channel, and how long a line right behind it takes.

    python -m tests.bench.picture [--rounds 5]

Real service, two pages in real Chromium that take the relay, all on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from playwright.async_api import async_playwright

from tests.bench.sound import visit
from tests.live.said import CHOOSE_NOISE
from tests.live.service import Service
from tests.live.visitors import Visitor, open_chromium, talk

PATIENCE = 30.0  # seconds for a picture to arrive
# Notes when things happen, in ms of the clock on the wall: both pages are on one machine. The line behind a
# picture is written when the page has given the browser all that may be on its way at once.
NOTE = """
const forget = () => (window.noted = {});
forget();
const send = RTCDataChannel.prototype.send;
RTCDataChannel.prototype.send = function (data) {
  if (typeof data === "string" && JSON.parse(data).type === "picture") noted.begun = Date.now();
  if (typeof data !== "string" && !noted.written) queueMicrotask(say);
  send.call(this, data);
};
const say = () => {
  if (noted.written) return;
  noted.written = Date.now();
  document.getElementById("message").value = "a line";
  document.getElementById("composer").requestSubmit();
};
Object.assign(window, { forget, say });
const create = URL.createObjectURL;
URL.createObjectURL = (blob) => {
  [noted.size, noted.whole] = [blob.size, Date.now()];
  return create.call(URL, blob);
};
addEventListener("DOMContentLoaded", () => {
  const log = document.getElementById("log");
  const look = () => log.lastElementChild?.querySelector(".said") && (noted.read ??= Date.now());
  new MutationObserver(look).observe(log, { childList: true });
});
"""


class Round(NamedTuple):
    """Figures of one picture, and of a line without one and behind it."""

    size: float  # bytes
    took: float  # ms until the picture is whole
    alone: float  # ms until the line can be read
    behind: float


async def noted(visitor: Visitor, what: str) -> float:
    """When it happened, by the page's clock."""
    async with asyncio.timeout(PATIENCE):
        while not (at := await visitor.page.evaluate("(what) => noted[what] ?? 0", what)):
            await asyncio.sleep(0.2)  # rarely: looking takes time, too
    return float(at)


async def line(one: Visitor, other: Visitor) -> float:
    """The ms from Enter until the partner can read it."""
    return await noted(other, "read") - await noted(one, "written")


async def measure(one: Visitor, other: Visitor) -> Round:
    await forget(one, other)
    await one.page.evaluate("say()")
    alone = await line(one, other)
    await forget(one, other)
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")
    took = await noted(other, "whole") - await noted(one, "begun")
    return Round(await noted(other, "size"), took, alone, await line(one, other))


async def forget(*visitors: Visitor) -> None:
    for visitor in visitors:
        await visitor.page.evaluate("forget()")


def show(rounds: Sequence[Round]) -> None:
    size = median(one.size for one in rounds)
    print(f"over the relay, by the channel; median of {len(rounds)} (least to most)")
    print(f"a picture of {size / 1e6:.1f} MB  {spread([one.size / one.took / 1e3 for one in rounds])} MB/s")
    print(f"a line alone           {spread([one.alone for one in rounds])} ms")
    print(f"a line right behind it {spread([one.behind for one in rounds])} ms")


def spread(figures: Sequence[float]) -> str:
    return f"{median(figures):.1f} ({min(figures):.1f} to {max(figures):.1f})"


async def measure_all(rounds: int) -> None:
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory() as name:
            service = Service(Path(name), {})
            try:
                await service.open()
                browser = await open_chromium(playwright)
                one, other = [await visit(browser, f"{service.url}?relay=1", NOTE) for _ in range(2)]
                await talk(one, other)
                await measure(one, other)  # the first one takes longer
                show([await measure(one, other) for _ in range(rounds)])
                await browser.close()
            finally:
                await service.close()


def main() -> None:
    """Measure and print."""
    words: Any = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--rounds", type=int, default=5)
    asyncio.run(measure_all(words.parse_args().rounds))


if __name__ == "__main__":
    main()
