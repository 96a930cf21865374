"""Wheel and sdist hold all that Calln needs: the wheel serves a call from an empty folder anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from deploy.doctor.trial_call import make_trial_call
from deploy.remote.release import LOCKS, ROOT, TREE
from host import VERSION
from server.signalling.messages import PROTOCOL
from tests.ports import free_port, relayed_ports
from tests.server.serving import Browser
from turn.credentials import MintedCredential
from turn.flows import Address

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
PATIENCE = 60.0  # seconds to begin on a busy machine
OWN_FILES = re.compile(r'(?:src|href)="(/static/[^"]+)"')
LOCKED = ROOT / LOCKS / "run.txt"
INSTALL = ("install", "--quiet", "--disable-pip-version-check")


class Built(NamedTuple):
    sdist: Path
    wheel: Path


def build(tree: Path, folder: Path, *words: str) -> Built:
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), *words]
    subprocess.run(command, cwd=tree, env={**os.environ, **EPOCH}, check=True, capture_output=True)
    return Built(folder / f"calln-{VERSION}.tar.gz", folder / f"calln-{VERSION}-py3-none-any.whl")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT, tmp_path_factory.mktemp("built"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_sdist_holds_the_tree(built: Built) -> None:
    with tarfile.open(built.sdist) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    assert not {name for name in tracked() if not name.startswith(".") or name.startswith(".ci/")} - held


def test_wheel_holds_its_packages_whole(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    shipped = {name for name in tracked() if name.partition("/")[0] in TREE}
    assert {name for name in shipped if not name.startswith(LOCKS)} | {f"{LOCKS}run.txt"} <= held
    assert {name.partition("/")[0] for name in held} == set(TREE)


def test_sdist_makes_the_same_wheel(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as tar:
        tar.extractall(tmp_path, filter="data")
    again = build(tmp_path / f"calln-{VERSION}", tmp_path, "--target", "wheel")
    assert again.wheel.read_bytes() == built.wheel.read_bytes()


def released(folder: Path, umask: int, zone: str) -> dict[str, bytes]:
    """What `make release` leaves in a clone of the commit that is checked out here."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, umask=umask)
    (folder / "note.txt").write_text("not of the release")
    env = {**os.environ, "PYTHON": sys.executable, "TZ": zone}
    subprocess.run([folder / ".ci" / "release"], check=True, capture_output=True, umask=umask, env=env)
    return {path.name: path.read_bytes() for path in (folder / "dist").iterdir()}


def test_two_releases_of_one_commit_are_equal(tmp_path: Path) -> None:
    one = released(tmp_path / "one", 0o022, "UTC")
    assert one == released(tmp_path / "further" / "down", 0o077, "Asia/Kathmandu")
    sums = one.pop("SHA256SUMS").decode().splitlines()
    assert sums == [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(one.items())]
    assert [name.removeprefix(f"calln-{VERSION}") for name in sorted(one)] == [
        "-py3-none-any.whl",
        ".md",
        ".tar.gz",
    ]
    said = one[f"calln-{VERSION}.md"].decode()
    assert said.strip()
    assert "\n## " not in said
    assert said in (ROOT / "CHANGELOG.md").read_text()


class Installed(NamedTuple):
    """A virtual environment with the wheel and what it needs, and a folder with nothing in it."""

    bin: Path
    folder: Path

    def say(self, *words: str, code: int = 0) -> str:
        """What a command prints, with nothing of this tree on its way."""
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    @property
    def env(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**ours, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("anywhere")
    hashed = ("--only-binary=:all:", "--require-hashes", "--requirement", str(LOCKED))
    for words in (
        ("venv", "--without-pip", "env"),
        ("pip", "--python", "env", *INSTALL, *hashed),
        ("pip", "--python", "env", *INSTALL, "--no-deps", str(built.wheel)),
    ):
        subprocess.run([sys.executable, "-m", *words], check=True, cwd=place)
    (place / "empty").mkdir()
    return Installed(place / "env" / "bin", place / "empty")


def test_command_works_anywhere(installed: Installed) -> None:
    assert installed.say("python", "-m", "deploy.cli", "--version") == f"calln {VERSION}\n"
    assert "The configuration is valid." in installed.say("calln", "check")
    assert "pip install 'calln[deploy]'" in installed.say("calln", "deploy", "plan", code=69)


def test_release_for_a_machine_is_the_same_from_tree_and_wheel(installed: Installed) -> None:
    code = "from deploy.remote import release as r; print(r.ROOT, r.digest(r.ROOT, r.Path('nothing else')))"
    here = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    place, there = installed.say("python", "-c", code).split()
    assert Path(place).is_relative_to(installed.bin.parent)
    assert there == here.stdout.split()[1]


class Site(NamedTuple):
    """`calln run` there, by its page, and where its relay listens."""

    url: str
    relay: int


@pytest.fixture(scope="module")
def site(installed: Installed) -> Iterator[Site]:
    http, turn = free_port(), free_port()
    config = {
        "server": {"listen": f"127.0.0.1:{http}"},
        "turn": {
            "listen": f"127.0.0.1:{turn}",
            "relay_ports": relayed_ports(),
            "allow_loopback_peers": True,
        },
    }
    (installed.folder / "config.yaml").write_text(yaml.safe_dump(config))
    with (installed.folder / "log").open("wb") as log:
        command = ["calln", "run", "--config", "config.yaml"]
        process = subprocess.Popen(command, cwd=installed.folder, env=installed.env, stdout=log, stderr=log)
    try:
        yield Site(f"http://127.0.0.1:{http}", turn)
    finally:
        for _ in range(2):  # the second time without waiting for calls
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        print((installed.folder / "log").read_text())


async def page(site: Site) -> str:
    """As soon as it is served."""
    async with httpx.AsyncClient() as client, asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get(site.url)).raise_for_status().text
            await asyncio.sleep(0.1)


async def test_page_with_all_that_it_needs(site: Site) -> None:
    files = OWN_FILES.findall(await page(site))
    assert files
    async with httpx.AsyncClient(base_url=site.url) as client:
        for path in ("/privacy", *files):
            assert (await client.get(path)).status_code == 200, path


async def visitor(site: Site, address: str) -> Browser:
    browser = Browser(
        await connect(
            site.url.replace("http", "ws") + "/ws",
            origin=Origin(site.url),
            subprotocols=[Subprotocol(PROTOCOL)],
            local_addr=(address, 0),
        )
    )
    await browser.hello()
    await browser.say("start")
    await browser.hear("waiting")
    return browser


async def test_call_in_small(site: Site) -> None:
    """Two visitors are matched, and what one of them is told opens the relay by both transports."""
    await page(site)
    one, other = [await visitor(site, address) for address in ("127.0.0.2", "127.0.0.3")]
    told: list[dict[str, Any]] = [await browser.hear("matched") for browser in (one, other)]
    assert told[0]["call"] == told[1]["call"]
    relay = told[0]["ice"]["iceServers"][-1]
    credential = MintedCredential(relay["username"], relay["credential"])
    for transport in ("udp", "tcp"):
        listener = Address.of("127.0.0.1", site.relay, transport)
        await asyncio.to_thread(make_trial_call, listener, credential)
    for browser in (one, other):  # a credential is good while its call lasts
        await browser.close()
