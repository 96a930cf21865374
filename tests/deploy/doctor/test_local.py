"""What the doctor says of a healthy machine, and of each illness."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from config.file import load_config
from deploy.cli.main import main
from deploy.doctor import local as doctor
from deploy.doctor.machine import Finding, LocalMachine
from tests.deploy.doctor.local_machine import local_machine
from tests.host.authority import issued
from tests.ports import free_port
from tests.turn.engines.certificates import certificate
from tests.turn.engines.world import End
from tests.turn.process.relay_process import Elsewhere, elsewhere
from tests.turn.service.running import RELAYED
from tests.turn.service.stun_server import Reply, server, xored
from turn.service import public_address

Capture = pytest.CaptureFixture[str]


async def test_a_healthy_relay(running: Elsewhere, capsys: Capture) -> None:
    await asyncio.to_thread(main, ["doctor", "--config", str(running.file)])
    said = capsys.readouterr().out
    for words in (
        "\u2713 The configuration is valid.",
        f"\u2713 The relay runs at {running.listener}.",
        "\u2713 The relay can only be used on this machine (127.0.0.1).",
        f"\u2713 A trial call through {running.listener} worked.",
        "\u2713 No server speaks to the relay",
        "\u2713 No limit has been reached since the relay started.",
    ):
        assert words in said


def test_any_cross_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("site: {state_dir: state}\n")
    for well, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(doctor, "CHECKS", [lambda _, well=well: [Finding(well, "so it is", "do this")]])
        assert main(["doctor", "--config", str(file)]) == code
    assert capsys.readouterr().out == "\u2713 so it is\n\u2717 so it is\n    do this\n"


def test_without_a_relay_its_ports_are_tried(tmp_path: Path) -> None:
    squatter = End()
    free = f"tcp://[::1]:{free_port()}"
    file = tmp_path / "config.yaml"
    keys = f"relay_ports: {RELAYED}, listen: ['{squatter.address}', '{free}']"
    file.write_text(f"site: {{state_dir: s}}\nturn: {{{keys}}}\n")
    config = load_config(file)
    assert doctor.relay_figures(config) is None
    silent, taken, other = doctor.check_ports(LocalMachine(config, None))
    squatter.close()
    assert (silent.well, "start it" in silent.advice) == (False, True)
    assert (taken.well, "stop what has the port" in taken.advice) == (False, True)
    assert other == Finding(True, f"{free} is free.")
    for check in (doctor.check_calls, doctor.check_certificate, doctor.check_refusals):
        assert not list(check(LocalMachine(config, None)))


def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    [finding] = doctor.check_configuration(local_machine(secret_file=str(tmp_path / "gone")))
    assert not finding.well
    assert "gone: No such file" in finding.text


OUTSIDE = [  # leaves from, keys, seen from outside -> well, words
    ("8.8.8.8", {}, False, True, "reach the relay at 8.8.8.8"),
    ("127.0.0.1", {}, False, True, "only be used on this machine"),
    ("10.0.0.5", {}, False, False, "10.0.0.5 is a private address"),
    ("10.0.0.5", {"external_ip": "auto"}, False, False, "10.0.0.5 is a private address"),
    ("10.0.0.5", {"external_ip": "auto"}, True, True, "reach the relay at 203.0.113.5"),
    ("10.0.0.5", {"external_ip": "8.8.8.8/10.0.0.5"}, False, True, "reach the relay at 8.8.8.8"),
    ("10.0.0.5", {"external_ip": "203.0.113.5/10.0.0.5"}, True, True, "reach the relay at 203.0.113.5"),
    (
        "10.0.0.5",
        {"external_ip": "8.8.8.8/10.0.0.5"},
        True,
        False,
        "address 8.8.8.8, but this machine has the public address 203.0.113.5",
    ),
]


@pytest.mark.parametrize(("local", "keys", "asked", "well", "words"), OUTSIDE)
def test_how_others_reach_it(
    local: str, keys: dict[str, Any], asked: bool, well: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_address, "source_towards", lambda host: ip_address(local).packed)
    with server(xored) as place:
        named: dict[str, Any] = {"stun_servers": f"{place.host}:{place.port}"} if asked else {}
        [finding] = doctor.check_public_address(local_machine(**keys, **named))
    assert (finding.well, words in finding.text) == (well, True), finding


def test_ipv6_of_a_private_network_is_no_illness_beside_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = {"192.0.2.1": "8.8.8.8", "2001:db8::1": "fd00::5"}
    monkeypatch.setattr(public_address, "source_towards", lambda host: ip_address(leaves[host]).packed)
    both = ["udp://0.0.0.0:3478", "udp://[::]:3478"]
    assert [finding.well for finding in doctor.check_public_address(local_machine(listen=both))] == [
        True,
        True,
    ]
    assert [finding.well for finding in doctor.check_public_address(local_machine(listen=both[1]))] == [False]


@pytest.mark.parametrize(
    ("host", "way", "well"),
    [("2001:db8::5", True, True), ("192.0.2.9", True, False), ("2001:db8::5", False, False)],
)
def test_a_machine_with_ipv6_alone(host: str, way: bool, well: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Well if its name leads to nothing else; else callers would try an address that it has lost."""
    leaves = {"192.0.2.1": None, "2001:db8::1": ip_address("2600:1900::5").packed if way else None}
    monkeypatch.setattr(public_address, "source_towards", leaves.__getitem__)
    both = ["udp://0.0.0.0:3478", "udp://[::]:3478"]
    four, _ = doctor.check_public_address(local_machine(listen=both, host=host))
    assert four.well is well


def test_a_machine_without_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_address, "source_towards", lambda host: None)
    four, six = doctor.check_public_address(local_machine(listen=["udp://0.0.0.0:3478", "udp://[::]:3478"]))
    assert (four.well, six.well) == (False, True)


