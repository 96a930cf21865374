"""A network of its own for a test module, with an authority and a booted machine in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import STEPS
from tests.deploy.network import NETWORK, Network
from tests.deploy.pebble import Pebble
from tests.deploy.target import Target

NAME = "call.example.test"
TURN_NAME = "turn.example.test"
ADDRESSES = {NAME: f"{NETWORK}.10", TURN_NAME: f"{NETWORK}.11"}
PROGRAMS = ("certutil", "curl", "debootstrap", "nft", "pebble", "ssh-keygen", "systemd-nspawn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
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
def pebble(network: Network, folder: Path) -> Iterator[Pebble]:
    pebble = Pebble(network, folder)
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
def target(network: Network, folder: Path, pebble: Pebble, key: Path) -> Iterator[Target]:
    target = Target(network, folder, "one", ADDRESSES[NAME])
    try:
        target.boot(key, pebble.trust)
        yield target
    finally:
        target.close()


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest) -> list[str]:
    """Lines that are printed when all tests are through."""
    return request.config.stash[STEPS]
