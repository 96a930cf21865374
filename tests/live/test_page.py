"""The page for everybody: by keyboard alone, for assistive tools, on a phone, and no word to anybody else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Playwright, ViewportSize

from tests.live.accessibility import PHONE, SCHEMES, axe, fits, focused, in_sight
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import CHROMIUM, Visitor, start, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNTRIES = {"geoip": "2130706432,2147483647,DE\n", "geoip6": "::1,::1,DE\n"}  # 127.0.0.0/8


def sections(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """A service that knows where its visitors come from: all of them from Germany."""
    for name, text in COUNTRIES.items():
        (folder / name).write_text(text)
    return {"geo": {"database": str(folder)}, "site": {"links": {"Imprint": "https://example.org/imprint"}}}


async def test_every_state_is_accessible_and_fits_a_phone(visit: Visit) -> None:
    one, other = await visit(**PHONE), await visit()
    for state in ("idle", "waiting", "talking", "ended"):
        if state == "waiting":
            await start([one])
        elif state == "talking":
            await start([other])
            await one.until_state(state)
            await other.write("x" * 500)  # one word that is wider than any screen
            await one.reads("x" * 500)
        elif state == "ended":
            await other.press("Stop")
        await one.until_state(state)
        for scheme in SCHEMES:
            await one.page.emulate_media(color_scheme=scheme)
            assert await axe(one) == "", (state, scheme)
            assert await fits(one), (state, scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", ["privacy", "no-such-page"])
async def test_the_other_pages_are_accessible_and_fit_a_phone(visit: Visit, path: str, scheme: str) -> None:
    visitor = await visit(path, color_scheme=scheme, **PHONE)
    assert await axe(visitor) == ""
    assert await fits(visitor)
    assert await visitor.page.get_by_role("heading", level=1).count() == 1


SCREENS = {
    "a phone": (360, 740),
    "the smallest phone": (320, 568),
    "a phone with its keyboard open": (360, 380),
    "a laptop at 200 %": (640, 360),
    "a screen": (1280, 800),
}
FIELD = 120  # pixels: some ten letters
# A phone at 200 %: what does not fit is scrolled to, but never sideways.
TWICE: ViewportSize = {"width": 195, "height": 422}


async def width_of(visitor: Visitor, name: str) -> float:
    width = await visitor.page.evaluate("(name) => document.getElementById(name).offsetWidth", name)
    return float(width)


async def test_the_field_and_the_buttons_of_a_call_are_in_sight(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    for line in range(12):
        await other.write(f"line {line} of a long talk")
    await one.reads("line 11 of a long talk")
    for screen, (width, height) in SCREENS.items():
        await one.page.set_viewport_size({"width": width, "height": height})
        for name in ("next", "stop", "mute", "message", "picture", "send"):
            assert await in_sight(one, name), (screen, name)
        assert await fits(one), screen
        assert await width_of(one, "message") >= FIELD, screen
    await one.page.set_viewport_size(TWICE)
    assert await fits(one)
    assert await width_of(one, "message") >= FIELD


# What is drawn over the card of the conversation, or sticks out of it.
OVER = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const [stage, talk, field, more] = [".stage", ".talk", "#composer", ".devices"].map(box);
  return [stage.bottom > talk.top, field.bottom > talk.bottom, more.height > 0 && talk.bottom > more.top];
}"""


@pytest.mark.parametrize("language", ["de", "uk"])
async def test_long_words_push_nothing_over_another(visit: Visit, language: str) -> None:
    """With the partner's country, and a conversation."""
    one, other = await visit(locale=language, **PHONE), await visit()
    for visitor in (one, other):
        await visitor.page.locator("#start").click()
    for visitor in (one, other):
        await visitor.until_state("talking")
    await one.page.locator("#country").wait_for()
    await other.write("a line")
    for width, height in ((360, 740), (320, 568), (360, 380)):
        await one.page.set_viewport_size({"width": width, "height": height})
        assert await one.page.evaluate(OVER) == [False, False, False], (width, height)
        assert await in_sight(one, "message"), (width, height)


AT_THE_END = (
    "(log) => log.scrollHeight > log.clientHeight && log.scrollTop + log.clientHeight >= log.scrollHeight - 1"
)


async def test_the_newest_line_stays_in_sight_when_a_keyboard_opens(visit: Visit) -> None:
    """But not for somebody who reads older ones."""
    one, other = await visit(**PHONE), await visit()
    await talk(one, other)
    for line in range(20):
        await other.write(f"line {line} of a long talk")
    await one.reads("line 19 of a long talk")
    log = one.page.get_by_role("log")
    await one.page.set_viewport_size({"width": 360, "height": 380})
    await one.until(f"() => ({AT_THE_END})(document.getElementById('log'))")
    await log.evaluate("(log) => log.scrollTo(0, 0)")
    await one.until("() => document.getElementById('log').scrollTop === 0")
    await one.page.set_viewport_size({"width": 360, "height": 340})
    await one.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    assert await log.evaluate("(log) => log.scrollTop") == 0


async def test_the_dialog_and_the_wishes_are_accessible(visit: Visit) -> None:
    one, other = await visit(**PHONE), await visit()
    await one.page.get_by_text("Meet people from").click()
    assert await axe(one) == ""
    await talk(one, other)
    await one.press("Report")
    assert await axe(one) == ""
    assert await fits(one)


