"""What is this machine's, in a network namespace whose addresses the test decides."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from turn.own import MAX_ANSWERS, Own, own_addresses

ROOT = Path(__file__).parents[2]

ASK = """
import sys
from ipaddress import ip_address
from subprocess import run
from turn.own import own_addresses
own = own_addresses()
for command in ("addr add 203.0.113.77/24 dev here", "addr add 2001:db8::77/64 dev here nodad",
                "route add local 198.51.100.0/24 dev lo"):
    run(["ip", *command.split()], check=True)
print(*[ip for ip in sys.argv[1:] if ip_address(ip).packed in own])
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    name = f"own-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in ("link set lo up", "link add here type veth peer name there", "link set here up"):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        subprocess.run(["ip", "-n", name, "addr", "add", "192.0.2.7/24", "dev", "here"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_addresses_that_came_after_the_reading_are_known(namespace: str) -> None:
    own = ["192.0.2.7", "203.0.113.77", "2001:db8::77", "198.51.100.9", "127.0.0.1", "::1"]
    others = ["192.0.2.8", "203.0.113.78", "2001:db8::78", "8.8.8.8", "0.0.0.0", "::", "224.0.0.1"]
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", ASK, *own, *others],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == own


def test_own_addresses_are_bytes() -> None:
    own = own_addresses()
    assert b"\x7f\0\0\1" in own
    assert {len(ip) for ip in own} <= {4, 16}


def test_what_strangers_ask_for_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.own.stays_here", lambda _: False)
    own = Own([ip_address("192.0.2.7").packed])
    for number in range(2 * MAX_ANSWERS + 1):
        assert number.to_bytes(4, "big") not in own
    assert len(own.answers) <= MAX_ANSWERS
