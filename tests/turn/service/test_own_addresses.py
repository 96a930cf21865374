"""Which addresses are this machine's, in a network namespace whose addresses the test sets."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from turn.service.own_addresses import MAX_ANSWERS, OwnAddresses, own_addresses

ROOT = Path(__file__).parents[3]

# Run in a network namespace of its own: it ends with the process.
ASK = """
import sys
from ipaddress import ip_address
from subprocess import run
from turn.service.own_addresses import own_addresses
def ip(*lines):
    for line in lines:
        run(["ip", *line.split()], check=True)
ip("link set lo up", "link add here type veth peer name there", "link set here up",
   "addr add 192.0.2.7/24 dev here")
own = own_addresses()
ip("addr add 203.0.113.77/24 dev here", "addr add 2001:db8::77/64 dev here nodad",
   "route add local 198.51.100.0/24 dev lo")
print(*[address for address in sys.argv[1:] if ip_address(address).packed in own])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_addresses_that_came_after_the_reading_are_known() -> None:
    own = ["192.0.2.7", "203.0.113.77", "2001:db8::77", "198.51.100.9", "127.0.0.1", "::1"]
    others = ["192.0.2.8", "203.0.113.78", "2001:db8::78", "8.8.8.8", "0.0.0.0", "::", "224.0.0.1"]
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", ASK, *own, *others],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == own


@pytest.fixture
def no_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("no_descriptors")
def test_who_cannot_ask_takes_everything_for_its_own() -> None:
    assert ip_address("8.8.8.8").packed in OwnAddresses([])


def test_own_addresses_are_bytes() -> None:
    own = own_addresses()
    assert b"\x7f\0\0\1" in own
    assert {len(ip) for ip in own} <= {4, 16}


def test_what_strangers_ask_for_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turn.service.own_addresses.stays_here", lambda _: False)
    own = OwnAddresses([ip_address("192.0.2.7").packed])
    for number in range(2 * MAX_ANSWERS + 1):
        assert number.to_bytes(4, "big") not in own
    assert len(own.answers) <= MAX_ANSWERS
