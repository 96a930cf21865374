"""The Debian package on a booted machine: installed, set up, upgraded under a live call, removed, purged."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, async_playwright

from deploy.remote.cloud_init import render_user_data
from deploy.remote.hosts import parse_config_file
from host import VERSION
from tests.deploy.end_to_end.admin import ROOT, TREE, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.outside import Call, open_outside
from tests.deploy.end_to_end.package import URL, apt, authority, build, package, set_up
from tests.deploy.end_to_end.target import Snapshot, Target

NEXT = f"{VERSION}.1"
OF_DPKG = re.compile(r". /var/lib/(dpkg|apt)(/|$)")  # it remembers what was here

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def built(folder: Path) -> Path:
    """A folder with the package of this tree, and with that of the next version."""
    build(ROOT, folder / "packages", "bookworm")
    tree = folder / "next"
    tree.mkdir()
    for name in (*TREE, "CHANGELOG.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tree / name)
    version = tree / "host/__init__.py"
    version.write_text(version.read_text().replace(VERSION, NEXT))
    build(tree, folder / "packages", "bookworm")
    return folder / "packages"


@pytest.fixture(scope="module")
def binds(built: Path) -> list[Path]:
    return [built]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(target: Target, folder: Path) -> AsyncIterator[Browser]:
    """It believes the authority that the machine has made."""
    async with async_playwright() as playwright:
        browser = await open_outside(playwright, target.network, folder / "browser", authority(target))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call(browser: Browser) -> AsyncIterator[Call]:
    call = await Call.open(browser, URL)
    yield call
    await call.close()


def current(target: Target) -> str:
    return target.run("readlink /opt/calln/current").rpartition("/")[2]


async def test_lintian_finds_no_error(built: Path) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("not installed: lintian")
    command = ["lintian", "--fail-on", "error", str(package(built, VERSION))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_machine_is_set_up_by_six_answers(target: Target, before: Snapshot, built: Path) -> None:
    assert "calln setup" in await apt(target, "install", package(built, VERSION))
    assert not target.ask("ls -d /opt/calln /etc/calln")  # the program alone
    said = await set_up(target)
    assert f"Visitors can open https://{NAME}" in said
    assert current(target).startswith(f"{VERSION}-")
    assert target.ask("systemctl is-system-running") == "running"
    assert changed(await asyncio.to_thread(target.run, "calln setup")) == []


async def test_what_looks_after_machines_works_there_too(target: Target) -> None:
    said = await asyncio.to_thread(target.ask, "calln deploy doctor")
    assert f"A trial call through tls://{ADDRESSES[NAME]}:443 worked." in said
    assert "Browsers refuse" not in said
    assert "calln-relay" in await asyncio.to_thread(target.run, "calln deploy status")
    assert f"calln {VERSION}" == target.run("calln --version")


async def test_an_upgrade_leaves_the_call_alone(
    target: Target, built: Path, call: Call, browser: Browser
) -> None:
    said = await apt(target, "install", package(built, NEXT))
    assert "running calls go on" in said
    assert current(target).startswith(f"{NEXT}-")
    await call.goes_on()
    newer = await Call.open(browser, URL)
    await newer.close()
    await call.goes_on()


async def test_a_machine_is_as_it_was(target: Target, before: Snapshot) -> None:
    target.run("echo nonsense: 1 >>/etc/calln/deploy.yaml")
    assert "so Calln is removed without it" in await apt(target, "remove", "calln")
    assert not target.run("systemctl list-units --all --plain --no-legend 'calln*'")
    assert target.run("ls /etc/calln/deploy.yaml /etc/calln/secrets/turn.secret")
    await apt(target, "purge", "calln")
    marks = [mark for mark in before.difference(target.snapshot()) if not OF_DPKG.match(mark)]
    assert not marks, "\n".join(marks)


async def test_a_cloud_makes_the_same_machine_by_user_data(target: Target, built: Path, folder: Path) -> None:
    """What cloud-init would do with the file: write its files, then run its commands."""
    text = f"site: {{url: 'https://{NAME}'}}\ndeploy: {{tls: internal}}\n"
    made = render_user_data(
        parse_config_file(text, folder / "cloud.yaml"), "https://downloads.test/calln.deb"
    )
    data = yaml.safe_load(made)
    ((*words, script),) = data["runcmd"]
    fetch = f"cp {package(built, VERSION)} "
    script = re.sub(r"curl .*--output (\S+) \S+", rf"{fetch}\1", script)
    assert fetch in script
    (file,) = data["write_files"]
    line = f"mkdir -p /etc/calln; printf %s {shlex.quote(file['content'])} >{file['path']}; "
    said = await asyncio.to_thread(target.run, f"{line}{shlex.join([*words, script])} 2>&1")
    assert f"Visitors can open https://{NAME}" in said
    assert target.ask("systemctl is-system-running") == "running"
    assert changed(await asyncio.to_thread(target.run, "calln setup")) == []
