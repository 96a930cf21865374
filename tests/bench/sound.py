"""From Start to sound: how long the second of two visitors waits, and where the time goes.

    python -m tests.bench.sound [--rounds 15] [--browsers chromium,firefox] [--ways direct,relay]

Real service, real browsers, all on this machine. One visitor waits; the clock runs from the other one's
click on Start.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import wave
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from playwright.async_api import Browser, Playwright, async_playwright

from tests.live.service import Service
from tests.live.visitors import CHROMIUM, Visitor, open_firefox

RATE = 48_000  # samples a second
PITCHES = (440, 700)  # Hz: two tones, so that no echo canceller takes one for the other
WAITED = 1.5  # seconds that the first visitor has waited when the second one comes
PATIENCE = 20.0  # seconds for sound to arrive
PATHS = {"direct": "", "relay": "?relay=1"}

# Notes when things happen, once each, in ms of the clock on the wall: both pages are on one machine.
NOTE = """
window.noted = {};
const note = (what) => (noted[what] ??= Date.now());
addEventListener("click", ({ target }) => target.id === "start" && note("click"), true);
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const got = await ask(wanted);
  note("microphone");
  return got;
};
window.WebSocket = class extends WebSocket {
  constructor(...about) {
    super(...about);
    const heard = ({ data }) => typeof data === "string" && note("got " + JSON.parse(data).type);
    this.addEventListener("message", heard);
  }
  send(data) {
    if (typeof data === "string") note("sent " + JSON.parse(data).type);
    super.send(data);
  }
};
// Statistics do not hold up the page's own work. The energy is that of what was given to the loudspeaker.
const listen = async (pc, receiver) => {
  while (!noted.sound && pc.connectionState !== "closed") {
    const heard = [...(await receiver.getStats()).values()].find((one) => one.type === "inbound-rtp");
    if (heard?.packetsReceived) note("packet");
    if (heard?.totalAudioEnergy > 1e-6) note("sound");
    await new Promise((done) => setTimeout(done, 5));
  }
};
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...about) {
    super(...about);
    const on = (event, look, name) => this.addEventListener(event, () => look() && note(name));
    on("iceconnectionstatechange", () => /connected|completed/.test(this.iceConnectionState), "ICE");
    on("connectionstatechange", () => this.connectionState === "connected", "DTLS");
    this.addEventListener("track", ({ receiver }) => listen(this, receiver));
  }
};
"""
STEPS = (
    "microphone",
    "got hello",
    "sent start",
    "got matched",
    "got offer",
    "sent answer",
    "ICE",
    "DTLS",
    "packet",
    "sound",
)


def write_tone(file: Path, pitch: int) -> None:
    """A second of a tone; browsers repeat it."""
    samples = array("h", (int(9000 * math.sin(2 * math.pi * pitch * n / RATE)) for n in range(RATE)))
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(samples.tobytes())


async def open_browser(playwright: Playwright, kind: str, tone: Path) -> Browser:
    if kind == "firefox":
        return await open_firefox(playwright)  # its own microphone for tests gives a steady tone
    flags = [*CHROMIUM, saying(tone)]
    return await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)


def saying(tone: Path) -> str:
    """Chromium's flag for a microphone that gives this tone."""
    return f"--use-file-for-fake-audio-capture={tone}"


async def visit(browser: Browser, url: str, script: str = NOTE) -> Visitor:
    context = await browser.new_context()
    await context.add_init_script(script)
    visitor = Visitor(context, await context.new_page())
    await visitor.page.goto(url)
    return visitor


async def sounds(visitor: Visitor) -> Mapping[str, int]:
    async with asyncio.timeout(PATIENCE):
        while not await visitor.page.evaluate("noted.sound"):
            await asyncio.sleep(0.2)  # rarely: looking takes time, too
    return dict(await visitor.page.evaluate("noted"))


async def measure(browsers: Sequence[Browser], url: str) -> Mapping[str, float]:
    """The ms of each step from the click on, and of the first visitor's first sound."""
    one, other = await visit(browsers[0], url), await visit(browsers[1], url)
    await one.press("Start")
    await one.until_says("Looking for somebody")
    await asyncio.sleep(WAITED)
    await other.press("Start")
    before, after = await asyncio.gather(sounds(one), sounds(other))
    for visitor in (one, other):
        await visitor.close()
    steps = {step: after[step] - after["click"] for step in STEPS if step in after}
    return {**steps, "sound for the other": before["sound"] - after["click"]}


def show(way: str, kinds: Sequence[str], rounds: Sequence[Mapping[str, float]]) -> None:
    print(f"\n{way}, {kinds[0]} waits, {kinds[1]} comes; {len(rounds)} rounds")
    print("  ms after Start: median (best to worst)")
    for step in (*STEPS, "sound for the other"):
        found = sorted(one[step] for one in rounds if step in one)
        if found:
            print(f"  {step:<20} {median(found):6.0f}  ({found[0]:.0f} to {found[-1]:.0f})", flush=True)


async def measure_all(rounds: int, kinds: Sequence[str], ways: Sequence[str]) -> None:
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for pitch in PITCHES:
                write_tone(folder / f"{pitch}.wav", pitch)
            service = Service(folder, {})
            try:
                await service.open()
                browsers = [
                    await open_browser(playwright, kind, folder / f"{pitch}.wav")
                    for kind, pitch in zip(kinds, PITCHES, strict=True)
                ]
                for way in ways:
                    await measure(
                        browsers, service.url + PATHS[way]
                    )  # the first call of a browser takes longer
                    show(
                        way, kinds, [await measure(browsers, service.url + PATHS[way]) for _ in range(rounds)]
                    )
                for browser in browsers:
                    await browser.close()
            finally:
                await service.close()


def main() -> None:
    """Measure and print."""
    words: Any = argparse.ArgumentParser(description="from Start to sound")
    words.add_argument("--rounds", type=int, default=15)
    words.add_argument("--browsers", default="chromium,chromium", help="who waits, who comes")
    words.add_argument("--ways", default="direct,relay")
    told = words.parse_args()
    asyncio.run(measure_all(told.rounds, told.browsers.split(","), told.ways.split(",")))


if __name__ == "__main__":
    main()
