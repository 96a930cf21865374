"""Two real browsers and the real service: people meet, talk, type, share a picture, and leave no trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Playwright

from tests.live.browsers import Browsers
from tests.live.conftest import Visit
from tests.live.raw_visitors import visiting
from tests.live.said import CHOOSE_NOISE, HOLIDAY, TYPED, kind_of
from tests.live.service import Service
from tests.live.visitors import Visitor, hear, open_doomed, start, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACES = (b"Exif", b"CanaryCamera", b"2026:05:04", b"canary-comment")
ANSWERED = "canary-answered-93e0"

# The page's address, and what the path is called there.
PATHS = {"direct": ("", "direct"), "relayed": ("?relay=1", "through the relay")}

WEIGH_PIECES = """() => {
  watched.pieces = [];
  const weigh = ({ data }) => data.byteLength && watched.pieces.push(data.byteLength);
  watched.channels.at(-1).addEventListener("message", weigh);
}"""
CANCEL_AT_ONCE = """() => {
  const sending = document.getElementById("sending");
  const watch = new MutationObserver(() => {
    if (sending.hidden) return;
    watch.disconnect();
    document.getElementById("cancel").click();
    watched.cancelled = true;
  });
  watch.observe(sending, { attributeFilter: ["hidden"] });
}"""


@pytest.mark.parametrize("path", PATHS)
async def test_two_people_talk_type_and_share_a_picture(visit: Visit, path: str) -> None:
    query, name = PATHS[path]
    one, other = await visit(query), await visit(query)
    await talk(one, other)
    await hear(one, other)
    for visitor in (one, other):
        await visitor.until("(name) => document.getElementById('path').textContent === name", name)
        kinds = (await visitor.media())["kinds"]
        assert kinds == ["relay", "relay"] if path == "relayed" else "relay" not in kinds
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    await one.write(TYPED)
    await other.reads(TYPED)
    await one.until_fate(TYPED, "delivered")
    await other.write(ANSWERED)
    await one.reads(ANSWERED)
    await share(one, other)
    for visitor in (one, other):
        assert visitor.complaints == []
        assert not {"text", "picture"} & {*map(kind_of, [*visitor.sent, *visitor.received])}


async def share(one: Visitor, other: Visitor) -> None:
    """A picture goes from one to the other, drawn anew: the same bytes at both ends, and no more in them."""
    assert all(trace in HOLIDAY.read_bytes() for trace in TRACES)
    await one.page.set_input_files("#file", HOLIDAY)
    await one.press("Send the picture")
    await other.until_picture()
    await one.until_picture()
    arrived = (await other.pictures())[-1]
    assert arrived == (await one.pictures())[-1]
    assert not any(trace in arrived for trace in (*TRACES, b"\xff\xe1", b"\xff\xfe"))


async def test_a_large_picture_travels_in_pieces_and_can_be_cancelled(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.page.evaluate(CANCEL_AT_ONCE)
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")
    await other.until("() => document.getElementById('sending').hidden")
    await one.until("() => watched.cancelled && document.getElementById('sending').hidden")
    await one.write("meanwhile")
    await other.reads("meanwhile")
    assert await other.page.locator("#log img").count() == 0
    await other.page.evaluate(WEIGH_PIECES)
    await one.page.evaluate(CHOOSE_NOISE)
    await one.press("Send the picture")
    await other.until_picture()
    assert (await other.pictures())[-1] == (await one.pictures())[-1]
    pieces = await other.page.evaluate("watched.pieces")
    assert max(pieces) <= 16 * 1024 + 5
    assert sum(pieces) > 500_000
    assert [*one.complaints, *other.complaints] == []


async def test_who_types_too_fast_is_told_which_lines_did_not_go(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.page.evaluate(
        """() => {
          for (let number = 0; number < 25; number++) {
            document.getElementById("message").value = `line ${number}`;
            document.getElementById("composer").requestSubmit();
          }
        }"""
    )
    await one.page.get_by_text("not sent").first.wait_for()
    await one.until_says("too fast")
    await other.reads("line 5")
    assert 0 < await one.page.get_by_text("not sent").count() < 25


async def test_who_hides_the_address_hides_it_for_both(visit: Visit) -> None:
    hidden, open_ = await visit(), await visit()
    await hidden.page.get_by_label("Hide my address").check()
    await talk(open_, hidden)
    for visitor in (hidden, open_):
        assert (await visitor.media())["kinds"] == ["relay", "relay"]
        candidates = [
            message["candidate"]["candidate"]
            for message in map(json.loads, (frame for frame in visitor.received if isinstance(frame, str)))
            if message["type"] == "candidate" and message["candidate"]
        ]
        assert candidates
        assert all(" typ relay " in f"{candidate} " for candidate in candidates)
    await open_.hears()


async def test_mute_silences(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await other.hears()
    await one.press("Mute")
    assert await one.page.get_by_role("button", name="Mute").get_attribute("aria-pressed") == "true"
    await other.until("() => document.getElementById('partner-muted').textContent.includes('muted')")
    await other.until("() => document.getElementById('level-partner').value === 0")
    await other.until(
        """async () => {
          const level = async () => {
            const stats = [...(await watched.connections.at(-1).getStats()).values()];
            return stats.find((report) => report.type === "inbound-rtp").totalAudioEnergy;
          };
          const before = await level();
          await new Promise((done) => setTimeout(done, 1500));  // longer than the fake device's pause
          return (await level()) - before < 1e-6;
        }"""
    )
    await one.press("Mute")
    await other.until("() => document.getElementById('partner-muted').textContent === ''")
    await other.hears()


# The copies of the microphone that the page makes.
COPIES = """() => {
  watched.copies = [];
  const { clone } = MediaStream.prototype;
  MediaStream.prototype.clone = function () {
    const made = clone.call(this);
    watched.copies.push(...made.getTracks());
    return made;
  };
}"""
LET_GO = """() => [...watched.microphone.getTracks(), ...watched.copies]
  .every((track) => track.readyState === "ended")"""


async def test_stop_ends_the_call_and_lets_everything_go(visit: Visit) -> None:
    one, other = await visit(), await visit()
    for visitor in (one, other):
        await visitor.page.evaluate(COPIES)
    await talk(one, other)
    await one.write(TYPED)
    await other.reads(TYPED)
    for visitor in (one, other):
        await visitor.until("() => watched.copies.length > 0")
    await one.press("Stop")
    await other.until_says("hung up")
    for visitor in (one, other):
        await visitor.until_state("ended")
    assert await one.page.get_by_role("log").inner_text() == ""
    for visitor in (one, other):  # who was left is not heard by the browser any more, either
        await visitor.until(LET_GO)
        await visitor.until("() => watched.connections.every((one) => one.connectionState === 'closed')")
    stored = await one.page.evaluate("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert stored == ["calln.token"]


async def test_stop_while_waiting_is_as_if_nothing_had_been(visit: Visit) -> None:
    one = await visit()
    await start([one])
    await one.until_says("Looking for somebody")
    await one.press("Stop")
    await one.until_state("idle")
    await one.page.get_by_role("button", name="Start").click(trial=True)  # when it has rested for its moment


async def test_next_meets_somebody_else(visit: Visit) -> None:
    one, other, third = await visit(), await visit(), await visit()
    await talk(one, other)
    await one.write(TYPED)
    await other.reads(TYPED)
    await one.press("Next")
    await other.until_says("left to meet somebody else")
    await start([third])
    for visitor in (one, third):
        await visitor.until_state("talking")
    assert await one.page.get_by_role("log").inner_text() == ""
    await one.hears()


async def test_a_report_gets_a_code_and_a_block_ends_the_call(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.press("Report")
    await one.page.get_by_label("Advertising or fraud").check()
    await one.press("Tell the operator")
    await one.until_says("Reported under the code")
    assert one.said("report")[0]["reason"] == "spam"
    await one.press("Block")
    await one.until_says("Blocked.")
    await other.until_says("hung up")
    await other.press("Report")  # also a while after the call
    await other.press("Tell the operator")
    await other.until_says("Reported under the code")


async def test_a_key_that_changes_in_the_middle_ends_the_call(visit: Visit) -> None:
    visitor = await visit()
    heard = await visitor.page.evaluate(
        """async () => {
          const { Call } = await import("/static/call.js");
          const offer = async () => {
            const partner = new RTCPeerConnection();
            partner.addTransceiver("audio");
            return { type: "offer", sdp: (await partner.createOffer()).sdp };
          };
          const matched = { call: "x", polite: true, ice: { iceServers: [] } };
          const heard = [];
          const on = { remote() {}, connected() {}, voice() {}, lost: (why) => heard.push(why) };
          const [first, other] = [await offer(), await offer()];
          const around = { relay: false, send: ({ type }) => heard.push(type), fresh: async () => null, on };
          const call = new Call(matched, new MediaStream(), around);
          for (const message of [first, first, other]) call.receive(message);
          while (!heard.includes("changed")) await new Promise((done) => setTimeout(done, 20));
          call.close();
          return heard.filter((word) => word !== "candidate");
        }"""
    )
    assert heard == ["answer", "answer", "changed"]


async def test_who_loses_a_partner_is_told_and_the_seat_is_kept(playwright: Playwright, visit: Visit) -> None:
    browser, group = await open_doomed(playwright)
    one, other = await visit(), await visit(browser=browser)
    await talk(one, other)
    await one.hears()
    os.killpg(group, signal.SIGKILL)  # as a power cut would: nothing says good-bye
    await one.until_says("Waiting for it to come back")
    assert await one.states() == ["idle", "waiting", "connecting", "talking"]
    await one.press("Next")
    await one.until_says("Looking for somebody")


async def test_whose_partner_is_given_up_waits_again_by_itself(service: Service, visit: Visit) -> None:
    one = await visit()
    await start([one])
    await one.until_says("Looking for somebody")
    async with visiting(service, 1) as [other]:
        await other.say("start")
        await one.until_state("connecting")
        await other.close(1013)  # as for one who reads too slowly: the server gives it up at once
    await one.until_says("first who gets a new partner")
    await one.until_state("waiting")
    third = await visit()
    await start([third])
    await one.until_state("talking")
    await one.hears()
    assert await one.states() == ["idle", *["waiting", "connecting"] * 2, "talking"]


async def test_a_restart_throws_nobody_out_of_the_queue(service: Service, visit: Visit) -> None:
    one, other = await visit(), await visit()
    await start([one])
    await one.until_says("Looking for somebody")
    assert await service.restart_server(signal.SIGTERM) == 0
    await one.until_says("Looking for somebody")
    await start([other])
    await one.until_state("talking")
    await one.hears()


async def test_a_crash_of_the_server_loses_no_call(service: Service, visit: Visit) -> None:
    """Both pages bring it back to the next server."""
    one, other = await visit(), await visit()
    await talk(one, other)
    await service.restart_server(signal.SIGKILL)
    await one.press("Report")
    await one.press("Tell the operator")
    await one.until_says("Reported under the code")
    await other.write(TYPED)
    await one.reads(TYPED)
    await other.until_fate(TYPED, "delivered")
    for visitor in (one, other):
        await visitor.hears()
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    await other.press("Block")
    await other.until_says("Blocked.")
    await one.until_says("hung up")


async def test_a_call_that_no_server_takes_up_goes_on_between_the_two(service: Service, visit: Visit) -> None:
    """The next server has another secret, and believes no ticket."""
    one, other = await visit(), await visit()
    await talk(one, other)
    async with another_secret(service):
        for visitor in (one, other):
            await visitor.until_says("The server has lost this call")
            await visitor.hears()
        await still_talk(one, other)


@asynccontextmanager
async def another_secret(service: Service) -> AsyncIterator[None]:
    """Meanwhile the service has another secret than its relay, which hears nothing from it."""
    file = service.state / "turn.secret"
    before = file.read_text()
    await service.end("serve")
    file.write_text("another-secret-of-enough-letters-0123456789\n")
    await service.begin("serve", service.page_answers)
    yield
    await service.end("serve")
    file.write_text(before)
    await service.begin("serve", service.page_answers)


async def still_talk(one: Visitor, other: Visitor) -> None:
    await one.write(TYPED)
    await other.reads(TYPED)
    await one.until_fate(TYPED, "delivered")
    await share(other, one)
    await one.press("Next")
    await other.until_says("left to meet somebody else")
    await one.until_state("waiting")
    await one.until_says("Looking for somebody")


async def test_a_restart_of_the_relay_interrupts_a_call_and_does_not_end_it(
    service: Service, visit: Visit
) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.hears()
    await service.restart_relay()
    await one.until_said("Trying to get it back")
    for visitor in (one, other):
        await visitor.until_says("You are talking")
    await hear(one, other)
    for visitor in (one, other):
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    assert len(one.said("ice")) + len(other.said("ice")) >= 2  # both gathered with fresh credentials


async def test_a_relay_that_dies_ends_no_call(service: Service, visit: Visit) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.hears()
    await service.end("relay")
    await service.begin("relay", service.relay_answers)
    await hear(one, other)
    for visitor in (one, other):
        await visitor.until_says("You are talking")
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    assert "allocations of the process before go on" in service.log("relay")


async def test_a_new_version_of_the_relay_takes_over_and_no_call_notices(
    service: Service, visit: Visit
) -> None:
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await one.hears()
    await service.upgrade_relay()
    await asyncio.sleep(3.0)  # the older one is at no listener any more
    late, later = await visit("?relay=1"), await visit("?relay=1")
    await talk(late, later)
    await hear(one, other, late, later)
    for visitor in (one, other, late, later):
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    assert service.processes["older relay"].returncode is None
    assert await service.end("older relay", signal.SIGTERM) == 0


async def test_an_unreachable_relay_is_named(service: Service, visit: Visit) -> None:
    """Both need it, or only one of them does: then the other one learns why nothing came of it."""
    both = [await visit("?relay=1"), await visit("?relay=1")]
    alone, partner = await visit("?relay=1"), await visit()
    await service.end("relay")
    for pair in (both, [alone, partner]):  # they wait at the same time
        await start(pair)
        for visitor in pair:
            await visitor.until_state("connecting")
    await both[0].until_says("The relay cannot be reached")
    await alone.until_says("The relay cannot be reached from your network")
    await partner.until_says("Your partner could not reach the relay of this site.")
    for visitor in (*both, alone, partner):
        await visitor.until_state("ended")
        assert "talking" not in await visitor.states()
    for visitor in (alone, partner):
        assert await visitor.page.get_by_role("link", name="Check your connection").is_visible()
        assert "hung up" not in " ".join(await visitor.page.evaluate("watched.said"))
    await service.begin("relay", service.relay_answers)


async def test_a_dead_path_ends_a_call_after_a_minute_and_not_before(service: Service, visit: Visit) -> None:
    """As in a tunnel; and both read the same."""
    one, other = await visit("?relay=1"), await visit("?relay=1")
    await talk(one, other)
    await hear(one, other)
    await service.end("relay")
    for visitor in (one, other):
        await visitor.until_says("Trying to get it back")
        await visitor.pass_over(20)
    await service.begin("relay", service.relay_answers)
    for visitor in (one, other):
        await visitor.until_says("You are talking.")
    await hear(one, other)
    for visitor in (one, other):
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]
    await service.end("relay")
    await one.until_says("Trying to get it back")
    await one.pass_over(61)
    await one.until_says("The connection to your partner broke and did not come back.")
    await other.until_says("The connection to your partner was lost and did not come back.")
    await service.begin("relay", service.relay_answers)


async def test_who_is_banned_is_told_so_and_not_sent_round_in_circles(service: Service, visit: Visit) -> None:
    one, other = await visit(), await visit()
    await start([one])
    await one.until_says("Looking for somebody")
    await service.command("ban", "add", "127.0.0.1", "--reason", "a test")
    await one.until_says("does not accept calls")
    await one.until_state("idle")
    await other.press("Start")
    await other.until_says("does not accept calls")
    assert len(one.said("hello")) == 1
    await service.command("ban", "remove", "127.0.0.1")
    while not await is_let_in(one):  # the server looks twice a second
        pass


async def is_let_in(visitor: Visitor) -> bool:
    await visitor.press("Start")
    looking = "document.getElementById('status').textContent.includes('Looking')"
    await visitor.until(f"() => document.body.dataset.state === 'idle' || {looking}")
    return (await visitor.states())[-1] == "waiting"


async def test_firefox_and_chromium_talk_through_the_relay(browsers: Browsers, visit: Visit) -> None:
    one, other = await visit("?relay=1", browser=await browsers.of("firefox")), await visit("?relay=1")
    await talk(one, other)
    for visitor in (one, other):
        assert (await visitor.media())["kinds"] == ["relay", "relay"]
    await hear(one, other)
    await one.write(TYPED)
    await other.reads(TYPED)
    await share(other, one)


@pytest.mark.parametrize("polite", ["chromium", "firefox"])
async def test_firefox_and_chromium_get_over_a_restart_of_the_relay(
    service: Service, browsers: Browsers, visit: Visit, polite: str
) -> None:
    """Each of them has the polite part once."""
    firefox, chromium = await visit("?relay=1", browser=await browsers.of("firefox")), await visit("?relay=1")
    ends = [firefox, chromium] if polite == "chromium" else [chromium, firefox]
    await talk(*ends)
    await hear(*ends)
    await service.restart_relay()
    await chromium.until_said("Trying to get it back")
    for visitor in ends:
        await visitor.until_says("You are talking")
    await hear(*ends)
    for visitor in ends:
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]


async def test_nothing_of_it_is_kept(service: Service, visit: Visit, everybody: list[Visitor]) -> None:
    one, other = await visit(), await visit("?relay=1")
    await talk(one, other)
    await one.write(TYPED)
    await other.reads(TYPED)
    await share(one, other)
    await one.press("Stop")
    await other.until_state("ended")
    await service.end("serve", signal.SIGTERM)
    canaries = {TYPED.encode(), ANSWERED.encode(), b"canary-typed", (await other.pictures())[-1][1000:1064]}
    canaries |= {(await visitor.token()).encode() for visitor in (one, other)}
    for visitor in everybody:
        canaries |= canaries_in(visitor)
    assert len(canaries) > 12
    files = [path for path in service.folder.rglob("*") if path.is_file() and path != service.file]
    assert {"serve.log", "relay.log"} < {path.name for path in files}
    assert any(path.is_relative_to(service.state) for path in files)
    found = {(path.name, canary) for path in files for canary in canaries if canary in path.read_bytes()}
    assert found == set()


def canaries_in(visitor: Visitor) -> set[bytes]:
    """Tokens, ufrags, fingerprints and addresses that a page has sent, as they would look in a file."""
    canaries = {message["token"].encode() for message in visitor.said("hello")}
    for message in (*visitor.said("offer"), *visitor.said("answer")):
        lines = [line.partition(":")[2] for line in message["sdp"].splitlines()]
        secret = ("a=ice-pwd", "a=fingerprint")
        canaries |= {
            value.encode()
            for line, value in zip(message["sdp"].splitlines(), lines, strict=True)
            if line.startswith(secret)
        }
    for message in visitor.said("candidate"):
        if message["candidate"]:
            words = message["candidate"]["candidate"].split()
            canaries |= {f"{words[4]}:{words[5]}".encode(), f"{words[4]} {words[5]}".encode()}
    return canaries
