"""Chromium and Firefox: two blank pages that may only meet through the relay, and what one of them hears.

python -m tests.interop.clients.browser NAME NAME URL udp|tcp|tls USER PASSWORD TRUST COUNT PAUSE
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import BrowserContext, Page, Playwright, async_playwright

from tests.live.visitors import CHROMIUM, FIREFOX

# A page's connection, its description once all candidates are in it, and the words that came back.
OPEN = """([urls, username, credential]) => {
  const settings = { iceServers: [{ urls, username, credential }], iceTransportPolicy: "relay" };
  window.connection = new RTCPeerConnection(settings);
  window.gathered = new Promise((done) => {
    connection.onicecandidate = ({ candidate }) => candidate?.candidate ? setTimeout(done, 2000) : done();
  });
}"""
OFFER = """async ([count, pause]) => {
  const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
  const channel = connection.createDataChannel("words", { ordered: false, maxRetransmits: 0 });
  const missing = new Set(Array(count).keys());
  channel.onmessage = ({ data }) => missing.delete(Number(data));
  window.heard = new Promise((done) => {
    channel.onopen = async () => {
      for (let number = 0; number < count; number++) {
        channel.send(`${number}`);
        if (pause) await sleep(pause);
      }
      for (let waited = 0; missing.size && waited < 30; waited++) await sleep(1);
      done([...missing]);
    };
  });
  await connection.setLocalDescription();
  await gathered;
  return connection.localDescription.sdp;
}"""
ANSWER = """async (sdp) => {
  connection.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(data);
  };
  await connection.setRemoteDescription({ type: "offer", sdp });
  await connection.setLocalDescription();
  await gathered;
  return connection.localDescription.sdp;
}"""
TAKE = """(sdp) => connection.setRemoteDescription({ type: "answer", sdp })"""
# What was lost, and how this end reaches the relay.
END = """async () => {
  const lost = window.heard ? await heard : [];
  for (;;) {
    const stats = [...(await connection.getStats()).values()];
    const id = stats.find((one) => one.type === "transport")?.selectedCandidatePairId;
    const chosen = (one) => (id ? one.id === id : one.selected || one.nominated);
    const pair = stats.find((one) => one.type === "candidate-pair" && chosen(one));
    const local = pair && stats.find((one) => one.id === pair.localCandidateId);
    if (local) return [lost, local.candidateType, local.relayProtocol];
    await new Promise((done) => setTimeout(done, 50));
  }
}"""


def trust_in(store: Path, file: str) -> None:
    """Let the browser that keeps its certificates here trust the relay's."""
    store.mkdir(parents=True, exist_ok=True)
    begin = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*begin, "-N", "--empty-password"], check=True)
    subprocess.run([*begin, "-A", "-t", "C,,", "-n", "the relay", "-i", file], check=True)


async def chromium(playwright: Playwright, home: Path, trust: str) -> BrowserContext:
    trust_in(home / ".pki/nssdb", trust)
    path, words = "/usr/bin/chromium", list(CHROMIUM)
    return await playwright.chromium.launch_persistent_context(
        home / "profile", executable_path=path, args=words, env={"HOME": str(home)}
    )


async def firefox(playwright: Playwright, home: Path, trust: str) -> BrowserContext:
    trust_in(home, trust)
    path = "/usr/bin/firefox-esr"
    return await playwright.firefox.launch_persistent_context(
        home, channel="moz-firefox", executable_path=path, firefox_user_prefs={**FIREFOX}
    )


BROWSERS = {"chromium": chromium, "firefox": firefox}


@asynccontextmanager
async def pages(names: list[str], trust: str) -> AsyncIterator[list[Page]]:
    """One browser for two pages of one kind."""
    async with async_playwright() as playwright:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            opened = {
                name: await BROWSERS[name](playwright, Path(folder, name), trust)
                for name in dict.fromkeys(names)
            }
            yield [await opened[name].new_page() for name in names]
            for context in opened.values():
                await context.close()


async def main(words: list[str]) -> None:
    *names, url, transport, user, password, trust, count, pause = words
    async with pages(names, trust) as (one, other):
        for page in (one, other):
            await page.evaluate(OPEN, [url, user, password])
        offer = await one.evaluate(OFFER, [int(count), float(pause)])
        await one.evaluate(TAKE, await other.evaluate(ANSWER, offer))
        lost, *ways = await one.evaluate(END)
        ways += (await other.evaluate(END))[1:]
        told = "relay" if ways == ["relay", transport] * 2 else " ".join(map(str, ways))
        print(
            *(["lost:", *sorted(lost), "\n"] if lost else []),
            f"heard {int(count) - len(lost)} through {told}",
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
