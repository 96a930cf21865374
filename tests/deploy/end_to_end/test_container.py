"""The image of deploy/image: two browsers talk through the relay in it, and nothing in it is root."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.async_api import async_playwright

from tests.deploy.end_to_end.container import BUILT, build, container, described, start
from tests.live.visitors import Visitor, open_chromium, open_firefox, talk
from tests.ports import free_port, relayed_ports

PROGRAMS = ("buildah", "debootstrap", "systemd-nspawn")
PATIENCE = 30.0  # seconds for a start or an end on a busy machine
COMPOSE = Path(__file__).parents[3] / "deploy/image/compose.yaml"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0 or (missing := [name for name in PROGRAMS if shutil.which(name) is None]):
        pytest.skip(f"needs root and {', '.join(PROGRAMS)}; missing: {missing}")
    build(tmp_path_factory.mktemp("image"))
    with container() as root:
        yield root


@pytest.fixture
def file(tmp_path: Path) -> Path:
    port = free_port()
    told = {
        "site": {"state_dir": "/var/lib/calln"},
        "server": {"listen": f"127.0.0.1:{free_port()}"},
        "turn": {
            "listen": f"udp://127.0.0.1:{port}",
            "relay_ports": relayed_ports(),
            "allow_loopback_peers": True,
        },
    }
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(told))
    file.chmod(0o644)
    return file


def is_ready(root: Path, file: Path, *part: str) -> bool:
    """By the health check of the image and of compose.yaml."""
    log = file.with_name("ready.log")
    asked = start(root, file.parent, file, log, "ready", *part, "--config", "/etc/calln/config.yaml")
    return asked.wait(PATIENCE) == 0


async def until_ready(root: Path, file: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(is_ready, root, file):
            await asyncio.sleep(0.2)


async def test_two_browsers_talk_through_the_relay_of_a_container(root: Path, file: Path) -> None:
    log = file.with_name("calln.log")
    address = yaml.safe_load(file.read_text())["server"]["listen"]
    assert not is_ready(root, file)
    running = start(root, file.parent, file, log)
    try:
        await until_ready(root, file)
        await call(f"http://{address}/?relay=1")
        state = file.with_name("state")
        owners = {found.lstat().st_uid for found in (state, *state.rglob("*"))}
        assert owners == {int(described()["User"].split(":")[0])}
    finally:
        end(running)
    assert "Traceback" not in log.read_text()


async def call(url: str) -> None:
    async with async_playwright() as playwright:
        chromium, firefox = await open_chromium(playwright), await open_firefox(playwright)
        one, other = await Visitor.open(chromium, url), await Visitor.open(firefox, url)
        await talk(one, other)
        await one.hears()
        await other.hears()
        assert (await one.media())["kinds"] == ["relay", "relay"]
        await chromium.close()
        await firefox.close()


def end(running: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        running.send_signal(number)
        try:
            running.wait(PATIENCE)
            return
        except subprocess.TimeoutExpired:
            continue


def test_nothing_in_the_image_is_root_or_builds_packages(root: Path) -> None:
    assert described()["User"] == "990:990"
    assert not (root / "opt/calln/bin/pip").exists()
    assert not (root / "source").exists()
    assert (root / "opt/calln/bin/calln").exists()


def test_compose_runs_both_with_nothing_that_they_do_not_need() -> None:
    told = yaml.safe_load(COMPOSE.read_text())
    assert set(told["services"]) == {"serve", "relay"}
    for name, service in told["services"].items():
        assert service["command"][0] == name
        assert service["healthcheck"]["test"][:3] == ["CMD", "calln", "ready"]
        assert service["healthcheck"]["test"][3] == name
        assert (service["network_mode"], service["read_only"], service["cap_drop"]) == ("host", True, ["ALL"])
        assert service["image"] != BUILT
