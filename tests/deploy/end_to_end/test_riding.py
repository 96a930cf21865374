"""Calls ride in the kernel on a machine that was deployed to; when Calln has gone nothing of that is left.

The tests are stages of one story, in order; a live call goes through the upgrade.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.deploy.end_to_end.admin import Admin
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.outside import Call
from tests.deploy.end_to_end.pebble import DIRECTORY
from tests.deploy.end_to_end.target import WITH_BPF, WITHOUT_BPF, Snapshot, Target

ROOT = Path(__file__).parents[3]
URL = f"https://{NAME}/"
CONFIG = {
    "site": {"url": URL.rstrip("/")},
    "deploy": {"hosts": f"root@{ADDRESSES[NAME]}", "acme_directory": DIRECTORY},
}
CHANGED, ANOTHER = "server/signalling/lobby.py", "\n# another release\n"
PINS = "/sys/fs/bpf/calln"
KERNEL = "systemctl list-units --plain --no-legend --state=active 'calln-kernel@*' | wc -l"
# How many programs are attached in the network where it runs; 16 is BPF_PROG_QUERY, 46 is tcx.
ATTACHED = """
import ctypes, socket, struct
system, count = ctypes.CDLL(None), 0
for index, _ in socket.if_nameindex():
    asked = ctypes.create_string_buffer(struct.pack("II", index, 46), 64)
    assert system.syscall(321, 16, asked, 64) == 0
    count += struct.unpack_from("I", asked, 24)[0]