async def test_the_nat_in_front_has_a_name(tmp_path: Path) -> None:
    """Asked of a relay of ours that speaks RFC 3489, from a machine without NAT."""
    ports = sorted(free_port() for _ in range(2))
    places = [f"udp://{host}:{port}" for host in ("127.0.0.1", "127.0.0.2") for port in ports]
    async with elsewhere(tmp_path, listen=places, classic_stun=True, behaviour_discovery=True):
        asked = local_machine(listen=places, stun_servers=f"127.0.0.1:{ports[0]}")
        [finding] = await asyncio.to_thread(lambda: list(doctor.check_nat(asked)))
    assert finding[:2] == (True, "The NAT in front of this machine: Open Internet.")


def silence(transaction: bytes) -> list[bytes]:
    return []


@pytest.mark.parametrize("reply", [silence, xored])
def test_a_server_that_cannot_tell_is_not_waited_for(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NAT_SECONDS", 1.0)
    with server(reply) as place:
        keys: dict[str, Any] = {"listen": "udp://127.0.0.1:3478", "stun_servers": f"127.0.0.1:{place.port}"}
        [finding] = doctor.check_nat(local_machine(**keys))
    assert (finding.well, "RFC 3489" in finding.advice) == (False, True)


def test_nobody_is_asked_about_nat_unless_named() -> None:
    assert not list(doctor.check_nat(local_machine()))


async def test_a_call_with_a_secret_that_the_relay_does_not_know(running: Elsewhere) -> None:
    told = local_machine([], listen=str(running.listener), secret="a secret that nobody knows")
    [finding] = await asyncio.to_thread(lambda: list(doctor.check_calls(told)))
    assert (finding.well, "401" in finding.text) == (False, True)


def test_a_machine_that_is_a_proxy_makes_no_call_of_its_own() -> None:
    keys = {"listen": "127.0.0.1:3478", "proxies": "127.0.0.1/32", "secret": "sixteen bytes or more"}
    told = list(doctor.check_calls(local_machine([], **keys)))
    assert [(finding.well, "try a call through your proxy" in finding.text) for finding in told] == [
        (True, True)
    ] * 2


def test_a_certificate_that_is_over_and_files_that_are_none(tmp_path: Path) -> None:
    old = issued(tmp_path, -9, -2)
    place = f"tls://127.0.0.1:{free_port()}"
    for key, words in ((old.key, "has expired: no client can use TLS"), (old.chain, "No TLS")):
        asked = local_machine(None, listen=place, certificate=str(old.chain), key=str(key))
        [finding] = doctor.check_certificate(asked)
        assert (finding.well, words in finding.text) == (False, True)


async def test_what_browsers_would_say_of_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = certificate()
    place = f"tls://127.0.0.1:{free_port()}"
    keys: dict[str, Any] = {"certificate": str(shown.chain), "key": str(shown.key), "listen": place}
    asked = local_machine([], **keys, host="localhost")
    own = tmp_path / "deploy.yaml"
    async with elsewhere(tmp_path, **keys):
        [refused] = await asyncio.to_thread(lambda: list(doctor.check_certificate(asked)))
        own.write_text("deploy: {tls: internal}\n")
        monkeypatch.setattr(doctor, "OPERATORS", str(own))
        [internal] = await asyncio.to_thread(lambda: list(doctor.check_certificate(asked)))
        own.unlink()
        monkeypatch.setenv("SSL_CERT_FILE", str(shown.chain))
        [trusted] = await asyncio.to_thread(lambda: list(doctor.check_certificate(asked)))
    [gone] = doctor.check_certificate(asked)
    assert (refused.well, "self-signed" in refused.text) == (False, True)
    assert internal.text == trusted.text
    assert "is valid for" in trusted.text
    assert (gone.well, "refused" in gone.text) == (False, True)


def figure(name: str, value: float, **labels: str) -> dict[str, Any]:
    return {"name": f"calln_relay_{name}", "labels": labels, "value": value}


REFUSED = [
    ([figure("refusals_total", 7, code="401"), figure("drops_total", 3, reason="method")], []),
    (
        [figure("refusals_total", 2, code="486")],
        ["2 allocations refused because a user or an address had too many"],
    ),
    (
        [
            figure("limited_packets_total", 2, transport="udp", family="ipv4"),
            figure("limited_packets_total", 3, transport="tcp", family="ipv4"),
        ],
        ["5 packets dropped because there were too many"],
    ),
    (
        [figure("drops_total", 4, reason="strangers"), figure("drops_total", 1, reason="new peers")],
        ["1 packets dropped because a user had too many new peers", "4 strangers not answered"],
    ),
    (
        [
            figure("refused_connections_total", 2, limit="connections"),
            figure("refused_connections_total", 3, limit="connections of an address"),
            figure("events_total", 6, event="locked out"),
            figure("drops_total", 7, reason="wrong signatures"),
            figure("drops_total", 8, reason="pace"),
        ],
        [
            "8 packets outside of running calls dropped because there were too many",
            "5 TCP connections refused",
            "6 logins refused after too many wrong passwords",
            "7 requests with a wrong signature dropped",
        ],
    ),
]


@pytest.mark.parametrize(("figures", "words"), REFUSED)
def test_refusals_by_limits_are_told(figures: list[dict[str, Any]], words: list[str]) -> None:
    findings = list(doctor.check_refusals(local_machine(figures)))
    told = [finding.text.removeprefix("Since the relay started: ").rstrip(".") for finding in findings]
    if words:
        assert (told, any(finding.well for finding in findings)) == (words, False)
    else:
        assert findings == [Finding(True, "No limit has been reached since the relay started.")]
