"""Two bare pages that call each other with voice, picture and words; the test carries their descriptions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from playwright.async_api import BrowserContext, Page, Route

from turn.credentials import MintedCredential

PATIENCE = 25.0  # seconds for a condition on a busy machine
Description = dict[str, str]
Carry = Callable[[Description], Coroutine[Any, Any, Description]]
PLACE = "http://localhost/"  # a browser gives a microphone to pages of this machine

OPEN = """async ([urls, { username, password: credential }, policy, words]) => {
  const settings = { iceServers: [{ urls, username, credential }], iceTransportPolicy: policy };
  const pc = window.connection = new RTCPeerConnection(settings);
  window.back = 0;
  if (words) {
    const channel = pc.createDataChannel("words", { negotiated: true, id: 0 });
    window.channel = channel;
    channel.onmessage = ({ data }) => data === "there" ? channel.send("back") : ++back;
  }
  const wanted = { audio: true, video: { width: 160, height: 120, frameRate: 10 } };
  window.stream ??= await navigator.mediaDevices.getUserMedia(wanted);
  for (const track of stream.getTracks()) pc.addTrack(track, stream);
}"""

# A description once all candidates are in it, or most: browsers are slow to give up on what is out of reach.
# Firefox ends each part's candidates with an empty one.
DESCRIBE = """async () => {
  const enough = new Promise((done) => {
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate) done();
      else if (candidate.candidate) setTimeout(done, 1000);
    };
  });
  await connection.setLocalDescription();
  await enough;
  return { ...connection.localDescription.toJSON() };
}"""

# Packets of each kind and words that came back, and whether this end reaches the other by the relay.
HEARD = """async () => {
  if (window.channel?.readyState === "open") channel.send("there");
  const stats = [...(await connection.getStats()).values()];
  const of = (type) => stats.filter((one) => one.type === type);
  const id = of("transport")[0]?.selectedCandidatePairId;
  const pair = of("candidate-pair").find((one) => (id ? one.id === id : one.selected || one.nominated));
  const local = pair && stats.find((one) => one.id === pair.localCandidateId);
  const packets = (kind) =>
    of("inbound-rtp").filter((one) => one.kind === kind).reduce((sum, one) => sum + one.packetsReceived, 0);
  return {
    state: connection.iceConnectionState, way: local?.candidateType, over: local?.relayProtocol,
    audio: packets("audio"), video: packets("video"), words: window.back,
    lost: of("inbound-rtp").reduce((sum, one) => sum + one.packetsLost, 0),
    sent: of("outbound-rtp").reduce((sum, one) => sum + one.packetsSent, 0),
  };
}"""
# How many more of each are enough.
MORE = {"audio": 50, "video": 10, "words": 2}

GROWN = f"""async ([before, more, way]) => {{
  const now = await ({HEARD})();
  const enough = Object.keys(more).every((kind) => now[kind] >= before[kind] + more[kind]);
  return enough && `${{now.way}} ${{now.over}}`.startsWith(way);
}}"""


async def bare(context: BrowserContext) -> Page:
    page = await context.new_page()

    async def blank(route: Route) -> None:
        await route.fulfill(body="<!doctype html><title>a bare page</title>", content_type="text/html")

    await page.route(f"{PLACE}**", blank)
    await page.goto(PLACE)
    return page


async def as_it_is(description: Description) -> Description:
    return description


class Pair:
    """A call between two pages; each end has an account of its own. `carry` brings a description from one to
    the other."""

    def __init__(self, one: Page, other: Page) -> None:
        self.one, self.other = one, other
        self.ends = (one, other)
        self.carry: Carry = as_it_is

    async def open(
        self,
        url: str | list[str],
        accounts: tuple[MintedCredential, MintedCredential],
        *,
        policy: str = "relay",
        words: bool = True,
    ) -> None:
        for page, account in zip(self.ends, accounts, strict=True):
            await page.evaluate(OPEN, [url, account._asdict(), policy, words])

    async def meet(self) -> None:
        """Offer and answer, the first time or again."""
        take = "(description) => connection.setRemoteDescription(description)"
        await self.other.evaluate(take, await self.carry(await self.one.evaluate(DESCRIBE)))
        await self.one.evaluate(take, await self.carry(await self.other.evaluate(DESCRIBE)))

    async def restart(self, policy: str | None = None) -> None:
        """New candidates and ports, the same handshake; by another policy, if one is given. The first end
        offers it: Firefox, where only one is, since it hears no more after one that Chromium offers."""
        change = """(policy) => connection.setConfiguration(
          { ...connection.getConfiguration(), iceTransportPolicy: policy })"""
        for page in self.ends if policy else ():
            await page.evaluate(change, policy)
        await self.one.evaluate("connection.restartIce()")
        await self.meet()

    async def hears(self, more: Mapping[str, int] = MORE, *, way: str = "relay") -> None:
        """Wait until both ends have heard so much more from now on, by this kind of candidate."""
        before = [await heard(page) for page in self.ends]
        for page, known in zip(self.ends, before, strict=True):
            await until(page, GROWN, [known, more, way])

    async def until_connected(self) -> None:
        for page in self.ends:
            await until(page, "['connected', 'completed'].includes(connection.iceConnectionState)")

    async def until_sent(self, packets: int) -> None:
        """Wait until both ends have sent so many packets of media."""
        sent = f"async (packets) => (await ({HEARD})()).sent >= packets"
        for page in self.ends:
            await until(page, sent, packets)

    async def close(self) -> None:
        for page in self.ends:
            await page.close()


async def until(page: Page, condition: str, argument: object = None) -> None:
    """Wait until a JavaScript function says yes, also one that makes a promise: Playwright's own wait
    takes the promise itself for a yes."""
    async with asyncio.timeout(PATIENCE):
        while not await page.evaluate(condition, argument):
            await asyncio.sleep(0.1)


async def heard(page: Page) -> dict[str, Any]:
    return dict(await page.evaluate(HEARD))