print(count)
"""
BAN = """
table inet ban {
  chain in { type filter hook input priority 0; policy accept; meta l4proto udp drop; }
}
"""
PATIENCE = 60  # seconds
PACKETS = 200  # of a call: what two streams carry before they are proved is less

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def targets(target: Target, before: Snapshot) -> list[Target]:
    return [target]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call(browser: Browser) -> Call:
    return await Call.open(browser, URL)


def attached(target: Target) -> int:
    command = target.inside(sys.executable, "-c", ATTACHED)
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def rode(target: Target) -> int:
    """Packets that the newest relay has not carried itself."""
    return int(target.run('calln relay stats | awk \'$2 == "packets" && $4 == "kernel" {print $1}\''))


def pins(target: Target) -> set[str]:
    return set(target.ask(f"ls {PINS}").split())


def folder_of(target: Target) -> str:
    return Path(target.run("readlink /opt/calln/current")).name.replace(".", "_")


async def until_detached(target: Target) -> None:
    """Linux takes a program off its interface some time after its pin has gone."""
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(attached, target):
            await asyncio.sleep(0.1)


async def until_rides(target: Target) -> None:
    before = await asyncio.to_thread(rode, target)
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(rode, target) < before + PACKETS:
            await asyncio.sleep(1)


async def until_alone(target: Target, release: str) -> None:
    """Until nothing is left of an older release."""
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(pins, target) != {release}:
            await asyncio.sleep(1)


async def test_a_deployment_brings_it(admin: Admin, target: Target) -> None:
    assert attached(target) == 0
    assert "calln-kernel@.service" in await admin.deploy("plan", named="plan of what rides")
    await admin.deploy("apply", named="first deploy of what rides")
    assert target.ask("systemctl is-system-running") == "running"
    assert pins(target) == {folder_of(target)}
    assert attached(target) == len(target.run("ip -o link").splitlines())


async def test_the_relay_has_no_capability(target: Target) -> None:
    relay = target.run("systemctl show --property=MainPID --value 'calln-relay@*'")
    about = target.run(f"cat /proc/{relay}/status")
    assert re.search(r"^CapBnd:\t0+$", about, re.MULTILINE)
    assert re.search(r"^CapPrm:\t0+$", about, re.MULTILINE)


async def test_a_call_rides(target: Target, call: Call) -> None:
    assert await call.ways() == {"udp"}
    await until_rides(target)
    await call.goes_on()
    assert "Calls by UDP ride in the kernel" in target.ssh("calln doctor").stdout


async def test_an_upgrade_stands_beside_it_until_its_last_call(
    admin: Admin, target: Target, call: Call, browser: Browser
) -> None:
    first = folder_of(target)
    admin.change(CHANGED, ANOTHER)
    await admin.deploy("apply", named="upgrade of what rides")
    assert pins(target) == {first, folder_of(target)} != {first}
    await call.goes_on()
    newer = await Call.open(browser, URL)
    await until_rides(target)
    await newer.close()
    await call.goes_on()
    await call.close()
    await until_alone(target, folder_of(target))
    assert target.run(KERNEL) == "1"


async def test_a_rule_of_the_firewall_ends_what_rides(admin: Admin, target: Target, browser: Browser) -> None:
    """What rides does not pass it, but the checks of a call do; the page goes on by TCP."""
    call = await Call.open(browser, URL)
    await until_rides(target)
    target.run(f"nft -f - <<'END'\n{BAN}END")
    begun = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        before = -1
        while (now := await asyncio.to_thread(rode, target)) != before:
            before, ended = now, time.monotonic()
            await asyncio.sleep(1)
    admin.times["a rule of the firewall ends what rides"] = ended - begun
    target.run("nft delete table inet ban")
    await call.close()


async def test_a_new_interface_is_served(target: Target) -> None:
    """A container has no udev, so its rule is said here."""
    rule = (target.root / "etc/udev/rules.d/60-calln.rules").read_text()
    command = re.search(r'RUN\+="([^"]+)"', rule)
    assert command is not None
    before = attached(target)
    target.run("ip link add more type veth peer name beyond")
    target.run(command[1].replace("--no-block ", ""))
    assert attached(target) == before + 2
    target.run("ip link del more")
    assert attached(target) == before


async def test_after_a_restart_of_the_machine_calls_ride(target: Target, browser: Browser) -> None:
    await asyncio.to_thread(target.reboot)
    assert target.ask("systemctl is-system-running") == "running"
    assert pins(target) == {folder_of(target)}
    call = await Call.open(browser, URL)
    await until_rides(target)
    await call.close()


async def test_a_relay_that_is_killed_rides_again(target: Target, browser: Browser) -> None:
    before = target.run(f"stat -c %i {PINS}/*/0/program")
    target.run("systemctl kill --signal=KILL 'calln-relay@*'")
    target.run("timeout 30 sh -c 'until calln relay stats >/dev/null 2>&1; do sleep 0.2; done'")
    assert target.run(f"stat -c %i {PINS}/*/0/program") == before
    call = await Call.open(browser, URL)
    await until_rides(target)
    await call.close()


async def test_where_the_machine_refuses_the_relay_carries_calls_itself(
    target: Target, browser: Browser
) -> None:
    target.rights = WITHOUT_BPF
    await asyncio.to_thread(target.reboot)
    assert target.ask("systemctl is-system-running") == "running"
    assert attached(target) == 0
    call = await Call.open(browser, URL)
    assert await call.ways() == {"udp"}
    await call.goes_on()
    assert rode(target) == 0
    await call.close()
    assert "it is not there" in target.ssh("calln doctor").stdout
    target.run("journalctl --namespace calln --sync")
    said = target.run("journalctl --namespace calln --boot --output cat --unit 'calln-kernel@*'")
    assert "it needs root, or the capabilities" in said


async def test_nothing_is_left(admin: Admin, target: Target, browser: Browser, before: Snapshot) -> None:
    target.rights = WITH_BPF
    await asyncio.to_thread(target.reboot)
    assert attached(target)
    await admin.deploy("destroy", "--purge", "--yes", named="destroy of what rides")
    await until_detached(target)
    assert not pins(target)
    assert not target.ask("tc filter show dev host0 ingress; tc qdisc show | grep clsact")
    marks = before.difference(target.snapshot())
    assert not marks, "\n".join(marks)
