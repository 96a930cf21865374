"""The days after: a machine with a firewall is looked after, its certificate renewed, and it starts anew.

The tests are stages of one story, in order; a live call goes through the renewal.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser

from tests.deploy.end_to_end.admin import Admin, changed
from tests.deploy.end_to_end.conftest import ADDRESSES, NAME
from tests.deploy.end_to_end.image import fetched
from tests.deploy.end_to_end.network import Network
from tests.deploy.end_to_end.outside import Call
from tests.deploy.end_to_end.pebble import DIRECTORY, Pebble
from tests.deploy.end_to_end.target import Snapshot, Target
from tests.host.authority import issued

URL = f"https://{NAME}/"
ADDRESS = ADDRESSES[NAME]
CONFIG = {
    "site": {"url": URL.rstrip("/")},
    "deploy": {"hosts": f"root@{ADDRESS}", "firewall": "nft", "acme_directory": DIRECTORY},
}
DAYS = 20  # certbot renews what has less than 30 left, and the doctor is content with 14
FIREWALL = """#!/usr/sbin/nft -f
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    icmp type echo-request accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    tcp dport 22 accept
  }
}
"""
BLOCKED = """
table inet blocked {
  chain out { type filter hook output priority 0; policy accept; tcp dport 5349 reject with tcp reset; }
}
"""
RULES = "nft -s list ruleset"
RENEW = "systemctl start $(systemctl show -p Unit --value certbot.timer)"
SECRETS = "grep -c . /etc/calln/secrets/turn.secret"
SOON = """
soon=$(date -u -d '+6 seconds' '+%F %T UTC')
sed -i "s/OnCalendar=.*/OnCalendar=$soon/" /etc/systemd/system/calln-withdraw.timer
systemctl daemon-reload
systemctl restart calln-withdraw.timer
"""
BANNED = "198.51.100.77"
PORTS = (80, 443, 3478, 5349)
OF_TESTS = f"{ADDRESS} is a private address"  # RFC 5737's networks are for documents, and the doctor says so

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def days() -> int:
    return DAYS


@pytest.fixture(scope="module")
def before(target: Target, pebble: Pebble) -> Snapshot:
    """The fresh machine, with a firewall that lets in SSH alone, and the authority believed there too."""
    (target.root / "etc/nftables.conf").write_text(FIREWALL)
    shutil.copy(pebble.root, target.root / "usr/local/share/ca-certificates/root.crt")
    target.run("systemctl enable --quiet --now nftables && update-ca-certificates")
    return target.snapshot()


@pytest.fixture(scope="module")
def targets(target: Target, before: Snapshot) -> list[Target]:
    return [target]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call(browser: Browser) -> Call:
    """One that goes on while the machine is looked after; relayed, so that a release has to wait for it."""
    return await Call.open(browser, URL)


def serial(network: Network, port: int) -> str:
    """Which certificate is shown to who comes now."""
    asked = f"openssl s_client -connect {ADDRESS}:{port} -servername {NAME} </dev/null 2>/dev/null"
    shown = network.outside("sh", "-c", f"{asked} | openssl x509 -noout -serial")
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout


def crosses(said: str) -> list[str]:
    """What is broken."""
    return [line for line in said.splitlines() if line.startswith("\u2717") and OF_TESTS not in line]


async def test_ports_are_opened_in_a_firewall_that_drops(admin: Admin, target: Target) -> None:
    await admin.deploy("apply", named="first deploy behind nft")
    rules = target.run(RULES)
    assert all(f"tcp dport {port} accept" in rules for port in PORTS)
    assert "udp dport 3478 accept" in rules
    assert changed(await admin.deploy("apply", named="apply that changes nothing behind nft")) == []


async def test_the_doctor_finds_a_sound_machine_sound(admin: Admin) -> None:
    """From outside through that firewall, and from inside; each line begins with a tick."""
    said = await admin.fails("doctor", named="doctor")
    assert not crosses(said)
    assert said.count("\u2713") > len(PORTS)
    for words in ("TCP port 443 answers", f"certificate at port 5349 is valid for {DAYS - 1} days"):
        assert words in said
    for way in (f"udp://{ADDRESS}:3478", f"tcp://{ADDRESS}:3478", f"tls://{ADDRESS}:443"):
        assert f"A trial call through {way} worked" in said


async def test_the_doctor_finds_what_is_broken_and_says_what_to_do(admin: Admin, target: Target) -> None:
    target.run("systemctl stop 'calln-relay@*.service'")
    said = await admin.fails("doctor", named="doctor, the relay being stopped")
    target.run("systemctl start calln-relay@$(basename $(readlink /opt/calln/current)).service")
    assert any("Nothing listens at TCP port 3478" in line for line in crosses(said))
    assert any("The relay does not answer" in line for line in crosses(said))
    assert "start it" in said


async def test_the_doctor_finds_a_port_that_a_firewall_between_closes(admin: Admin, target: Target) -> None:
    nft = target.network.outside("nft", "-f", "-")
    subprocess.run(nft, input=BLOCKED, text=True, check=True)
    said = await admin.fails("doctor", named="doctor, a port being closed between")
    subprocess.run(nft, input="delete table inet blocked", text=True, check=True)
    assert all("5349" in line for line in crosses(said))
    assert "a firewall on the way rejects the connection" in said


async def test_a_certificate_is_renewed_under_a_live_call(target: Target, browser: Browser) -> None:
    """By what certbot's own timer starts."""
    call = await Call.open(browser, URL)
    older = {serial(target.network, port) for port in (443, 5349)}
    assert len(older) == 1
    assert target.ask("systemctl is-active certbot.timer") == "active"
    target.run(f"systemctl start {target.run('systemctl show -p Unit --value certbot.timer')}")
    newer = {serial(target.network, port) for port in (443, 5349)}
    assert len(newer) == 1
    assert newer != older
    await call.goes_on()
    another = await Call.open(browser, URL)
    await another.close()
    await call.close()


