"""A site with a password, in real browsers: by keyboard, for assistive tools, on a phone, and renewed."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from server.web.login import COOKIE
from tests.live.accessibility import PHONE, SCHEMES, axe, fits, focused
from tests.live.browsers import KINDS, Browsers
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import Visitor, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD, NEXT = "canary höher als der Zaun", "canary of the next month"
WRONG = "canary that is wrong"
INVITED = "#call=" + "A" * 22


def sections(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    write(folder, PASSWORD)
    return {"site": {"password_file": str(folder / "password")}}


def write(folder: Path, password: str) -> None:
    (folder / "password").write_text(f"{password}\n")
    (folder / "password").chmod(0o640)


async def enter(visitor: Visitor, password: str) -> None:
    """By keyboard: the field has the focus, Enter sends."""
    assert await focused(visitor) == "password"
    async with visitor.page.expect_navigation():
        await visitor.page.keyboard.type(password)
        await visitor.page.keyboard.press("Enter")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_form_is_accessible_and_fits_a_phone(visit: Visit, scheme: str) -> None:
    visitor = await visit(color_scheme=scheme, **PHONE)
    field = visitor.page.get_by_label("Password")
    for described in ("Ask the person who gave you", "This password is wrong."):
        assert await axe(visitor) == ""
        assert await fits(visitor)
        why = await field.evaluate(
            "(field) => field.ariaDescribedByElements.map((one) => one.textContent).join()"
        )
        assert described in why
        await field.fill(WRONG)
        await visitor.press("Continue")
        await visitor.until("() => document.getElementById('trouble') !== null")


async def test_a_call_after_the_password(visit: Visit) -> None:
    one, other = await visit(), await visit()
    for visitor in (one, other):
        await enter(visitor, WRONG)
        await enter(visitor, PASSWORD)
        await visitor.until_state("idle")
        (cookie,) = await visitor.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (COOKIE, True, "Strict")
        assert await visitor.page.evaluate("document.cookie") == ""
        assert await visitor.page.evaluate("watched.violations") == []
    await talk(one, other)


async def test_firefox_sends_the_form_too(browsers: Browsers, visit: Visit) -> None:
    visitor = await visit(browser=await browsers.of("firefox"))
    await enter(visitor, PASSWORD)
    await visitor.until_state("idle")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_invitation_survives_the_password_and_a_change_of_language(
    browsers: Browsers, visit: Visit, kind: str
) -> None:
    visitor = await visit(INVITED, browser=await browsers.of(kind))
    await visitor.page.locator(".languages summary").click()
    await visitor.page.get_by_role("link", name="Deutsch").click()
    await visitor.until("() => document.documentElement.lang === 'de'")
    await visitor.page.locator("#password").focus()
    for password in (WRONG, PASSWORD):
        await enter(visitor, password)
    await visitor.until_says("Sie sind zu einem Anruf eingeladen")
    assert (await visitor.page.evaluate("location.hash")) == INVITED


async def test_a_new_password_ends_what_the_old_one_opened(service: Service, visit: Visit) -> None:
    visitor = await visit()
    await enter(visitor, PASSWORD)
    write(service.folder, NEXT)
    service.processes["serve"].send_signal(signal.SIGHUP)
    await visitor.until("async () => (await (await fetch('/')).text()).includes('has a password')")
    await visitor.press("Start")
    await visitor.until("() => document.body.innerText.includes('The password of this site has changed')")
    await visitor.page.reload()
    await enter(visitor, NEXT)
    await visitor.until_state("idle")


async def test_no_password_is_in_any_log(service: Service) -> None:
    for word in ("serve", "relay"):
        assert "canary" not in service.log(word)
    told = service.log("serve").replace(f"serving http://127.0.0.1:{service.http}", "")
    assert "127.0.0.1" not in told
    assert "reloaded the certificate and the secrets" in told
