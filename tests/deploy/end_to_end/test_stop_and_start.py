"""All of Calln on a machine is ended and started by one name, and what root left in its folder is mended.

The tests are stages of one story, in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.outside import Call, open_outside
from tests.deploy.end_to_end.target import Target

URL = f"https://{NAME}/"
CONFIG = {
    "site": {"url": URL.rstrip("/")},
    "deploy": {"hosts": f"root@{ADDRESSES[NAME]}", "tls": "internal"},
}
LIST = "systemctl list-units --plain --no-legend --state active 'calln-server@*' 'calln-relay@*'"
ACTIVE = f"{LIST} | wc -l"
PORTS = "ss -Hltn '( sport = :80 or sport = :443 or sport = :3478 )' | wc -l"
DRAINED = (
    'timeout 90 sh -c \'while systemctl list-units --plain --no-legend "calln-*@*" | grep -q deactivating;'
    " do sleep 0.5; done'"
)
ANSWERS = "calln relay stats >/dev/null 2>&1 && calln reports >/dev/null 2>&1"
UNTIL_READY = f"timeout 60 sh -c 'until {ANSWERS}; do sleep 0.2; done'"
FOREIGN = "/var/lib/calln/relayed.map"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(admin: Admin, target: Target, folder: Path) -> AsyncIterator[Browser]:
    await admin.deploy("apply", named="first deploy")
    async with async_playwright() as playwright:
        root = admin.tree / "calln-authority/root.pem"
        browser = await open_outside(playwright, target.network, folder / "browser", root)
        yield browser
        await browser.close()


async def test_the_same_release_starts_anew_under_a_live_call(
    admin: Admin, target: Target, browser: Browser
) -> None:
    call = await Call.open(browser, URL)
    before = target.run("readlink /opt/calln/current")
    assert "the same release as" in await admin.deploy("restart")
    assert target.run("readlink /opt/calln/current") == f"{before}.2"
    assert "deactivating" in target.run("systemctl list-units --plain --no-legend 'calln-*@*'")
    await call.goes_on()
    another = await Call.open(browser, URL)
    await another.close()
    assert changed(await admin.deploy("apply", named="apply after a restart of the release")) == []
    await call.close()


async def test_systemctl_restart_means_the_same(admin: Admin, target: Target, browser: Browser) -> None:
    call = await Call.open(browser, URL)
    target.run("systemctl restart calln")
    assert target.run("readlink /opt/calln/current").endswith(".3")
    await call.goes_on()
    another = await Call.open(browser, URL)
    await another.close()
    assert changed(await admin.deploy("apply", named="apply after systemctl restart calln")) == []
    await call.close()


async def test_an_update_of_the_system_starts_it_anew(admin: Admin, target: Target, browser: Browser) -> None:
    """As a security update of OpenSSL does, whose library takes the place of the one in use."""
    now = target.run("readlink /opt/calln/current")
    target.run("systemctl start calln-update")
    assert target.run("readlink /opt/calln/current") == now
    assert target.ask("systemctl is-active calln-update.timer") == "active"
    call = await Call.open(browser, URL)
    target.run("cd /usr/lib/*-linux-gnu && cp -a libssl.so.3 libssl.new && mv libssl.new libssl.so.3")
    target.run("systemctl start calln-update")
    assert target.run("readlink /opt/calln/current") != now
    await call.goes_on()
    await call.close()
    after = target.run("readlink /opt/calln/current")
    target.run("systemctl start calln-update")
    assert target.run("readlink /opt/calln/current") == after
    assert changed(await admin.deploy("apply", named="apply after an update of the system")) == []


async def test_systemctl_stop_and_start_mean_all(admin: Admin, target: Target, browser: Browser) -> None:
    assert target.run(ACTIVE) == "2"
    target.run(DRAINED)
    target.run("systemctl stop calln")
    assert (target.run(ACTIVE), target.run(PORTS)) == ("0", "0")
    said = target.ssh("calln doctor").stdout
    assert "start it with systemctl start calln" in said
    assert "calln run" not in said
    assert "calln-relay does not run" in await admin.fails("status", named="status of what was stopped")
    target.run("systemctl start calln")
    target.run(UNTIL_READY)
    call = await Call.open(browser, URL)
    await call.close()
    assert changed(await admin.deploy("apply", named="apply after a stop and a start")) == []


async def test_root_is_told_to_leave_it_to_systemd(target: Target) -> None:
    for word in ("run", "serve", "relay"):
        done = target.ssh(f"calln {word}")
        assert done.returncode == 69
        assert "belongs to the account calln" in done.stderr
        assert "systemctl start calln" in done.stderr
    assert target.run("find /var/lib/calln -not -user calln") == ""
    target.run("calln ban add 198.51.100.77 && calln ban remove 198.51.100.77")
    assert target.run("find /var/lib/calln -not -user calln") == ""


async def test_files_of_root_are_named_and_mended(admin: Admin, target: Target, browser: Browser) -> None:
    target.run(f"chown root:root {FOREIGN}")
    assert f"cannot use {FOREIGN}" in await admin.fails("status", named="status with a file of root")
    assert f"cannot use {FOREIGN}" in target.ssh("calln doctor").stdout
    said = await admin.deploy("apply", named="apply that mends an owner")
    assert f"Give {FOREIGN} back to the services" in said
    assert target.run("find /var/lib/calln -not -user calln") == ""
    await admin.deploy("status")


async def test_all_comes_back_with_the_machine(admin: Admin, target: Target) -> None:
    target.reboot()
    target.run(UNTIL_READY)
    assert (target.run(ACTIVE), target.run("systemctl is-active calln")) == ("2", "active")
    assert changed(await admin.deploy("apply", named="apply after a restart of the machine")) == []
