"""A connection whose encryption has ended gets a successor with the same key, and the call goes on."""

from __future__ import annotations

import asyncio

import pytest

from tests.live.browsers import Browsers
from tests.live.conftest import Visit
from tests.live.said import CHOOSE_NOISE, TYPED, kind_of
from tests.live.service import Service
from tests.live.visitors import MEDIA, PATIENCE, Visitor, code_of, hear, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Firefox's encryption ends for good where the channel writes while the relay does not answer.
WRITE_UNTIL_IT_ENDS = """() => {
  watched.before ??= watched.connections.at(-1);
  const channel = watched.channels.at(-1);
  if (channel.readyState === "open") channel.send('{"type": "typing"}');
  return watched.before.getSenders().every(({ transport }) => transport.state !== "connected");
}"""
END = "watched.connections.at(-1).close()"
STATES = ["idle", "waiting", "connecting", "talking"]


async def begin(ends: list[Visitor]) -> list[str]:
    """Two who hear each other, and the codes that they see."""
    await talk(*ends)
    await hear(*ends)
    return [await code_of(visitor) for visitor in ends]


async def came_back(ends: list[Visitor], codes: list[str]) -> None:
    """Both have another connection in the same call, in which they hear and read each other."""
    for visitor in ends:
        await visitor.until("() => watched.connections.at(-1).connectionState === 'connected'")
        await visitor.until_says("You are talking")
    await hear(*ends)
    for visitor, code in zip(ends, codes, strict=True):
        assert await code_of(visitor) == code
        assert await visitor.states() == STATES
        assert "Text and pictures stop" not in str(await visitor.page.evaluate("watched.said"))
    one, other = ends
    for writer, reader in ((one, other), (other, one)):
        text = f"{TYPED} {writer is one}"
        await writer.write(text)
        await reader.reads(text)
        await writer.until_fate(text, "delivered")


def answers_to(visitor: Visitor) -> list[str]:
    return [str(frame) for frame in visitor.received if kind_of(frame) == "answer"]


async def show(one: Visitor) -> None:
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")


@pytest.mark.parametrize("polite", ["chromium", "firefox"])
async def test_a_firefox_whose_encryption_has_ended_comes_back(
    service: Service, browsers: Browsers, visit: Visit, polite: str
) -> None:
    """What was written and shown meanwhile arrives, and once."""
    firefox, chromium = await visit("?relay=1", browser=await browsers.of("firefox")), await visit("?relay=1")
    ends = [firefox, chromium] if polite == "chromium" else [chromium, firefox]
    codes = await begin(ends)
    await service.end("relay")
    await firefox.until(WRITE_UNTIL_IT_ENDS)
    await firefox.write("meanwhile")
    await show(chromium)
    await service.begin("relay", service.relay_answers)
    await came_back(ends, codes)
    for visitor in ends:
        await visitor.reads("meanwhile")
        await visitor.until_picture()
        assert await visitor.page.locator("#log img").count() == 1
    await firefox.until_fate("meanwhile", "delivered")


@pytest.mark.parametrize("polite", ["chromium", "firefox"])
async def test_a_firefox_keeps_its_part_in_the_encryption_when_chromium_restarts_ice(
    browsers: Browsers, visit: Visit, polite: str
) -> None:
    firefox, chromium = await visit("?relay=1", browser=await browsers.of("firefox")), await visit("?relay=1")
    ends = [firefox, chromium] if polite == "chromium" else [chromium, firefox]
    await begin(ends)
    before = len(answers_to(chromium))
    await chromium.page.evaluate("watched.connections.at(-1).restartIce()")
    async with asyncio.timeout(PATIENCE / 1000):
        while len(answers_to(chromium)) == before:
            await asyncio.sleep(0.05)
    setup = "a=setup:passive" if polite == "chromium" else "a=setup:active"
    assert setup in answers_to(chromium)[-1]
    await chromium.until("() => watched.connections.at(-1).signalingState === 'stable'")
    await hear(*ends)


@pytest.mark.parametrize(
    "whose", [[0], [1], [0, 1]], ids=["the impolite side's", "the polite side's", "both"]
)
async def test_a_connection_that_has_ended_is_made_anew(visit: Visit, whose: list[int]) -> None:
    ends = [await visit(), await visit()]
    codes = await begin(ends)
    before = [await visitor.page.evaluate("watched.connections.length") for visitor in ends]
    await asyncio.gather(*(ends[number].page.evaluate(END) for number in whose))
    for visitor, count in zip(ends, before, strict=True):
        await visitor.until("(count) => watched.connections.length > count", count)
    await came_back(ends, codes)
    await show(ends[0])
    for visitor in ends:
        await visitor.until_picture()
        assert visitor.complaints == []


async def test_a_call_that_came_back_comes_back_again(visit: Visit) -> None:
    ends = [await visit(), await visit()]
    codes = await begin(ends)
    for visitor in ends:
        await visitor.page.evaluate(END)
        await visitor.until("() => watched.connections.at(-1).connectionState === 'connected'")
        await hear(*ends)
    await came_back(ends, codes)


async def test_who_is_muted_stays_muted(visit: Visit) -> None:
    ends = one, other = [await visit(), await visit()]
    await begin(ends)
    await one.press("Mute")
    made = [await visitor.page.evaluate("watched.connections.length") for visitor in ends]
    await one.page.evaluate(END)
    for visitor, count in zip(ends, made, strict=True):
        await visitor.until("(count) => watched.connections.length > count", count)
        await visitor.until("() => watched.connections.at(-1).connectionState === 'connected'")
    sent = "watched.connections.at(-1).getSenders().flatMap(({ track }) => track ? [track.enabled] : [])"
    assert await one.page.evaluate(sent) == [False]
    await other.until("() => document.getElementById('partner-muted').textContent.includes('muted')")
    await other.until(f"async () => (await ({MEDIA})()).packets > 100")  # longer than the fake device's pause
    assert (await other.media())["energy"] < 1e-4


async def test_a_partner_can_want_only_so_many_new_connections(visit: Visit) -> None:
    """Six offers with the same key are answered at once: the first one's, and five successors'."""
    visitor = await visit()
    heard = await visitor.page.evaluate(
        """async () => {
          const { Call } = await import("/static/call.js");
          const key = () => RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256" });
          const offer = async (certificate) => {
            const partner = new RTCPeerConnection({ certificates: [certificate] });
            partner.addTransceiver("audio");
            return { type: "offer", sdp: (await partner.createOffer()).sdp };
          };
          const theirs = await key();
          const offers = await Promise.all([...Array(9).fill(theirs), await key()].map(offer));
          const matched = { call: "x", polite: true, ice: { iceServers: [] } };
          const heard = [];
          const on = { remote() {}, connected() {}, voice() {}, lost: (why) => heard.push(why) };
          const made = { certificate: await key() };
          const send = ({ type }) => heard.push(type);
          const around = { relay: false, send, fresh: async () => null, on, made };
          const call = new Call(matched, new MediaStream(), around);
          for (const message of offers) call.receive(message);
          while (!heard.includes("changed")) await new Promise((done) => setTimeout(done, 20));
          call.close();
          return heard.filter((word) => word !== "candidate");
        }"""
    )
    assert heard == [*["answer"] * 6, "changed"]


async def test_who_loses_only_the_channel_is_told(visit: Visit) -> None:
    ends = [await visit(), await visit()]
    await begin(ends)
    await ends[0].page.evaluate("watched.channels.at(-1).close()")
    for visitor in ends:
        await visitor.until_says("Text and pictures stop in this call")
        assert await visitor.page.get_by_label("Message").is_disabled()
        await visitor.hears()
