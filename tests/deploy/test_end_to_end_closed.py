"""A closed network with Debian 13: no package mirror, no public authority, callers beside the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from deploy.remote.secrets import AUTHORITY
from tests.deploy.admin import Admin
from tests.deploy.conftest import ADDRESSES, NAME
from tests.deploy.network import NETWORK, Network
from tests.deploy.outside import Call, open_outside, shut_in
from tests.deploy.pebble import Pebble
from tests.deploy.target import Target

CONFIG = {
    "site": {"url": f"https://{NAME}"},
    "deploy": {
        "hosts": f"root@{ADDRESSES[NAME]}",
        "tls": "internal",
        "offline": True,
        "network": "private",
        "private_networks": [f"{NETWORK}.0/24"],
    },
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def target(network: Network, folder: Path, pebble: Pebble, key: Path) -> Iterator[Target]:
    target = Target(network, folder, "one", ADDRESSES[NAME], "trixie")
    try:
        target.boot(key, pebble.trust)
        yield target
    finally:
        target.close()


@pytest.fixture(scope="module")
def admin(target: Target, pebble: Pebble, key: Path, folder: Path, report: list[str]) -> Iterator[Admin]:
    admin = Admin(target.network, folder, pebble.root)
    admin.open([target], key, CONFIG)
    yield admin
    report += [f"{seconds:6.1f} s  {what}" for what, seconds in admin.times.items()]


async def test_strangers_talk_in_a_closed_network(admin: Admin, target: Target, folder: Path) -> None:
    before = target.snapshot()
    await admin.deploy("apply", named="first deploy of a closed network, Debian 13")
    assert "othing" in await admin.deploy("apply", named="apply that changes nothing, Debian 13")
    shut_in(target.network)
    root = admin.file.parent / AUTHORITY / "root.pem"
    async with async_playwright() as playwright:
        browser = await open_outside(playwright, target.network, folder / "browser", root)
        call = await Call.open(browser, f"https://{NAME}/")
        assert await call.ways() == {"tls"}
        await call.close()
        await browser.close()
    await admin.deploy("destroy", "--purge", "--yes", named="destroy, Debian 13")
    marks = before.difference(target.snapshot())
    assert not marks, "\n".join(marks)
