"""What must not end or silence a call: a page loaded again, a link, a microphone that is unplugged."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Dialog

from tests.live.accessibility import SCHEMES, axe, focused
from tests.live.browsers import KINDS, Browsers
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import PATIENCE, Visitor, hear, start, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The device is pulled out. With `none`, there is no other one.
UNPLUG = """(none) => {
  const devices = navigator.mediaDevices;
  watched.ask ??= devices.getUserMedia;
  devices.getUserMedia = none ? async () => { throw new DOMException("", "NotFoundError"); } : watched.ask;
  for (const track of watched.microphone.getTracks()) {
    track.stop();
    track.dispatchEvent(new Event("ended"));
  }
}"""
PLUG_IN = """() => {
  navigator.mediaDevices.getUserMedia = watched.ask;
  navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
}"""
SPEAK_WHILE_MUTED = """async () => {
  const { Mute } = await import("/static/mute.js");
  let told = 0;
  const mute = new Mute({ heard() {}, forgotten: () => told++ });
  mute.toggle();
  const shown = Array.from({ length: 30 }, () => mute.level(0.9));
  mute.toggle();
  return [told, Math.max(...shown), mute.level(0.9)];
}"""

# Thirty looks at a call with each of these figures: what is told of it, one after the other.
JUDGE = """async () => {
  const { Quality } = await import("/static/quality.js");
  const told = [];
  const quality = new Quality((word, reasons) => told.push([word, ...reasons].join(" ")));
  let [received, lost, sent, theirs] = [0, 0, 0, 0];
  const look = (gone, missed, jitter, roundTripTime) => {
    received += 20 - gone;
    lost += gone;
    sent += 20;
    theirs += missed;
    const reports = [
      { type: "inbound-rtp", packetsReceived: received, packetsLost: lost, jitter },
      { type: "outbound-rtp", packetsSent: sent },
      { type: "remote-inbound-rtp", packetsLost: theirs, roundTripTime },
    ];
    quality.take(new Map(reports.map((one) => [one.type, { ...one, kind: "audio" }])));
  };
  const fine = [0, 0, 0.01, 0.05];
  for (const figures of [fine, [1, 0, 0.01, 0.05], [0, 4, 0.01, 0.6], [0, 0, 0.05, 2], fine]) {
    for (let number = 0; number < 30; number++) look(...figures);
  }
  return told;
}"""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_page_that_is_loaded_again_goes_on_with_its_call(
    browsers: Browsers, visit: Visit, kind: str
) -> None:
    one, other = await visit(browser=await browsers.of(kind)), await visit()
    await talk(one, other)
    await one.hears()
    async with one.context.expect_page() as opened:
        await one.page.get_by_role("link", name="Privacy").first.click()
    await (await opened.value).close()
    await one.page.bring_to_front()
    asked: list[str] = []

    async def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.accept()

    one.page.on("dialog", leave)
    await one.write("before it was loaded")
    await other.reads("before it was loaded")
    await other.press("Mute")
    await one.page.reload()
    for visitor in (one, other):
        await visitor.until_state("talking")
    await other.reads("before it was loaded")
    await other.until_says("You are muted")  # as before: who is not to be heard must not be
    await other.press("Mute")
    for visitor in (one, other):
        await visitor.until_says("You are talking.")
    await hear(one, other)
    assert asked == ["beforeunload"]
    assert await other.states() == ["idle", *["waiting", "connecting", "talking"] * 2]
    assert await one.page.evaluate("sessionStorage.length") == 0
    await other.press("Stop")
    await one.until_says("hung up")


async def refuse(dialog: Dialog) -> None:
    await dialog.dismiss()


@pytest.mark.parametrize("kind", KINDS)
async def test_neither_a_link_nor_the_way_back_ends_a_call_unasked(
    browsers: Browsers, service: Service, visit: Visit, kind: str
) -> None:
    one, other = await visit("privacy", browser=await browsers.of(kind)), await visit()
    await one.page.goto(service.url)
    assert await one.page.evaluate("getComputedStyle(document.documentElement).overscrollBehaviorY") == "none"
    asked: list[str] = []
    one.page.on("dialog", lambda dialog: asked.append(dialog.type))
    one.page.on("dialog", refuse)
    await talk(one, other)
    async with one.context.expect_page() as opened:
        await one.page.locator(".brand").click()
    await (await opened.value).close()
    await one.page.bring_to_front()
    assert asked == []
    await one.page.evaluate("history.back()")
    async with asyncio.timeout(PATIENCE / 1000):
        while not asked:
            await asyncio.sleep(0.05)
    assert asked == ["beforeunload"]
    await hear(one, other)
    assert await other.states() == ["idle", "waiting", "connecting", "talking"]
    await one.press("Stop")
    await one.until_state("ended")
    await one.page.get_by_role("link", name="Privacy").first.click()
    await one.page.wait_for_url("**/privacy")  # in this tab again
    assert asked == ["beforeunload"]


async def test_a_microphone_that_is_unplugged(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await other.hears()
    await one.page.evaluate(UNPLUG, False)
    await other.hears()
    await one.page.evaluate(UNPLUG, True)
    await one.until_says("no other one was found")
    await other.until("() => document.getElementById('level-partner').value === 0")
    await other.until_says("You are talking.")
    await one.page.evaluate(PLUG_IN)
    await other.hears()
    assert await one.page.locator("#unheard").is_hidden()
    for visitor in (one, other):
        assert await visitor.states() == ["idle", "waiting", "connecting", "talking"]


async def test_who_is_muted_or_must_hold_a_key_is_told_so(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.press("Mute")
    await one.until_says("You are muted")
    await one.press("Mute")
    await one.page.get_by_text("Microphone and speaker").click()
    await one.page.get_by_label("Push to talk").check()
    await one.until_says("while you hold")
    await silent(other)
    await one.page.keyboard.down("t")
    await other.hears()
    await one.page.keyboard.up("t")
    await silent(other)
    await one.page.get_by_role("button", name="Hold to talk").hover()
    await one.page.mouse.down()
    await other.hears()
    await one.page.mouse.up()
    await one.until_says("while you hold")
    await one.page.get_by_label("Push to talk").uncheck()
    await other.hears()
    assert await one.page.evaluate(SPEAK_WHILE_MUTED) == [1, 0, 0.9]


COLOURS = "(button) => [getComputedStyle(button).backgroundColor, getComputedStyle(button).color]"


@pytest.mark.parametrize("kind", KINDS)
async def test_mute_looks_like_mute_and_ends_with_the_call(
    browsers: Browsers, visit: Visit, kind: str
) -> None:
    """Also under the pointer, which is where it is after the click."""
    one = await visit(browser=await browsers.of(kind))
    other, third = await visit(), await visit()
    await talk(one, other)
    await one.page.get_by_role("button", name="Mute", exact=True, pressed=False).click()
    mute = one.page.get_by_role("button", name="Mute", exact=True, pressed=True)
    await one.until_says("You are muted")
    await other.until("() => document.getElementById('partner-muted').textContent.includes('muted')")
    stop = one.page.get_by_role("button", name="Stop", exact=True)
    for scheme in SCHEMES:
        await one.page.emulate_media(color_scheme=scheme)
        await mute.hover()  # it may have moved away from the pointer
        under_pointer = await mute.evaluate(COLOURS)
        assert await axe(one) == ""  # it can be read
        await stop.hover()
        assert await mute.evaluate(COLOURS) == under_pointer
        assert (await stop.evaluate(COLOURS))[0] != under_pointer[0]  # which has the colour of what is on
    await one.press("Next")
    await third.press("Start")
    for visitor in (one, third):
        await visitor.until_state("talking")
    assert await one.page.get_by_role("button", name="Mute", exact=True, pressed=False).count() == 1
    assert await one.page.locator("#unheard").is_hidden()
    await third.hears()
    assert await third.page.locator("#partner-muted").inner_text() == ""


async def silent(visitor: Visitor) -> None:
    """Wait until nothing but silence arrives: packets without energy."""
    await visitor.until(
        """async () => {
          const energy = async () => {
            const stats = [...(await watched.connections.at(-1).getStats()).values()];
            return stats.find((report) => report.type === "inbound-rtp").totalAudioEnergy;
          };
          const before = await energy();
          await new Promise((done) => setTimeout(done, 1500));  // longer than the fake device's pause
          return (await energy()) - before < 1e-6;
        }"""
    )


async def test_a_microphone_is_tried_and_chosen_before_start(visit: Visit) -> None:
    one = await visit()
    await one.page.get_by_text("Microphone and speaker").click()
    await one.press("Try the microphone")
    await one.until("() => document.getElementById('trial-level').value > 0.2")
    await one.until("() => document.getElementById('microphone').options.length > 1")
    chosen = await one.page.evaluate(
        """() => {
          const select = document.getElementById("microphone");
          select.selectedIndex = select.options.length - 1;
          select.dispatchEvent(new Event("change"));
          return select.value;
        }"""
    )
    await one.page.get_by_label("Filter the noise").uncheck()
    await one.press("Play a sound")
    await one.press("Start")
    await one.until_says("Looking for somebody")
    settings = await one.page.evaluate("watched.microphone.getAudioTracks()[0].getSettings()")
    assert settings["deviceId"] == chosen
    assert settings["noiseSuppression"] is False
    assert await one.page.locator("#trial").get_attribute("aria-pressed") == "false"


FILTERED = "(yes) => watched.microphone.getAudioTracks()[0].getSettings().noiseSuppression === yes"


async def test_noise_is_filtered_or_not_from_the_moment_on_that_one_says_so(visit: Visit) -> None:
    """Also in the middle of a call, and while one tries the microphone."""
    one, other = await visit(), await visit()
    await one.page.get_by_text("Microphone and speaker").click()
    await one.press("Try the microphone")
    await one.until("() => document.getElementById('trial-level').value > 0.2")
    switch = one.page.get_by_label("Filter the noise")
    await switch.uncheck()
    await one.until(FILTERED, False)
    await talk(one, other)
    await other.hears()
    await one.press("Try the microphone")
    await switch.check()
    await one.until(FILTERED, True)
    await other.hears()
    assert await one.states() == ["idle", "waiting", "connecting", "talking"]


LOCKS = """
watched.locks = [];
const request = WakeLock.prototype.request;
WakeLock.prototype.request = async function (...kind) {
  const lock = await request.apply(this, kind);
  watched.locks.push(lock);
  return lock;
};
"""
HELD = "(count) => watched.locks.filter((lock) => !lock.released).length === count"


async def test_a_phone_stays_awake_while_a_call_lasts_and_no_longer(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await one.context.add_init_script(LOCKS)
    await one.page.reload()
    await talk(one, other)
    await one.until(HELD, 1)
    await one.press("Stop")
    await one.until(HELD, 0)


async def test_the_quality_is_told_in_a_word_with_the_reason(visit: Visit) -> None:
    one, other = await visit(), await visit()
    told = await one.page.evaluate(JUDGE)
    for step in ("good", "weak loss", "bad theirs", "bad delay", "good"):
        assert step in told
        told = told[told.index(step) + 1 :]
    assert told == []
    await talk(one, other)
    await one.until("() => Boolean(document.getElementById('quality').dataset.rank)")
    await one.page.locator("#quality").click()
    assert await one.page.locator("#quality-why").inner_text() != ""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_pressed_twice_starts_and_does_not_stop(
    browsers: Browsers, visit: Visit, kind: str
) -> None:
    one = await visit(browser=await browsers.of(kind))
    await one.page.locator("#start").focus()
    for _ in range(2):
        await one.page.keyboard.press("Enter")
    await one.until_says("Looking for somebody")
    await one.press("Stop")
    await one.until_state("idle")
    assert await one.states() == ["idle", "waiting", "idle"]


async def test_a_second_press_that_comes_at_once_counts_for_nothing(visit: Visit) -> None:
    one, other, third = await visit(), await visit(), await visit()
    await one.page.locator("#start").dblclick()
    await one.until_says("Looking for somebody")
    await start([other])
    await one.until_state("talking")
    await start([third])
    await third.until_says("Looking for somebody")
    await press_twice(one, "Next", until="talking")  # it would send away the partner who has just come
    await press_twice(one, "Stop", until="ended")
    await one.until("() => document.getElementById('start').ariaDisabled === 'false'")
    states = ["waiting", "connecting", "talking"]
    assert await one.states() == ["idle", *states, *states, "ended"]


async def press_twice(visitor: Visitor, name: str, until: str) -> None:
    """The second press comes when the page has changed, but in the same moment by its clock."""
    button = visitor.page.get_by_role("button", name=name, exact=True)
    box = await button.bounding_box()
    assert box is not None
    await button.click(trial=True)  # it may still rest after another press
    await visitor.page.evaluate("{ const now = performance.now(); performance.now = () => now; }")
    await button.click()
    await visitor.until_state(until)
    await visitor.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await visitor.page.keyboard.press("Enter")  # the focus may be somewhere else
    await visitor.page.evaluate("delete performance.now")


async def test_next_by_keyboard_needs_nothing_that_older_browsers_lack(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await one.context.add_init_script("delete Element.prototype.checkVisibility")  # Safari before 17.4
    await one.page.reload()
    await talk(one, other)
    await one.page.locator("#next").focus()
    await one.page.keyboard.press("Enter")
    await other.until_says("left to meet somebody else")
    await one.until_state("waiting")
    assert await focused(one) == "next"
    assert one.complaints == []


SET_THE_CLOCK = """(hours) => {
  const now = Date.now;
  Date.now = () => now() + 3_600_000 * hours;
}"""


async def test_the_time_of_a_call_does_not_follow_the_clock_on_the_wall(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    duration = one.page.locator("#duration")
    for hours in (1, -2):
        before = await duration.inner_text()
        await one.page.evaluate(SET_THE_CLOCK, hours)
        await one.until("(before) => document.getElementById('duration').textContent !== before", before)
        assert re.fullmatch(r"0:\d\d", await duration.inner_text())
    await one.pass_over(600)
    await one.until("() => document.getElementById('duration').textContent.startsWith('10:')")


async def test_without_webrtc_nobody_is_kept_busy(visit: Visit) -> None:
    one = await visit()
    await one.page.evaluate("delete window.RTCPeerConnection; window.RTCPeerConnection = undefined")
    await one.press("Start")
    await one.until_says("WebRTC")
    assert await one.states() == ["idle"]
    assert [url for url in one.requests if url.startswith("ws")] == []
