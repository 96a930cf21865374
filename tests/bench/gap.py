"""How long nothing is heard when a caller's network changes, and how soon the page says that a path is dead.

    python -m tests.bench.gap [--rounds 5] [--pairs chromium:chromium,firefox:chromium] [--faults change,hole]

As root: caller, partner and service have a network namespace each (tests/live/roads.py). A pair is the
caller's browser and the partner's. Real service, real browsers, a steady tone on both sides.

change: the caller's interface goes down, and another comes up with another address, as from Wi-Fi to mobile.
hole: nothing passes any more, there or back, and nobody is told.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from playwright.async_api import Browser

from tests.bench.sound import NOTE, PITCHES, saying, visit, write_tone
from tests.live.roads import FarService, Roads, browser_at, driver
from tests.live.visitors import Visitor, talk

SETTLED = 2.0  # seconds of sound before the network changes
PATIENCE = 40.0  # seconds for the sound to come back
# Follows what is heard: both the packets and the energy that is given to the loudspeaker grow. A browser
# keeps its statistics for 50 ms. `silent`: the ms without sound since the change, but for short stops.
LISTEN = (
    NOTE
    + """
const STOP = 200, STEADY = 2000; // ms
window.ear = { at: 0, since: 0, silent: 0 };
const follow = async (pc, receiver) => {
  let [packets, energy] = [0, 0];
  while (pc.connectionState !== "closed") {
    const one = [...(await receiver.getStats()).values()].find(({ type }) => type === "inbound-rtp");
    if (one?.packetsReceived > packets && one.totalAudioEnergy > energy + 1e-6) {
      [packets, energy] = [one.packetsReceived, one.totalAudioEnergy];
      hear(Date.now());
    }
    await new Promise((done) => setTimeout(done, 10));
  }
};
const hear = (now) => {
  const stop = now - ear.at;
  if (stop > STOP) ear.since = now;
  if (stop > STOP && noted.change) [ear.silent, noted.heard] = [ear.silent + stop, now];
  ear.at = now;
};
window.changed = () => {
  window.noted = { change: Date.now() };
  ear.silent = 0;
};
// It has been heard without a stop for a while since the change.
window.steady = () => Date.now() - ear.at < STOP && ear.at - Math.max(ear.since, noted.change) > STEADY;
addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("status");
  const seen = () => status.textContent.includes("interrupted") && note("says so");
  new MutationObserver(seen).observe(status, { childList: true });
});
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...about) {
    super(...about);
    this.addEventListener("track", ({ receiver }) => follow(this, receiver));
    this.addEventListener("iceconnectionstatechange", () => note("ICE " + this.iceConnectionState));
  }
};
window.WebSocket = class extends WebSocket {
  constructor(...about) {
    super(...about);
    note("new socket");
  }
};
"""
)
STEPS = (
    "says so",
    "new socket",
    "got hello",
    "sent ice",
    "got ice",
    "sent offer",
    "got offer",
    "sent answer",
    "got answer",
    "ICE connected",
    "ICE completed",
    "heard",
)

Round = Mapping[str, float]  # ms


class Scene(NamedTuple):
    """Where the rounds are played."""

    roads: Roads
    service: FarService
    browsers: Sequence[Browser]


@asynccontextmanager
async def scene(folder: Path, kinds: Sequence[str]) -> AsyncIterator[Scene]:
    roads = Roads()
    roads.drop_second_network()
    service = FarService(folder, roads)
    try:
        with roads.service.inside():
            await service.open()
        async with driver(roads.caller) as near, driver(roads.partner) as far:
            browsers = [
                await browser_at(playing, kind, service.url, saying(folder / f"{pitch}.wav"))
                for playing, kind, pitch in zip((near, far), kinds, PITCHES, strict=True)
            ]
            yield Scene(roads, service, browsers)
            for browser in browsers:
                await browser.close()
    finally:
        await service.close()
        roads.close()


@asynccontextmanager
async def call(scene: Scene) -> AsyncIterator[Sequence[Visitor]]:
    visitors = [await visit(browser, scene.service.url, LISTEN) for browser in scene.browsers]
    await talk(*visitors)
    for visitor in visitors:
        await until(visitor, "ear.at > 0 && ear.at - ear.since > 1000")
    await asyncio.sleep(SETTLED)
    yield visitors
    for visitor in visitors:
        await visitor.close()


async def until(visitor: Visitor, condition: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await visitor.page.evaluate(condition):
            await asyncio.sleep(0.2)  # rarely: looking takes time, too


async def after(change: Callable[[], None], visitors: Sequence[Visitor], condition: str) -> list[Round]:
    """What each side has noted, in ms since the network changed."""
    for visitor in visitors:
        await visitor.page.evaluate("changed()")
    began = time.time() * 1000
    change()
    await asyncio.gather(*(until(visitor, condition) for visitor in visitors))
    return [
        rounded(await visitor.page.evaluate("({ ...noted, silent: ear.silent })"), began)
        for visitor in visitors
    ]


def rounded(noted: Mapping[str, float], began: float) -> Round:
    return {step: at if step == "silent" else at - began for step, at in noted.items()}


async def change(scene: Scene) -> list[Round]:
    async with call(scene) as visitors:
        found = await after(scene.roads.take_second_network, visitors, "steady()")
    scene.roads.take_first_network()
    return found


async def hole(scene: Scene) -> list[Round]:
    async with call(scene) as visitors:
        found = await after(scene.roads.swallow, visitors, "noted['says so'] > 0")
        scene.roads.let_through()
    return found


FAULTS = {"change": (change, "silent"), "hole": (hole, "says so")}


def show(fault: str, kinds: Sequence[str], rounds: Sequence[Sequence[Round]]) -> None:
    figure = FAULTS[fault][1]
    for side, kind, found in zip(("caller", "partner"), kinds, zip(*rounds, strict=True), strict=True):
        print(f"{fault:<7} {side:<8} {kind:<9} {figure:<9} {spread([one[figure] for one in found])}")
        for step in STEPS:
            times = [one[step] for one in found if step in one]
            if times and step != figure:
                print(f"{'':<29} {step:<14} {spread(times)}")
    print(flush=True)


def spread(figures: Sequence[float]) -> str:
    return f"{median(figures):6.0f}  ({min(figures):.0f} to {max(figures):.0f}; {len(figures)})"


async def measure(pairs: Sequence[str], faults: Sequence[str], rounds: int) -> None:
    print("ms since the network changed: median (least to most; rounds)")
    for pair in pairs:
        kinds = pair.split(":")
        with tempfile.TemporaryDirectory() as name:
            for pitch in PITCHES:
                write_tone(Path(name) / f"{pitch}.wav", pitch)
            async with scene(Path(name), kinds) as place:
                for fault in faults:
                    show(fault, kinds, [await FAULTS[fault][0](place) for _ in range(rounds)])


def main() -> None:
    """Measure and print."""
    words: Any = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--pairs", default="chromium:chromium,firefox:chromium", help="caller:partner")
    words.add_argument("--faults", default="change,hole")
    told = words.parse_args()
    asyncio.run(measure(told.pairs.split(","), told.faults.split(","), told.rounds))


if __name__ == "__main__":
    main()