async def test_the_doctor_finds_a_certificate_that_has_ended(admin: Admin, target: Target) -> None:
    """Put there by hand: seen from outside, and in the file."""
    files = target.root / "etc/calln/tls"
    kept = admin.folder / "kept"
    shutil.copytree(files, kept)
    for new, name in zip(issued(admin.folder, -2, -1), ("fullchain.pem", "privkey.pem"), strict=True):
        (files / name).write_bytes(new.read_bytes())
    target.run("systemctl reload 'calln-server@*.service' 'calln-relay@*.service'")
    said = await admin.fails("doctor", named="doctor, the certificate having ended")
    assert any("no client can use TLS" in line for line in crosses(said))
    assert "renew it" in said
    assert any("Browsers refuse the certificate at port 443" in line for line in crosses(said))
    for path in kept.iterdir():
        (files / path.name).write_bytes(path.read_bytes())
    target.run("systemctl reload 'calln-server@*.service' 'calln-relay@*.service'")


async def test_what_a_backup_holds_comes_back(admin: Admin, target: Target) -> None:
    """Bans and secrets, to a machine that lost them."""
    secrets = target.run("sha256sum /etc/calln/secrets/* /etc/letsencrypt/live/calln/privkey.pem")
    target.run(f"calln ban add {BANNED}")
    await admin.deploy("backup", str(admin.folder), named="backup")
    [archive] = admin.folder.glob("*.tar.gz")
    assert archive.stat().st_mode & 0o077 == 0
    target.run(f"calln ban remove {BANNED} && echo another > /etc/calln/secrets/turn.secret")
    assert "Now run calln deploy apply" in await admin.deploy("restore", str(archive), named="restore")
    await admin.deploy("apply", named="apply after a restore")
    assert BANNED in target.run("calln ban list")
    assert target.run("sha256sum /etc/calln/secrets/* /etc/letsencrypt/live/calln/privkey.pem") == secrets
    assert not crosses(await admin.fails("doctor", named="doctor after a restore"))


