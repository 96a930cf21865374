"""The machines of the other tests are what they claim: booted, reachable, with an authority, and filtered."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.image import ADMIN
from tests.deploy.network import NETWORK, OUTSIDE, Network
from tests.deploy.pebble import DIRECTORY, Pebble
from tests.deploy.target import Target

NAME = "call.example.test"
ADDRESS = f"{NETWORK}.10"
PROGRAMS = ("debootstrap", "systemd-nspawn", "pebble", "ssh-keygen")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may boot a machine in a namespace"),
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason=f"missing one of {', '.join(PROGRAMS)}"),
]

SEND = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    try:
        print(client.sendto(b"out", ("{OUTSIDE}", 9)))
    except PermissionError as error:
        print(error.strerror)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    network = Network()
    network.open()
    yield network
    network.close()


@pytest.fixture(scope="module")
def pebble(network: Network, folder: Path) -> Iterator[Pebble]:
    pebble = Pebble(network, folder)
    pebble.open({NAME: ADDRESS})
    yield pebble
    pebble.close()


@pytest.fixture(scope="module")
def target(network: Network, folder: Path, pebble: Pebble) -> Iterator[Target]:
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    target = Target(network, folder, "one", ADDRESS)
    try:
        target.boot(key, pebble.trust)
        yield target
    finally:
        target.close()


def test_boots_whole(target: Target) -> None:
    assert target.ask("systemctl is-system-running") == "running"
    assert target.run("ps -p 1 -o comm=") == "systemd"


def test_both_accounts_may_become_root(target: Target) -> None:
    assert target.run("id -un") == "root"
    assert target.run("id -un", ADMIN) == ADMIN
    assert target.run("sudo -n id -un", ADMIN) == "root"


@pytest.mark.parametrize(("denied", "said"), [("", "3"), (OUTSIDE, "Operation not permitted")])
def test_a_denied_packet_is_denied(target: Target, denied: str, said: str) -> None:
    (target.root / "root/send.py").write_text(SEND)
    assert (
        target.run(f"systemd-run --quiet --wait --pipe -p IPAddressDeny={denied} python3 /root/send.py")
        == said
    )
    (target.root / "root/send.py").unlink()


def test_a_snapshot_sees_files_and_units(target: Target) -> None:
    before = target.snapshot()
    assert before.difference(target.snapshot()) == []
    unit = "/etc/systemd/system/new.service"
    target.run(
        f"printf '[Service]\\nExecStart=/bin/true\\n' >{unit}; echo >>/etc/issue; systemctl daemon-reload"
    )
    marks = before.difference(target.snapshot())
    target.run(f"rm {unit}; systemctl daemon-reload")
    assert marks == ["! /etc/issue", f"+ {unit}", "+ new.service static -"]


def test_the_authority_gives_certificates(target: Target) -> None:
    said = target.run(
        f"certbot certonly --standalone --non-interactive --agree-tos --register-unsafely-without-email"
        f" --server {DIRECTORY} -d {NAME} && cat /etc/letsencrypt/live/{NAME}/fullchain.pem"
    )
    assert "BEGIN CERTIFICATE" in said
