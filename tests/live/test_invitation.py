"""Calls by link: the one who opens it meets the one who made it, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.live.accessibility import PHONE, axe, fits
from tests.live.conftest import Visit
from tests.live.service import Service
from tests.live.visitors import Visitor, start

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def link_of(visitor: Visitor) -> str:
    """What the page shows after somebody has invited."""
    await visitor.press("Invite somebody")
    await visitor.until_says("Waiting for the other one with this link")
    return await visitor.page.get_by_label("Link to this call").input_value()


async def open_link(visit: Visit, service: Service, link: str) -> Visitor:
    visitor = await visit(link.removeprefix(service.url))
    await visitor.until_says("You are invited to a call")
    await visitor.press("Start")
    return visitor


async def until_both_talk(one: Visitor, other: Visitor) -> None:
    for visitor in (one, other):
        await visitor.until_state("talking")
    await one.hears()


async def test_two_meet_by_link_and_a_third_never(service: Service, visit: Visit) -> None:
    maker, stranger = await visit(permissions=["microphone", "clipboard-write"], **PHONE), await visit()
    await start([stranger])
    link = await link_of(maker)
    assert maker.page.url == link
    assert await axe(maker) == ""
    assert await fits(maker)
    await maker.press("Copy the link")
    await maker.page.get_by_text("Copied.").wait_for()
    guest = await open_link(visit, service, link)
    await until_both_talk(maker, guest)
    third = await open_link(visit, service, link)
    await third.until_says("Two others use this link already")
    await third.until_state("idle")
    assert await stranger.page.evaluate("document.body.dataset.state") == "waiting"

    await guest.press("Stop")
    await maker.until_state("ended")
    for visitor in (maker, guest):
        await visitor.press("Start")  # the same link, once more
    await until_both_talk(maker, guest)
    await maker.press("Next")  # the one who waits for anybody
    await until_both_talk(stranger, maker)

    secret = link.split("=")[1]
    assert len(secret) == 22
    for visitor in (maker, guest, third, stranger):
        carried = [*visitor.requests, *(str(frame) for frame in (*visitor.sent, *visitor.received))]
        assert not [text for text in carried if secret in text.partition("#")[0]]
    assert secret not in service.log("serve")
    assert maker.complaints == guest.complaints == third.complaints == []


async def test_a_site_for_people_who_know_each_other(tmp_path: Path, chromium: Browser) -> None:
    service = Service(tmp_path, {"site": {"matching": "link"}})
    await service.open()
    try:
        maker = await Visitor.open(chromium, service.url)
        for name in ("Start", "Next"):
            assert await maker.page.get_by_role("button", name=name, exact=True).count() == 0
        assert await axe(maker) == ""
        guest = await Visitor.open(chromium, await link_of(maker))
        await guest.press("Start")
        await until_both_talk(maker, guest)
        await guest.press("Stop")
        await maker.until_state("ended")
        assert await maker.page.get_by_role("button", name="Start", exact=True).count() == 1
        assert maker.complaints == guest.complaints == []
        for visitor in (maker, guest):
            await visitor.close()
    finally:
        await service.close()
