"""The page in other languages: everything is translated, nothing is cut off, and a choice needs no script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from server.web import page_files, pages
from server.web.look import files_of
from tests.live.accessibility import PHONE, axe, fits
from tests.live.browsers import KINDS, Browsers
from tests.live.conftest import Visit
from tests.live.pseudo import is_translated, pseudo_language
from tests.live.visitors import Visitor
from tests.server.serving import Service as ServiceHere
from tests.server.serving import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL = {"viewport": {"width": 320, "height": 568}}
STATES = ("idle", "waiting", "connecting", "talking", "ended")

# Every text and every name that a person can meet, but for what is in no language, such as the site's name.
TEXTS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [document.title.split(" · ").slice(0, -1).join("")];
  while (walker.nextNode()) {
    const { parentElement: place, textContent: text } = walker.currentNode;
    if (!place.closest("script, noscript, .brand, [lang]:not(html), .languages summary")) found.push(text);
  }
  for (const name of ["aria-label", "alt", "placeholder", "title", "data-empty"])
    for (const place of document.querySelectorAll(`[${name}]`)) found.push(place.getAttribute(name));
  return found.map((text) => text.trim()).filter((text) => /[a-z]{2}/i.test(text));
}"""
FROM_ELSEWHERE = re.compile(r"turn\.example\.org|[0-9]+ (?:second|minute|day)s?")  # configuration and CLDR
# What is wider than its box, or than the screen. A row that can be scrolled is meant so.
CUT = """() => [...document.querySelectorAll("body *")].filter((place) => {
  const style = getComputedStyle(place), box = place.getBoundingClientRect();
  if (!place.checkVisibility() || box.width <= 1) return false;
  if (["auto", "scroll"].includes(style.overflowX)) return false;
  if (place.closest(".skip, .unseen, [aria-hidden]")) return false;
  return place.scrollWidth > place.clientWidth + 1 && style.display !== "inline" && place.clientWidth > 0
    || box.right > innerWidth + 1 || box.left < -1;
}).map((place) => `${place.outerHTML.slice(0, 80)}: ${place.textContent.trim().slice(0, 60)}`)"""
SHOW_ALL = """(state) => {
  document.body.dataset.state = state;
  for (const place of document.querySelectorAll("main [hidden]:not(input)")) place.hidden = false;
  for (const place of document.querySelectorAll("details")) place.open = true;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strange(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceHere]:
    """A service whose only language is one that nobody speaks."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (pages, page_files):
            patch.setattr(module, "language", lambda code: pseudo_language())
        files_of.cache_clear()  # its scripts speak already
        async with serving(tmp_path_factory.mktemp("strange")) as running:
            yield running
        files_of.cache_clear()


@pytest.mark.parametrize("path", ["/", "/privacy", "/check", "/offline", "/no-such-page"])
async def test_everything_is_translated_and_fits_a_small_phone(
    strange: ServiceHere, chromium: Browser, path: str
) -> None:
    visitor = await Visitor.open(chromium, strange.origin + path, **SMALL)
    texts = await visitor.page.evaluate(TEXTS)
    assert [text for text in texts if not is_translated(text) and not FROM_ELSEWHERE.fullmatch(text)] == []
    for state in STATES if path == "/" else STATES[:1]:
        await visitor.page.evaluate(SHOW_ALL, state)
        assert await visitor.page.evaluate(CUT) == [], state
        assert await fits(visitor)
    await visitor.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_scripts_speak_the_language_of_the_page(
    strange: ServiceHere, browsers: Browsers, kind: str
) -> None:
    """Their texts stand in the page as data, which the strict policy lets through in both browsers."""
    visitor = await Visitor.open(await browsers.of(kind), strange.origin)
    await visitor.page.locator("#start").click()
    await visitor.until_state("waiting")
    await visitor.until("(text) => document.getElementById('status').textContent.includes(text)", "⟦Löökîñg")
    assert (await visitor.page.title()).startswith("⟦Wàîtîñg")
    assert await visitor.page.evaluate("watched.violations") == []
    await visitor.close()


async def test_a_page_that_is_read_from_the_right(visit: Visit) -> None:
    one, other = await visit(locale="ar-EG", **PHONE), await visit(locale="de-AT")
    assert await one.page.evaluate("[document.documentElement.lang, document.dir]") == ["ar", "rtl"]
    for visitor in (one, other):
        await visitor.page.locator("#start").click()
    for visitor in (one, other):
        await visitor.until_state("talking")
    await one.until_says("أنتما تتحدثان")
    await other.until_says("Sie sprechen")
    await other.page.locator("#message").fill("Guten Tag! שלום")
    await other.page.keyboard.press("Enter")
    await one.reads("Guten Tag! שלום")
    said = one.page.get_by_text("Guten Tag!")
    assert await said.evaluate("(place) => getComputedStyle(place).direction") == "ltr"
    assert await axe(one) == ""
    assert await fits(one)
    assert await one.page.evaluate(CUT) == []


async def test_a_language_is_chosen_without_a_script_and_kept(visit: Visit) -> None:
    visitor = await visit(locale="fr-CA", java_script_enabled=False)
    page = visitor.page
    assert await page.locator("html").get_attribute("lang") == "fr"
    await page.locator(".languages summary").click()
    await page.get_by_role("link", name="日本語").click()
    assert await page.locator("html").get_attribute("lang") == "ja"
    await page.get_by_role("link", name="プライバシー").click()
    assert await page.locator("html").get_attribute("lang") == "ja"
    assert [(cookie["name"], cookie["value"]) for cookie in await visitor.context.cookies()] == [
        ("calln_language", "ja")
    ]


async def test_a_chosen_language_keeps_the_rest_of_the_address(visit: Visit) -> None:
    visitor = await visit("?relay=1#call=secret")
    await visitor.page.locator(".languages summary").click()
    await visitor.page.get_by_role("link", name="Polski").click()
    await visitor.page.wait_for_url("**/?*lang=pl*")
    assert await visitor.page.evaluate("location.search + location.hash") == "?relay=1&lang=pl#call=secret"
