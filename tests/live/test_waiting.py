"""Nobody waits without knowing why, and those who parted by mistake find each other again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.live.accessibility import PHONE, axe, fits
from tests.live.browsers import Browsers
from tests.live.conftest import Visit
from tests.live.visitors import Visitor, start, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK_AFTER = 10.0  # seconds: of waiting.js
COUNTRIES = {"geoip": "2130706432,2147483647,DE\n", "geoip6": "::1,::1,DE\n"}  # 127.0.0.0/8


def sections(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """A service that knows where its visitors come from: all of them from Germany."""
    for name, text in COUNTRIES.items():
        (folder / name).write_text(text)
    return {"geo": {"database": str(folder)}}


async def until_why(visitor: Visitor, why: str) -> None:
    await visitor.until("(why) => document.getElementById('wait').dataset.why === why", why)


async def offers(visitor: Visitor, name: str) -> bool:
    """Whether a button of this name can be seen."""
    return await visitor.page.get_by_role("button", name=name, exact=True).count() == 1


async def until_both_talk(one: Visitor, other: Visitor) -> None:
    for visitor in (one, other):
        await visitor.until_state("talking")
    await one.hears()


async def test_one_tap_widens_a_wish_that_nobody_fits(visit: Visit) -> None:
    one, other = await visit(**PHONE), await visit()
    await one.page.get_by_text("Meet people from").click()
    await one.page.get_by_label("France", exact=True).check()
    await start([one])
    await until_why(one, "nobody")
    await start([other])
    await until_why(one, "wish")
    await until_why(other, "unsuited")
    assert await one.page.locator("#here").inner_text() == "2"
    assert await one.page.locator("#queued").inner_text() == "2"
    await one.until("() => document.getElementById('waited').textContent > '0:01'")
    assert await axe(one) == ""
    assert await fits(one)
    await one.press("Look for people from any country")
    await until_both_talk(one, other)
    assert await one.page.locator("#chosen").text_content() == "any country"


async def test_a_second_tab_is_told_that_it_waits_behind_the_first(visit: Visit) -> None:
    one = await visit()
    await start([one])
    second = Visitor(one.context, await one.context.new_page())
    await second.page.goto(one.page.url)
    await start([second])
    await until_why(second, "tab")
    await until_why(one, "tab")
    assert "second browser" in await one.page.locator("#why").inner_text()


async def test_two_who_are_alone_stop_start_and_talk_again(visit: Visit) -> None:
    one, other = await visit(**PHONE), await visit()
    await talk(one, other)
    await one.press("Stop")
    await other.until_state("ended")
    await start([one])
    await other.press("Start")
    await until_why(one, "reunion")
    assert await axe(one) == ""
    await until_both_talk(one, other)


TONES = """
const begin = AudioScheduledSourceNode.prototype.start;
AudioScheduledSourceNode.prototype.start = function (...when) {
  watched.tones = (watched.tones ?? 0) + 1;
  return begin.apply(this, when);
};
Object.defineProperty(document, "hidden", { get: () => watched.hidden === true });
window.look = (away) => {
  watched.hidden = away;
  document.dispatchEvent(new Event("visibilitychange"));
};
"""


async def test_a_hidden_page_says_in_its_title_and_by_a_sound_what_happens(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await one.context.add_init_script(TONES)
    await one.page.reload()
    await start([one])
    await one.page.evaluate("look(true)")
    await other.press("Start")
    await one.until("() => document.title === '● Somebody is there' && watched.tones === 2")
    await one.until_state("talking")
    assert await one.page.title() == "● Somebody is there"
    await one.page.evaluate("document.getElementById('chime').click()")
    for text in ("one", "two"):
        await other.write(text)
        await one.reads(text)
    await one.until("() => document.title === '(2) new messages'")
    assert await one.page.evaluate("watched.tones") == 2
    await one.page.evaluate("look(false)")
    assert await one.page.title() == "Talking · Calln"
    assert await one.page.evaluate("localStorage.getItem('calln.chime')") == "no"


async def test_after_next_two_who_are_alone_meet_again_when_both_agree(visit: Visit) -> None:
    one, other = await visit(), await visit(**PHONE)
    await talk(one, other)
    await one.press("Next")
    await other.until_state("ended")
    await other.press("Next")
    await until_why(other, "parted")
    assert not await offers(other, "Meet again")
    await one.pass_over(ASK_AFTER)
    await until_why(one, "again")
    assert await offers(one, "Meet again")
    assert not await offers(one, "Call back")  # one question is enough
    await one.press("Meet again")
    await until_why(one, "agreed")
    assert not await offers(one, "Call back")
    await until_why(other, "asked")
    assert await axe(other) == ""
    assert await fits(other)
    await other.press("Meet again")
    await until_both_talk(one, other)


async def test_who_wants_somebody_else_says_so_in_time(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.press("Stop")
    await other.until_state("ended")
    await start([one])
    await other.press("Start")
    await until_why(one, "reunion")
    await one.press("Wait for somebody else")
    await until_why(other, "parted")
    await other.pass_over(ASK_AFTER)
    await until_why(other, "again")
    third = await visit()
    await third.press("Start")
    await one.until_state("talking")
    await third.until_state("talking")
    assert await other.page.evaluate("document.body.dataset.state") == "waiting"


async def test_both_call_back_and_talk_again(browsers: Browsers, visit: Visit) -> None:
    one, other = await visit(**PHONE), await visit(browser=await browsers.of("firefox"))
    await talk(one, other)
    await one.press("Stop")
    await other.until_state("ended")
    await other.press("Call back")
    await other.until_says("Your last partner is asked")
    await one.until_says("Your last partner would like to talk again")
    assert await axe(one) == ""
    assert await fits(one)
    await one.press("Call back")
    await until_both_talk(one, other)
    assert not await offers(one, "Call back")
    await one.press("Next")  # by mistake
    await other.until_state("ended")
    await one.press("Call back")
    await other.press("Call back")
    await until_both_talk(other, one)


async def test_nobody_is_called_back_who_has_left_or_was_blocked(visit: Visit) -> None:
    one, other = await visit(), await visit()
    await talk(one, other)
    await one.close()
    await other.until_state("ended")
    await other.press("Call back")
    await other.until_says("Your last partner is not there any more")
    assert not await offers(other, "Call back")
    third = await visit()
    await third.press("Start")
    await other.press("Next")
    await third.until_state("talking")
    await third.press("Block")
    await third.until_says("Blocked")
    assert not await offers(third, "Call back")
    await other.until_state("ended")
    await other.press("Call back")
    await other.until_says("Your last partner is not there any more")
    assert third.complaints == other.complaints == []
