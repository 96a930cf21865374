"""A closed network with Debian 13: no package mirror, no public authority, callers beside the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from deploy.remote.secrets import AUTHORITY
from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.network import NETWORK
from tests.deploy.end_to_end.outside import Call, open_outside, shut_in
from tests.deploy.end_to_end.target import Target

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
def suite() -> str:
    return "trixie"


async def test_strangers_talk_in_a_closed_network(admin: Admin, target: Target, folder: Path) -> None:
    before = target.snapshot()
    await admin.deploy("apply", named="first deploy of a closed network, Debian 13")
    assert changed(await admin.deploy("apply", named="apply that changes nothing, Debian 13")) == []
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
