"""Two machines: one with page and matching, one with the relay, deployed to by an account that has sudo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests.deploy.admin import Admin
from tests.deploy.conftest import ADDRESSES, NAME, TURN_NAME
from tests.deploy.image import ADMIN
from tests.deploy.outside import Call, open_outside, shut_in
from tests.deploy.pebble import DIRECTORY, Pebble
from tests.deploy.target import Target

CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {
        "hosts": [
            {"address": f"root@{ADDRESSES[NAME]}", "roles": ["server"]},
            {"address": f"{ADMIN}@{ADDRESSES[TURN_NAME]}", "name": TURN_NAME, "roles": ["turn"]},
        ],
        "acme_directory": DIRECTORY,
    },
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def relay(target: Target, folder: Path, pebble: Pebble, key: Path) -> Iterator[Target]:
    relay = Target(target.network, folder, "two", ADDRESSES[TURN_NAME])
    try:
        relay.boot(key, pebble.trust)
        yield relay
    finally:
        relay.close()


@pytest.fixture(scope="module")
def admin(
    target: Target, relay: Target, pebble: Pebble, key: Path, folder: Path, report: list[str]
) -> Iterator[Admin]:
    admin = Admin(target.network, folder, pebble.root)
    admin.open([target, relay], key, CONFIG)
    yield admin
    report += [f"{seconds:6.1f} s  {what}" for what, seconds in admin.times.items()]


def units(target: Target) -> set[str]:
    """What of ours serves there."""
    lines = target.run("systemctl list-units --plain --no-legend --state active 'calln-*@*'").splitlines()
    return {line.split("@")[0] for line in lines}


async def test_each_machine_gets_its_part(admin: Admin, target: Target, relay: Target) -> None:
    await admin.deploy("apply", named="first deploy of two machines")
    assert (units(target), units(relay)) == ({"calln-server"}, {"calln-relay"})
    assert "othing" in await admin.deploy("apply", named="apply that changes nothing on two machines")


async def test_strangers_talk_by_port_443_of_the_relay(
    admin: Admin, target: Target, pebble: Pebble, folder: Path
) -> None:
    shut_in(target.network)
    async with async_playwright() as playwright:
        browser = await open_outside(playwright, target.network, folder / "browser", pebble.root)
        call = await Call.open(browser, f"https://{NAME}/")
        assert await call.ways() == {"tls"}
        await admin.deploy("secrets", "rotate", named="secrets rotate on two machines")
        await call.goes_on()
        newer = await Call.open(browser, f"https://{NAME}/")
        await newer.close()
        await browser.close()
