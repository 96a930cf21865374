"""A person at the page: what one presses, types, sees and hears, and what went over the wire meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Playwright, WebSocket

# A second list replaces Playwright's, so it begins with that one. The last two are popups of the address bar:
# for each page they load two more, which take a second of a processor, and nobody types there.
SWITCHED_OFF = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "DialMediaRouteProvider",
    "GlobalMediaControls",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "BlockOriginHeaderModificationOnRedirect",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "Translate",
    "AutoDeElevate",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
)
CHROMIUM = (
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    f"--disable-features={','.join(SWITCHED_OFF)}",
)
FIREFOX = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
}
PATIENCE = 25_000  # ms for a condition on a busy machine

# Notes what the page does with the browser, for tests to look at; it changes nothing of it.
WATCH = """
window.watched = { connections: [], channels: [], blobs: [], states: [], said: [], violations: [] };
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...settings) { super(...settings); watched.connections.push(this); }
  createDataChannel(...settings) {
    const channel = super.createDataChannel(...settings);
    watched.channels.push(channel);
    return channel;
  }
};
const create = URL.createObjectURL;
URL.createObjectURL = (blob) => { watched.blobs.push(blob); return create.call(URL, blob); };
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => (watched.microphone = await ask(wanted));
addEventListener("securitypolicyviolation", (event) => watched.violations.push(event.blockedURI));
addEventListener("DOMContentLoaded", () => {
  const note = () => watched.states.push(document.body.dataset.state);
  note();
  new MutationObserver(note).observe(document.body, { attributeFilter: ["data-state"] });
  const hear = (changes) => changes.forEach((change) => watched.said.push(change.target.textContent));
  for (const place of document.querySelectorAll("#status, #trouble, #unheard"))
    new MutationObserver(hear).observe(place, { childList: true, characterData: true, subtree: true });
});
"""

# What the newest connection carries: the kinds of both selected candidates, and how much was heard.
MEDIA = """async () => {
  const stats = [...(await watched.connections.at(-1).getStats()).values()];
  const of = (type) => stats.filter((report) => report.type === type);
  const id = of("transport")[0]?.selectedCandidatePairId;
  const pair = of("candidate-pair").find((one) => (id ? one.id === id : one.selected || one.nominated));
  const kind = (id) => stats.find((report) => report.id === id)?.candidateType;
  const heard = of("inbound-rtp").find((report) => report.kind === "audio");
  return {
    kinds: pair ? [kind(pair.localCandidateId), kind(pair.remoteCandidateId)] : [],
    energy: heard?.totalAudioEnergy ?? 0, packets: heard?.packetsReceived ?? 0,
  };
}"""

CODE = "document.getElementById('safety-code').dataset.safetyCode"


async def open_chromium(playwright: Playwright) -> Browser:
    return await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))


async def open_firefox(playwright: Playwright) -> Browser:
    return await playwright.firefox.launch(
        channel="moz-firefox", executable_path="/usr/bin/firefox-esr", firefox_user_prefs={**FIREFOX}
    )


async def open_doomed(playwright: Playwright) -> tuple[Browser, int]:
    """A Chromium, and the process group that everything of it runs in."""
    mark = f"--doomed={secrets.token_hex(8)}"
    browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*CHROMIUM, mark])
    processes = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in read(path)]
    groups = {os.getpgid(int(path.parent.name)) for path in processes}
    (group,) = groups - {os.getpgrp()}
    return browser, group


def read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""  # that process has just ended


class Visitor:
    """One page in a browser context of its own, so with a token of its own."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context, self.page = context, page
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("websocket", self.watch_socket)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self.watch_console)

    def watch_socket(self, socket: WebSocket) -> None:
        self.requests.append(socket.url)
        socket.on("framesent", lambda frame: self.sent.append(frame))
        socket.on("framereceived", lambda frame: self.received.append(frame))

    def watch_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    @classmethod
    async def open(cls, browser: Browser, url: str, **settings: Any) -> Visitor:
        context = await browser.new_context(**settings)
        await context.add_init_script(WATCH)
        visitor = cls(context, await context.new_page())
        await visitor.page.goto(url)
        return visitor

    async def close(self) -> None:
        await self.context.close()

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click(timeout=PATIENCE)

    async def until(self, condition: str, argument: object = None) -> None:
        """Wait until a JavaScript function says yes, also one that makes a promise: Playwright's own
        wait takes the promise itself for a yes."""
        async with asyncio.timeout(PATIENCE / 1000):
            while not await self.page.evaluate(condition, argument):
                await asyncio.sleep(0.05)

    async def until_state(self, state: str) -> None:
        await self.until("(state) => document.body.dataset.state === state", state)

    async def until_says(self, text: str) -> None:
        """Wait until status, trouble or the line about the microphone contains a text."""
        where = "document.querySelectorAll('#status, #trouble, #unheard')"
        await self.until(f"(text) => [...{where}].some((place) => place.textContent.includes(text))", text)

    async def until_said(self, text: str) -> None:
        """Wait until it has said so since it was opened; it need not stand there any longer."""
        await self.until("(text) => watched.said.some((said) => said.includes(text))", text)

    async def pass_over(self, seconds: float) -> None:
        """Let the page's clock go on at once; its timers stay as they are."""
        await self.page.evaluate(
            "(ms) => { const now = performance.now.bind(performance); performance.now = () => now() + ms; }",
            1000 * seconds,
        )

    async def write(self, text: str) -> None:
        await self.page.get_by_label("Message").fill(text)
        await self.page.keyboard.press("Enter")

    async def reads(self, text: str) -> None:
        await self.page.get_by_role("log").get_by_text(text, exact=True).wait_for(timeout=PATIENCE)

    async def until_fate(self, text: str, fate: str) -> None:
        """Wait until a line of one's own is `sending`, `sent`, `delivered` or `lost`."""
        find = """([text, fate]) => [...document.querySelectorAll(`.entry.you[data-sent=${fate}] .said`)]
          .some((said) => said.textContent === text)"""
        await self.until(find, [text, fate])

    async def states(self) -> list[str]:
        return [str(state) for state in await self.page.evaluate("watched.states")]

    async def media(self) -> Mapping[str, Any]:
        return dict(await self.page.evaluate(MEDIA))

    async def hears(self) -> None:
        """Wait until the partner's voice has been heard since now: packets and their energy both grow."""
        before = await self.media()
        condition = f"""async (before) => {{
          const now = await ({MEDIA})();
          return now.energy > before.energy + 1e-4 && now.packets > before.packets + 5;
        }}"""
        await self.until(condition, before)

    async def pictures(self) -> list[bytes]:
        """The files behind every picture that the page has shown."""
        read = """() => Promise.all(watched.blobs.map(async (blob) => {
          const bytes = new Uint8Array(await blob.arrayBuffer());
          return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        }))"""
        return [base64.b64decode(text) for text in await self.page.evaluate(read)]

    async def until_picture(self, count: int = 1) -> None:
        """Until so many can be seen, those of both ends together."""
        drawn = "[...document.querySelectorAll('#log img')].filter((image) => image.naturalWidth > 0)"
        await self.until(f"(count) => {drawn}.length >= count", count)

    async def token(self) -> str:
        return str(await self.page.evaluate("localStorage.getItem('calln.token')"))

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The messages of one type that this page sent."""
        texts = (json.loads(frame) for frame in self.sent if isinstance(frame, str))
        return [message for message in texts if message["type"] == kind]


async def start(visitors: Sequence[Visitor]) -> None:
    """One after the other, so that the first is the one who waits."""
    for visitor in visitors[:-1]:
        await visitor.press("Start")
        await visitor.until_says("Looking for somebody")
    await visitors[-1].press("Start")


async def hear(*visitors: Visitor) -> None:
    """Wait until each of them has heard the partner's voice since now."""
    await asyncio.gather(*(visitor.hears() for visitor in visitors))


async def code_of(visitor: Visitor) -> str:
    """The safety code that one sees, once there is one."""
    await visitor.until(f"() => {CODE} !== undefined")
    return str(await visitor.page.evaluate(CODE))


async def talk(one: Visitor, other: Visitor) -> None:
    await start([one, other])
    await one.until_state("talking")
    await other.until_state("talking")
