"""The machines of the other tests are what they claim: booted, reachable, with an authority, and filtered."""

from __future__ import annotations

import pytest

from tests.deploy.end_to_end.conftest import NAME
from tests.deploy.end_to_end.image import ADMIN
from tests.deploy.end_to_end.network import OUTSIDE
from tests.deploy.end_to_end.pebble import DIRECTORY
from tests.deploy.end_to_end.target import Target

SEND = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    try:
        print(client.sendto(b"out", ("{OUTSIDE}", 9)))
    except PermissionError as error:
        print(error.strerror)
"""


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
