"""A deployment from the first command to the last: a booted Debian, real certificates, browsers from outside.

The tests are stages of one story, in order; a live call goes through the middle ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.outside import Call, open_outside, shut_in
from tests.deploy.end_to_end.pebble import DIRECTORY, Pebble
from tests.deploy.end_to_end.target import Snapshot, Target

URL = f"https://{NAME}/"
CONFIG = {
    "site": {"url": URL.rstrip("/")},
    "deploy": {"hosts": f"root@{ADDRESSES[NAME]}", "acme_directory": DIRECTORY},
}
# The story's second release, and one that ends as soon as it serves.
ANOTHER = "\n# another release\n"
BROKEN = """
import sys

if "serve" in sys.argv:
    raise SystemExit("broken on purpose")
"""
CHANGED = "server/signalling/lobby.py"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def targets(target: Target, before: Snapshot) -> list[Target]:
    """Deployed to when the fresh machine has been looked at."""
    return [target]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(target: Target, pebble: Pebble, folder: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        shut_in(target.network)
        browser = await open_outside(playwright, target.network, folder / "browser", pebble.root)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call(browser: Browser) -> AsyncIterator[Call]:
    """One call through all that happens to the machine meanwhile."""
    call = await Call.open(browser, URL)
    yield call
    await call.close()


def current(target: Target) -> str:
    return Path(target.run("readlink /opt/calln/current")).name


def processes(target: Target) -> str:
    """What runs, and since when."""
    return target.run("systemctl show -p Id,MainPID,ActiveEnterTimestampMonotonic 'calln*.service'")


async def test_the_plan_changes_nothing(admin: Admin, target: Target, before: Snapshot) -> None:
    said = await admin.deploy("plan", named="plan of a fresh machine")
    assert "/etc/systemd/system/calln-relay@.service" in said
    assert not before.difference(target.snapshot())


async def test_a_fresh_machine_serves(admin: Admin, target: Target) -> None:
    assert len(changed(await admin.deploy("apply", named="first deploy"))) > 5
    assert target.ask("systemctl is-system-running") == "running"
    assert f"The relay at {NAME} hears the server." in target.ssh("calln doctor").stdout


async def test_a_second_apply_changes_nothing(admin: Admin, target: Target) -> None:
    running = processes(target)
    said = await admin.deploy("apply", named="apply that changes nothing")
    assert changed(said) == []
    assert processes(target) == running


async def test_strangers_talk_where_only_web_pages_are_let_out(target: Target, call: Call) -> None:
    """The browsers have been behind that firewall from the start."""
    assert await call.ways() == {"tls"}


async def test_an_upgrade_leaves_the_call_alone(
    admin: Admin, target: Target, call: Call, browser: Browser
) -> None:
    first = current(target)
    admin.change(CHANGED, ANOTHER)
    await admin.deploy("apply", named="upgrade under a live call")
    assert current(target) != first
    await call.goes_on()
    newer = await Call.open(browser, URL)
    assert await newer.ways() == {"tls"}
    await newer.close()
    await call.goes_on()


async def test_a_release_that_does_not_come_up_changes_nothing(
    admin: Admin, target: Target, call: Call, browser: Browser
) -> None:
    good = current(target)
    admin.change(CHANGED, BROKEN)
    said = await admin.fails("apply", named="a release that fails its health check")
    admin.restore(CHANGED)
    admin.change(CHANGED, ANOTHER)
    assert "broken on purpose" in said
    assert current(target) == good
    await call.goes_on()
    newer = await Call.open(browser, URL)
    await newer.close()


async def test_rollback(admin: Admin, target: Target, call: Call, browser: Browser) -> None:
    second = current(target)
    await admin.deploy("rollback")
    assert current(target) != second
    await call.goes_on()
    newer = await Call.open(browser, URL)
    await newer.close()


async def test_new_secrets(admin: Admin, target: Target, call: Call, browser: Browser) -> None:
    read = "cat /etc/calln/secrets/*"
    before = target.run(read)
    await admin.deploy("secrets", "rotate")
    assert target.run(read) != before
    await call.goes_on()
    newer = await Call.open(browser, URL)
    await newer.close()


async def test_what_drained_ends_with_the_call(target: Target, call: Call) -> None:
    await call.goes_on()
    for end in call.ends:
        await end.close()
    target.run(
        "for i in $(seq 60); do systemctl list-units --plain --no-legend 'calln-*@*' | grep -q deactivating"
        " || exit 0; sleep 1; done; exit 1"
    )


async def test_a_machine_is_as_it_was(admin: Admin, target: Target, before: Snapshot) -> None:
    await admin.deploy("destroy", "--purge", "--yes", named="destroy")
    marks = before.difference(target.snapshot())
    assert not marks, "\n".join(marks)
