"""The safety code: equal for two who talk with each other, different with somebody between them, or none."""

from __future__ import annotations

import hashlib
import re

import pytest
from playwright.async_api import Browser

from tests.live.accessibility import axe, fits
from tests.live.between import Between
from tests.live.browsers import Browsers
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import CODE, Visitor, code_of, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Two pages' exchange in one page, with what happens to its messages on the way; what each shows.
EXCHANGE = """async () => {
  const { Safety } = await import("/static/safety.js");
  const kept = {};
  const meddle = (message, from) => { CHANGE };
  const shown = [[], []];
  const sides = [0, 1].map((mine) => new Safety({
    first: mine === 0,
    keys: () => ({ own: `sha-256 ${mine}`, partner: `sha-256 ${1 - mine}` }),
    send: (message) => meddle(message, mine).forEach((one) => sides[1 - mine].receive(one)),
    show: (code) => shown[mine].push(code && `${code.words} ${code.emoji}`),
  }));
  for (const side of sides) side.begin();
  const pause = () => new Promise((done) => setTimeout(done, 200));
  if (HONEST) while (!shown.every((codes) => codes.length)) await pause();
  await pause();
  for (const side of sides) side.interrupt();  // as if the channel had closed: what is late is too late
  return shown;
}"""
HONEST = "return [message];"
# What happens on the way, and which of the two is cheated by it.
MEDDLING = {
    "a commitment twice": ("return message.hash && from === 0 ? [message, message] : [message];", 1),
    "a nonce twice": ("return message.nonce && from === 0 ? [message, message] : [message];", 1),
    "no commitment": ("return message.hash && from === 0 ? [] : [message];", 1),
    "no nonce": ("return message.nonce && from === 1 ? [] : [message];", 0),
    "another nonce": (
        "return from && message.nonce ? [{ ...message, nonce: '0'.repeat(64) }] : [message];",
        0,
    ),
    "another commitment": (
        "return from && message.hash ? [{ ...message, hash: '0'.repeat(64) }] : [message];",
        0,
    ),
    "a nonce before its commitment": (
        """if (message.hash && from === 0) { kept.late = message; return []; }
        return message.nonce && from === 0 ? [message, kept.late] : [message];""",
        1,
    ),
    "one's own words sent back": (
        """if (from === 0) kept[message.type] = message;
        return from === 1 ? [kept[message.type] ?? message] : [message];""",
        0,
    ),
}
FINGERPRINTS = """async (texts) => {
  const { fingerprintsIn } = await import("/static/safety_code.js");
  return texts.map(fingerprintsIn);
}"""
# As docs/protocol.md says.
HASHED = "calln-channel.v1 safety\ncode\nk1\nk2\nn1\nn2"
FORMS = """async () => {
  const { codeOf } = await import("/static/safety_code.js");
  const { EMOJI, WORDS } = await import("/static/safety_words.js");
  const code = await codeOf({ keys: "k1", nonce: "n1" }, { keys: "k2", nonce: "n2" });
  const places = code.emoji.map(([picture]) => EMOJI.findIndex((one) => one[0] === picture));
  return { digits: code.digits, emoji: places, words: code.words.map((word) => WORDS.indexOf(word)) };
}"""
PRINT, OTHER = "sha-256 " + "AB:" * 31 + "AB", "sha-256 " + "CD:" * 31 + "CD"


async def test_an_exchange_ends_with_the_same_code_or_with_none(visit: Visit) -> None:
    visitor = await visit()
    one, other = await exchange(visitor, HONEST)
    assert one == other
    assert len(one) == 1
    again, _ = await exchange(visitor, HONEST)
    assert again != one
    for name, (change, cheated) in MEDDLING.items():
        shown = await exchange(visitor, change)
        assert shown[cheated][-1] is None, name


async def exchange(visitor: Visitor, change: str) -> list[list[str | None]]:
    shown: list[list[str | None]] = await visitor.page.evaluate(
        EXCHANGE.replace("CHANGE", change).replace("HONEST", str(change is HONEST).lower())
    )
    return shown


async def test_fingerprints_are_read_in_one_way_or_not_at_all(visit: Visit) -> None:
    visitor = await visit()
    cases = {
        f"v=0\r\na=fingerprint:{PRINT}\r\n": PRINT.lower(),
        f"v=0\na=fingerprint:{PRINT}\nm=audio\na=fingerprint:{PRINT.lower()}\n": PRINT.lower(),
        f"a=fingerprint:{OTHER}\r\na=fingerprint:{PRINT}\r\n": f"{PRINT},{OTHER}".lower(),
        "v=0\r\n": None,
        f"a=fingerprint:{PRINT}\r\na=FINGERPRINT:{OTHER}\r\n": None,
        f"a=fingerprint:{PRINT}\r\na=x\ra=fingerprint:{OTHER}\r\n": None,
        f"a=fingerprint:{PRINT}\r\na=fingerprint: {OTHER}\r\n": None,
        f"a=x\u2028a=fingerprint:{PRINT}\r\n": None,
        f"a=fingerprint:{PRINT} \r\n": None,
        "a=fingerprint:md5 AB:CD\r\n": None,
    }
    assert await visitor.page.evaluate(FINGERPRINTS, [*cases]) == [*cases.values()]


async def test_the_three_forms_of_a_code(visit: Visit) -> None:
    visitor = await visit("?lang=de")
    told = await visitor.page.evaluate(FORMS)
    number = int.from_bytes(hashlib.sha256(HASHED.encode()).digest()[:4], "big")
    assert told["digits"] == re.findall("..", f"{number:010}")
    assert told["emoji"] == [number >> shift & 63 for shift in (26, 20, 14, 8, 2)]
    assert told["words"] == [number >> shift & 255 for shift in (24, 16, 8, 0)]


async def test_firefox_and_chromium_show_the_same_code(browsers: Browsers, visit: Visit) -> None:
    one, other = (
        await visit(browser=await browsers.of("firefox")),
        await visit(viewport={"width": 320, "height": 640}),
    )
    await talk(one, other)
    assert await code_of(one) == await code_of(other)
    for visitor in (one, other):
        await visitor.press("Safety code")
        assert await visitor.page.get_by_role("dialog").get_by_role("listitem").count() == 5
    words = [await visitor.page.locator("#safety-words").inner_text() for visitor in (one, other)]
    assert words[0] == words[1]
    assert len(words[0].split()) == 4
    digits = [await visitor.page.locator("#safety-digits").inner_text() for visitor in (one, other)]
    assert digits[0] == digits[1]
    assert re.fullmatch(r"\d\d( \d\d){4}", digits[0])
    assert await axe(other) == ""
    assert await fits(other)
    await other.press("Go back")
    await other.press("Stop")
    await other.until_state("ended")
    for visitor in (one, other):
        await visitor.until(f"() => {CODE} === undefined")


@pytest.mark.parametrize("how", ["verbatim", "own"])
async def test_with_somebody_between_the_codes_differ(
    service: Service, chromium: Browser, visit: Visit, how: str
) -> None:
    one, other = await visit(), await visit()
    between = Between(await chromium.new_page())
    await between.page.goto(service.url + "privacy")
    await between.open(how)
    await between.swap(one, "one")
    await between.swap(other, "other")
    await talk(one, other)
    assert await code_of(one) != await code_of(other)
    await between.close()
