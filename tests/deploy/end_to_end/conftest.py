"""A network of its own for a test module, with an authority and a booted machine in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.conftest import STEPS
from tests.deploy.end_to_end.admin import Admin
from tests.deploy.end_to_end.network import NETWORK, Network
from tests.deploy.end_to_end.outside import open_outside
from tests.deploy.end_to_end.pebble import Pebble
from tests.deploy.end_to_end.target import Snapshot, Target, booted

NAME = "call.example.test"
TURN_NAME = "turn.example.test"
ADDRESSES = {NAME: f"{NETWORK}.10", TURN_NAME: f"{NETWORK}.11"}
SAMPLE = ("test_target.py", "test_one_machine.py")  # what `make test` runs; the rest is long
PROGRAMS = ("certutil", "curl", "debootstrap", "nft", "pebble", "ssh-keygen", "systemd-nspawn")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in SAMPLE:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="module")
def suite() -> str:
    """Which Debian is booted; a module may want another, or several one after the other."""
    return "bookworm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, suite: str) -> Path:
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture(scope="module")
def network(suite: str) -> Iterator[Network]:
    """Of several machines one after the other, each has one of its own: they have the same address."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0:
        pytest.skip("only root may boot a machine in a namespace")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    network = Network()
    try:
        network.open()
        yield network
    finally:
        network.close()


@pytest.fixture(scope="module")
def days() -> int | None:
    """How long the authority's certificates are good; a module that cares has a fixture of its own."""
    return None


@pytest.fixture(scope="module")
def pebble(network: Network, folder: Path, days: int | None) -> Iterator[Pebble]:
    pebble = Pebble(network, folder, days)
    try:
        pebble.open(ADDRESSES)
        yield pebble
    finally:
        pebble.close()


@pytest.fixture(scope="module")
def key(folder: Path) -> Path:
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key


@pytest.fixture(scope="module")
def binds() -> list[Path]:
    """Folders of this machine that are there in the same place."""
    return []


@pytest.fixture(scope="module")
def target(
    network: Network, folder: Path, pebble: Pebble, key: Path, suite: str, binds: list[Path]
) -> Iterator[Target]:
    one = Target(network, folder, "one", ADDRESSES[NAME], suite)
    one.binds = binds
    with booted(one, key, pebble.trust):
        yield one


@pytest.fixture(scope="module")
def before(target: Target) -> Snapshot:
    """The fresh machine."""
    return target.snapshot()


@pytest.fixture(scope="module")
def targets(target: Target) -> list[Target]:
    return [target]


@pytest.fixture(scope="module")
def trust(pebble: Pebble) -> Path:
    """The authority that the operator's side believes."""
    return pebble.root


@pytest.fixture(scope="module")
def admin(
    request: pytest.FixtureRequest, targets: list[Target], trust: Path, key: Path, folder: Path
) -> Iterator[Admin]:
    """Deploys the module's CONFIG; how long each command took is told when all tests are through."""
    admin = Admin(targets[0].network, folder, trust)
    admin.open(targets, key, request.module.CONFIG)
    yield admin
    request.config.stash[STEPS] += [f"{seconds:6.1f} s  {what}" for what, seconds in admin.times.items()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(target: Target, pebble: Pebble, folder: Path) -> AsyncIterator[Browser]:
    """Outside, and it believes the authority of the network."""
    async with async_playwright() as playwright:
        browser = await open_outside(playwright, target.network, folder / "browser", pebble.root)
        yield browser
        await browser.close()