async def test_a_call_by_keyboard_alone(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await start([other])
    await tab_to(one, "start")
    await one.page.keyboard.press("Enter")
    await one.until_state("talking")
    assert await focused(one) == "stop"
    await tab_to(one, "mute")
    await one.page.keyboard.press("Space")
    await one.until("() => document.getElementById('mute').getAttribute('aria-pressed') === 'true'")
    await tab_to(one, "message")
    await one.page.keyboard.type("typed without a mouse")
    await one.page.keyboard.press("Enter")
    await other.reads("typed without a mouse")
    assert await focused(one) == "message"
    await tab_to(one, "report", "Shift+Tab")
    await one.page.keyboard.press("Enter")
    await one.page.keyboard.press("ArrowDown")
    await one.page.keyboard.press("Enter")
    await one.until_says("Reported under the code")
    assert one.said("report")[0]["reason"] == "sexual"
    await tab_to(one, "next", "Shift+Tab")
    await one.page.keyboard.press("Enter")
    await one.until_state("waiting")
    assert await focused(one) == "next"
    await one.page.keyboard.press("Enter")  # once too often: nothing happens
    await tab_to(one, "stop")
    await one.until("() => document.getElementById('stop').ariaDisabled === 'false'")  # it rests after Next
    await one.page.keyboard.press("Enter")
    await one.until_state("idle")
    assert await focused(one) == "start"


async def tab_to(visitor: Visitor, place: str, key: str = "Tab") -> None:
    for _ in range(30):
        if await focused(visitor) == place:
            return
        await visitor.page.keyboard.press(key)
    raise AssertionError(f"the keyboard does not reach {place}")


async def test_no_word_to_anybody_else_and_no_complaint(service: Service, visit: Visit) -> None:
    one, other = await visit(), await visit("?relay=1")
    await talk(one, other)
    await one.write("<img src=https://example.org/x onerror=alert(1)> <script>alert(2)</script>")
    await other.reads("<img src=https://example.org/x onerror=alert(1)> <script>alert(2)</script>")
    await one.press("Stop")
    await other.until_state("ended")
    await other.page.goto(service.url + "privacy")
    for visitor in (one, other):
        assert {urlsplit(url).netloc for url in visitor.requests} == {f"127.0.0.1:{service.http}"}
        assert visitor.complaints == []
    assert await one.page.evaluate("watched.violations") == []
    assert await one.context.cookies() == []


async def test_the_policy_allows_nothing_from_elsewhere(visit: Visit) -> None:
    visitor = await visit()
    foreign = "<img src='https://example.org/x'><img src='data:,x'><b onclick='x' style='color:red'></b>"
    await visitor.page.evaluate("(html) => document.body.insertAdjacentHTML('beforeend', html)", foreign)
    await visitor.until("() => watched.violations.length >= 4")
    assert {*await visitor.page.evaluate("watched.violations")} == {"https://example.org/x", "data", "inline"}


async def test_the_wish_is_remembered_and_sent(visit: Visit) -> None:
    visitor = await visit()
    await visitor.page.get_by_text("Meet people from").click()
    await visitor.page.get_by_label("Find a country").fill("fran")
    await visitor.page.get_by_label("France", exact=True).check()
    await visitor.page.get_by_label("Find a country").fill("")
    await visitor.page.get_by_label("Germany").check()
    await visitor.page.get_by_label("Hide my address").check()
    await visitor.page.reload()
    assert await visitor.page.locator("#chosen").inner_text() == "France, Germany"
    await start([visitor])
    await visitor.until_says("Looking for somebody")
    assert visitor.said("start")[0]["want"] == ["fr", "de"]
    assert visitor.said("start")[0]["hide_address"] is True
    await visitor.page.get_by_text("Meet people from").click()
    await visitor.press("Any country")
    await visitor.until("() => document.getElementById('chosen').textContent === 'any country'")


async def test_one_learns_the_country_of_the_partner(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    assert await one.page.locator("#country").inner_text() == "Germany"


async def test_a_blocked_microphone_is_explained(playwright: Playwright, visit: Visit) -> None:
    flags = [flag for flag in CHROMIUM if "fake" not in flag]
    browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
    visitor = await visit(browser=browser)
    await visitor.press("Start")
    await visitor.until_state("idle")
    alert = await visitor.page.get_by_role("alert").inner_text()
    assert "microphone" in alert
    assert "press Start again" in alert
    await browser.close()


async def test_nothing_is_asked_and_nothing_connected_before_start(visit: Visit) -> None:
    visitor = await visit()
    assert await visitor.page.evaluate("watched.microphone === undefined")
    assert [url for url in visitor.requests if url.startswith("ws")] == []
    assert await visitor.page.get_by_role("button", name="Start", exact=True).is_visible()
    for name in ("Next", "Stop", "Mute"):  # they come when there is something to do for them
        assert await visitor.page.locator("button", has_text=re.compile(f"^{name}$")).is_hidden()
    assert await visitor.page.get_by_label("Message").count() == 1


async def test_the_privacy_page_speaks_of_this_very_server(service: Service, visit: Visit) -> None:
    visitor = await visit("privacy")
    text = await visitor.page.get_by_role("main").inner_text()
    assert "127.0.0.1" in text
    assert "7 days" in text
    assert "30 minutes" in text
    assert "look up your country" in text
    assert await visitor.page.get_by_role("link", name="Imprint").count() == 1


async def test_what_playwright_switches_off_stays_off(chromium: Browser) -> None:
    """Of several lists Chromium takes the last one, which is ours."""
    page = await chromium.new_page()
    await page.goto("chrome://version")
    told = re.findall(r"--disable-features=(\S+)", await page.locator("#command_line").inner_text())
    playwrights, ours = ({*names.split(",")} for names in told)
    assert ours - playwrights == {"WebUIOmniboxPopup", "WebUIOmniboxAimPopup"}
    assert playwrights < ours
    await page.close()
