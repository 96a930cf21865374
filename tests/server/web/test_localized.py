"""Which language a browser gets over HTTP, and what caches and browsers keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from server.web.content import Content
from server.web.localized import LocalizedPage
from server.web.pages import page
from server.web.reader import COOKIE

MADE: list[str] = []


def make(code: str) -> Content:
    MADE.append(code)
    return page(f"the page in {code}")


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    MADE.clear()
    app = Starlette(routes=[Route("/", LocalizedPage(("en", "de", "fr"), make).__call__)])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://example.org", headers={"Accept-Language": "fr"}
    ) as client:
        yield client


async def test_the_language_that_the_browser_prefers(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/")
    assert (answer.text, answer.headers["content-language"]) == ("the page in fr", "fr")
    assert answer.headers["vary"] == "Accept-Encoding, Accept-Language, Cookie"
    assert "set-cookie" not in answer.headers


async def test_a_choice_is_kept(browser: httpx.AsyncClient) -> None:
    chosen = await browser.get("/?lang=de&relay=1")
    assert chosen.text == "the page in de"
    cookie = SimpleCookie(chosen.headers["set-cookie"])[COOKIE]
    assert (cookie.value, cookie["path"], cookie["samesite"]) == ("de", "/", "lax")
    assert (await browser.get("/")).text == "the page in de"
    assert (await browser.get("/?lang=en")).text == "the page in en"
    assert (await browser.get("/")).text == "the page in en"


@pytest.mark.parametrize("asked", ["xx", "DE", "../de", "de\0", "", "de" * 1000])
async def test_a_language_that_is_not_there_changes_nothing(browser: httpx.AsyncClient, asked: str) -> None:
    answer = await browser.get("/", params={"lang": asked})
    assert answer.text == "the page in fr"
    assert "set-cookie" not in answer.headers
    assert (await browser.get("/", headers={"Cookie": f"{COOKIE}=xx"})).text == "the page in fr"


async def test_each_language_has_a_tag_of_its_own(browser: httpx.AsyncClient) -> None:
    tags = {
        code: (await browser.get("/", headers={"Accept-Language": code})).headers["etag"]
        for code in ("de", "fr")
    }
    assert tags["de"] != tags["fr"]
    same = await browser.get("/", headers={"Accept-Language": "de", "If-None-Match": tags["de"]})
    other = await browser.get("/", headers={"Accept-Language": "de", "If-None-Match": tags["fr"]})
    assert (same.status_code, other.status_code) == (304, 200)
    assert same.headers["vary"] == "Accept-Encoding, Accept-Language, Cookie"


async def test_each_language_is_rendered_once_when_it_is_needed(browser: httpx.AsyncClient) -> None:
    assert MADE == ["en"]
    for _ in range(3):
        await browser.get("/")
        await browser.get("/?lang=xx")
    assert MADE == ["en", "fr"]
