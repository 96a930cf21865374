"""What the units forbid is forbidden: a program in the place of ours tries it, on a booted Debian."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.remote.render import Traits, render
from tests.deploy.end_to_end.network import NETWORK, OUTSIDE, Network
from tests.deploy.end_to_end.pebble import Pebble
from tests.deploy.end_to_end.target import Target, booted
from tests.deploy.example_configs import CONTENTS, machines, written

SUITES = {"bookworm": f"{NETWORK}.20", "trixie": f"{NETWORK}.21"}
UNITS = ("calln-relay@", "calln-server@")
DROP_IN = """[Service]
Type=oneshot
ExecStart=
ExecStart=/usr/bin/python3 -I /opt/tries.py
Restart=no
WatchdogSec=0
"""
DONE = "done"
# Each is an expression; what it must come to: DONE, or the name of the error.
TRIES: dict[str, tuple[str, str]] = {
    "a packet to the outside": (f"send('{OUTSIDE}')", DONE),
    "a packet to this machine": ("send('127.0.0.1')", "PermissionError"),
    "another one": ("send('127.8.9.10')", "PermissionError"),
    "a packet to this machine by IPv6": ("send('::1')", "PermissionError"),
    "a packet to the metadata service": ("send('169.254.169.254')", "PermissionError"),
    "a raw socket": ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "PermissionError"),
    "a packet socket": ("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", "OSError"),
    "a low port": ("socket.socket().bind(('', 81))", "PermissionError"),
    "its state folder": ("open('/var/lib/calln/try', 'w').close()", DONE),
    "a file in /etc": ("open('/etc/try', 'w')", "OSError"),
    "a file in /opt": ("open('/opt/try', 'w')", "OSError"),
    "root's files": ("os.listdir('/root')", "PermissionError"),
    "root's keys": ("open('/etc/shadow')", "PermissionError"),
    "a disk": ("os.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))", "PermissionError"),
    "becoming root": ("os.setuid(0)", "PermissionError"),
    "a namespace": ("call('unshare', 0x10000000)", "PermissionError"),
    "mounting": ("call('mount', b'none', b'/tmp', b'tmpfs', 0, None)", "PermissionError"),
    "tracing": ("call('ptrace', 16, 1, 0, 0)", "PermissionError"),
    "something in the kernel": (
        "call('syscall', 321, 0, struct.pack('4I', 2, 4, 4, 1).ljust(128, bytes(1)), 128)",
        "PermissionError",
    ),
    "another personality": ("call('personality', 8)", "PermissionError"),
    "memory to write and run": ("mmap.mmap(-1, 4096, prot=7)", "PermissionError"),
    "another priority": ("os.setpriority(os.PRIO_PROCESS, 0, 5)", "PermissionError"),
    "a kernel setting": ("open('/sys/kernel/mm/ksm/run', 'w')", "OSError"),
    "no core dump": ("expect(resource.getrlimit(resource.RLIMIT_CORE), (0, 0))", DONE),
    "a core dump": ("resource.setrlimit(resource.RLIMIT_CORE, (1, 1))", "ValueError"),
    "a setuid file": ("os.chmod('/var/lib/calln/try', 0o4755)", "PermissionError"),
}
PROGRAM = """
import ctypes, json, mmap, os, resource, socket, stat, struct

def send(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.sendto(b"out", (address, 9))

def call(name, *words):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*words) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

def expect(value, wanted):
    if value != wanted:
        raise OSError(0, f"{value} instead of {wanted}")

said = {}
for name, (expression, _) in TRIES.items():
    try:
        eval(expression)
        said[name] = "done"
    except (OSError, ValueError) as error:
        said[name] = type(error).__name__
print(json.dumps(said))
"""


@pytest.fixture(scope="module", params=SUITES)
def target(
    request: pytest.FixtureRequest, network: Network, folder: Path, pebble: Pebble, key: Path
) -> Iterator[Target]:
    one = Target(network, folder, request.param, SUITES[request.param], request.param)
    with booted(one, key, pebble.trust):
        yield one


@pytest.fixture(scope="module")
def furnished(target: Target) -> Target:
    """A machine with our files, but no release."""
    source, (machine,) = written("one machine"), machines("one machine")
    files = render(source, machine, CONTENTS, Traits(container=True))
    for file in files:
        place = target.root / file.path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.text)
        place.chmod(file.mode)
    (target.root / "opt/tries.py").write_text(f"TRIES = {TRIES!r}\n{PROGRAM}")
    target.run("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload")
    return target


@pytest.fixture(scope="module")
def said(furnished: Target) -> dict[str, dict[str, str]]:
    """What came of each try, by unit."""
    return {unit: tried(furnished, f"{unit}try.service") for unit in UNITS}


def tried(machine: Target, unit: str) -> dict[str, str]:
    place = f"/run/systemd/system/{unit}.d"
    machine.run(f"mkdir -p {place} && cat >{place}/try.conf <<'END'\n{DROP_IN}END\nsystemctl daemon-reload")
    machine.run(f"systemctl start {unit} || {{ systemctl status {unit}; false; }}")
    machine.run("journalctl --namespace calln --sync")
    lines = machine.run(f"journalctl --namespace calln --quiet --output cat --unit {unit}").splitlines()
    return dict(json.loads(next(line for line in lines if line.startswith("{"))))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", TRIES)
def test_what_is_forbidden(said: dict[str, dict[str, str]], name: str, unit: str) -> None:
    assert said[unit][name] == TRIES[name][1]


def test_no_unit_speaks_of_a_line_that_it_does_not_know(furnished: Target) -> None:
    units = " ".join(f"{unit}try.service" for unit in UNITS)
    done = furnished.ssh(f"systemd-analyze verify --man=no {units} 2>&1 | grep -v -e 'try.py' || true")
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_of_its_memory_is_swapped(furnished: Target, unit: str) -> None:
    """As systemd has understood it; where the kernel counts swap by cgroups of version 2, it keeps to it."""
    assert furnished.run(f"systemctl show --property=MemorySwapMax --value {unit}try.service") == "0"


@pytest.mark.parametrize("unit", UNITS)
def test_exposure(furnished: Target, unit: str) -> None:
    done = furnished.ssh(f"systemd-analyze security --threshold=15 --no-pager {unit}try.service | tail -n 1")
    assert done.returncode == 0, done.stdout
