"""The Debian package on Debian 13 and Ubuntu 24.04: six answers, then two browsers talk, then it goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from host import VERSION
from tests.deploy.end_to_end.admin import ROOT
from tests.deploy.end_to_end.outside import Call, open_outside
from tests.deploy.end_to_end.package import URL, apt, authority, build, package, set_up
from tests.deploy.end_to_end.target import Snapshot, Target

SUITES = ("noble", "trixie")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one package for all of them."""
    folder = tmp_path_factory.mktemp("packages")
    build(ROOT, folder, *SUITES)
    return folder


@pytest.fixture(scope="module")
def binds(built: Path) -> list[Path]:
    return [built]


async def test_two_talk_after_six_answers(
    target: Target, before: Snapshot, built: Path, folder: Path
) -> None:
    await apt(target, "install", package(built, VERSION))
    assert f"Visitors can open {URL.rstrip('/')}" in await set_up(target)
    assert target.ask("systemctl is-system-running") == "running"
    async with async_playwright() as playwright:
        browser = await open_outside(playwright, target.network, folder / "browser", authority(target))
        call = await Call.open(browser, URL)
        await call.goes_on()
        await call.close()
        await browser.close()


async def test_nothing_is_left(target: Target, before: Snapshot) -> None:
    await apt(target, "purge", "calln")
    assert not [mark for mark in before.difference(target.snapshot()) if "calln" in mark.lower()]
