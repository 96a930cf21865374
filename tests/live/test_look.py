"""A site as its operator wants it: heading, colour, logo, rules; and what it says without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.live.accessibility import PHONE, SCHEMES, axe, fits
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

COLOUR, SHOWN = "#f7c948", {"light": "rgb(114, 92, 33)", "dark": "rgb(247, 201, 72)"}
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">
  <script>alert(1)</script><path d="M0 0h8v8z"/>
</svg>"""
RULES = "# How we talk here\n- Be <b>kind</b>.\n" + "Nobody has to say a name.\n" * 40


def sections(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    (folder / "logo.svg").write_text(LOGO)
    (folder / "rules.txt").write_text(RULES)
    site = {"heading": "Talk with a reader", "colour": COLOUR, "logo": "logo.svg"}
    return {"site": {**site, "rules_file": "rules.txt", "adult": True}}


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_colour_logo_and_rules(service: Service, visit: Visit, scheme: str) -> None:
    visitor = await visit(color_scheme=scheme, **PHONE)
    await visitor.page.get_by_role("heading", name="Talk with a reader", level=1).wait_for()
    await visitor.until("() => document.querySelector('.brand img').naturalWidth > 0")
    button = visitor.page.get_by_role("button", name="Start", exact=True)
    assert await button.evaluate("(button) => getComputedStyle(button).backgroundColor") == SHOWN[scheme]
    await visitor.press("Start")
    dialog = visitor.page.get_by_role("dialog", name="Before your first call")
    await dialog.get_by_text("Be <b>kind</b>.").wait_for()
    assert await axe(visitor) == ""
    assert await fits(visitor)
    await visitor.press("Accept the rules")  # without the tick, the browser asks for it
    assert await visitor.page.evaluate("watched.microphone === undefined")
    await visitor.page.keyboard.press("Escape")
    await visitor.press("Start")
    await visitor.page.get_by_label("I am of age").check()
    await visitor.press("Accept the rules")
    await visitor.until_state("waiting")
    await visitor.page.reload()
    await visitor.press("Start")
    await visitor.until_state("waiting")
    assert visitor.complaints == []


async def test_a_drawing_by_itself_runs_no_script(service: Service, visit: Visit) -> None:
    visitor = await visit()
    address = await visitor.page.locator(".brand img").get_attribute("src")
    dialogs: list[str] = []
    visitor.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    answer = await visitor.page.goto(f"{service.url.rstrip('/')}{address}")
    assert answer is not None
    assert "sandbox" in answer.headers["content-security-policy"]
    assert dialogs == []


ACCEPT = "localStorage.setItem('calln.rules', document.getElementById('rules').dataset.version)"
KEPT = """async () => {
  const cache = await caches.open((await caches.keys())[0]);
  return (await cache.keys()).map((request) => request.url.split("/").at(-1));
}"""


async def test_without_a_connection_the_page_says_so(service: Service, visit: Visit) -> None:
    """From the first call on; and it is never an old page that one sees."""
    one, other = await visit(), await visit()
    for visitor in (one, other):
        await visitor.page.evaluate(ACCEPT)
    await talk(one, other)
    await one.until("async () => Boolean((await navigator.serviceWorker.getRegistration())?.active)")
    assert sorted(await one.page.evaluate(KEPT)) == ["logo.svg", "offline"]
    await one.context.set_offline(True)
    await one.page.goto(service.url)
    await one.page.get_by_role("heading", name="The server cannot be reached").wait_for()
    assert await one.page.evaluate("getComputedStyle(document.body).display") == "flex"  # its style is there
    await one.context.set_offline(False)
    await one.page.get_by_role("link", name="Try again").click()
    await one.page.get_by_role("heading", name="Talk with a reader").wait_for()