async def test_status_and_logs(admin: Admin, target: Target) -> None:
    release = Path(target.run("readlink /opt/calln/current")).name
    said = await admin.deploy("status")
    assert f"current release: {release}" in said
    assert f"server {release}: running, ready" in said
    assert f"relay {release}: running, ready" in said
    logs = await admin.deploy("logs")
    assert {"calln-relay", "calln-server"} <= {
        line.split()[2].partition("[")[0] for line in logs.splitlines()
    }
    entries = map(json.loads, target.run("journalctl --namespace=calln --quiet --output=json").splitlines())
    lines = [(entry["SYSLOG_IDENTIFIER"], entry["PRIORITY"]) for entry in entries if "_PID" in entry]
    assert {("calln-relay", "6"), ("calln-server", "6")} <= set(lines)
    assert BANNED not in logs


async def test_what_drains_is_not_asked_to_read_anything(admin: Admin, target: Target, call: Call) -> None:
    """An older release waits for a call while a secret changes and a certificate is renewed."""
    older = Path(target.run("readlink /opt/calln/current")).name
    admin.file.write_text(yaml.safe_dump({**CONFIG, "site": {**CONFIG["site"], "name": "Another name"}}))
    await admin.deploy("apply", named="apply with another name, under a call")
    assert target.ask(f"systemctl is-active calln-relay@{older}") == "deactivating"
    await admin.deploy("secrets", "rotate", named="rotate while an older release drains")
    target.run(RENEW)
    (target.root / "etc/calln/secrets/turn.secret").chmod(0o600)
    assert "turn.secret" in await admin.deploy("apply", named="apply with a changed secret, under a call")
    await call.goes_on()


async def test_all_is_up_again_when_the_machine_has_started_anew(
    admin: Admin, target: Target, browser: Browser, call: Call
) -> None:
    """It goes down at once, though an older release still waits for the last call; and the time at which the
    old secret is to be withdrawn passes meanwhile."""
    rules = target.run(RULES)
    assert target.run(SECRETS) == "2"
    target.run(SOON)
    assert "deactivating" in target.run("systemctl list-units --plain --no-legend 'calln-relay@*'")
    await asyncio.to_thread(target.reboot)
    await call.close()
    assert target.ask("systemctl is-system-running") == "running"
    assert not crosses(await admin.fails("doctor", named="doctor after a restart of the machine"))
    assert changed(await admin.deploy("apply", named="apply after a restart of the machine")) == []
    assert target.run(RULES) == rules
    call = await Call.open(browser, URL)
    await call.close()


async def test_an_old_secret_is_withdrawn_though_the_machine_has_started_anew(target: Target) -> None:
    target.run(f"timeout 60 sh -c 'until test $({SECRETS}) = 1; do sleep 0.5; done'")
    assert (
        target.run("ls /etc/systemd/system").count("calln-withdraw") == 1
    )  # its service, and no timer any more


async def test_destroy_closes_the_ports_again(admin: Admin, target: Target) -> None:
    await admin.deploy("destroy", "--yes", named="destroy behind nft")
    rules = target.run(RULES)
    assert "tcp dport 22 accept" in rules
    assert not any(f"dport {port}" in rules for port in PORTS)


async def test_ufw_comes_by_apt_and_lets_us_in(admin: Admin, target: Target) -> None:
    """The step that installs packages, from what apt fetched before, as no mirror is in this network."""
    for package in fetched(target.suite, "ufw"):
        shutil.copy(package, target.root / "var/cache/apt/archives")
    target.run("systemctl disable --quiet --now nftables && nft flush ruleset")
    config = {**CONFIG, "deploy": {**CONFIG["deploy"], "firewall": "ufw"}}
    admin.file.write_text(yaml.safe_dump(config))
    assert "ufw" in await admin.deploy("plan", named="plan with a package to install")
    await admin.deploy("apply", named="apply with a package to install")
    target.run("ufw allow 22/tcp && ufw --force enable")
    assert not crosses(await admin.fails("doctor", named="doctor behind ufw"))
    assert changed(await admin.deploy("apply", named="apply that changes nothing behind ufw")) == []
    assert "Calln" in target.run("ufw status")
    await admin.deploy("destroy", "--purge", "--yes", named="destroy behind ufw")
    assert "Calln" not in target.run("ufw status")


async def test_nothing_of_ours_is_left(target: Target, before: Snapshot) -> None:
    marks = [line for line in before.difference(target.snapshot()) if "calln" in line.lower()]
    assert not marks, "\n".join(marks)
