"""The ports for a cloud's firewall: the right ones for each machine, in commands that a shell understands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.cli.commands import COMMANDS
from deploy.remote.cloud_firewall import FORMS, groups, render_firewall
from deploy.remote.hosts import ConfigFile, parse_config_file
from tests.deploy.example_configs import CONFIGS

PAGES = [("tcp", "80"), ("tcp", "443")]
RELAY = [("udp", "3478"), ("tcp", "3478"), ("tcp", "5349"), ("udp", "49152-65535")]
ALONE = [("tcp", "443"), *RELAY]  # no page is in the way of TURN over TLS
SSH = ("tcp", "22")


def source(name: str, more: str = "") -> ConfigFile:
    return parse_config_file(CONFIGS[name] + more, Path("config.yaml"))


def opened(source: ConfigFile) -> dict[str, list[tuple[str, str]]]:
    return {group.name: [(rule.protocol, rule.range) for rule in group.rules] for group in groups(source)}


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("one machine", "", {"calln": [SSH, *PAGES, *RELAY]}),
        ("a relay alone", "", {"calln-relay": [SSH, ("tcp", "80"), *ALONE]}),
        ("two machines", "", {"calln-server": [SSH, *PAGES], "calln-relay": [SSH, ("tcp", "80"), *ALONE]}),
        ("behind a proxy", "", {"calln": [SSH, *RELAY]}),
        ("one machine", "deploy: {hosts: local}\n", {"calln": [*PAGES, *RELAY]}),
        (
            "one machine",
            "deploy: {hosts: 'root@call.example.org:2222'}\nturn: {relay_ports: 30000-30099}\n",
            {"calln": [("tcp", "2222"), *PAGES, *RELAY[:-1], ("udp", "30000-30099")]},
        ),
    ],
)
def test_each_machine_opens_what_it_serves(
    name: str, more: str, expected: dict[str, list[tuple[str, str]]]
) -> None:
    found = opened(source(name, more))
    assert {group: sorted(rules) for group, rules in found.items()} == {
        group: sorted(rules) for group, rules in expected.items()
    }


def test_machines_with_the_same_ports_are_one_group() -> None:
    hosts = ", ".join(f"{{address: root@r{number}.example.org, roles: turn}}" for number in (1, 2))
    text = f"site: {{url: 'https://r1.example.org'}}\ndeploy: {{hosts: [{hosts}]}}\n"
    (group,) = groups(parse_config_file(text, Path("config.yaml")))
    assert group.machines == ("r1.example.org", "r2.example.org")


@pytest.mark.parametrize("form", ["aws", "hcloud", "gcloud"])
@pytest.mark.parametrize("name", ["one machine", "two machines"])
def test_commands_are_shell_and_name_every_port(tmp_path: Path, form: str, name: str) -> None:
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/bash\n" + render_firewall(source(name), form))
    subprocess.run(["shellcheck", script], check=True)
    for rules in opened(source(name)).values():
        for _, ports in rules:
            low, _, high = ports.partition("-")
            sought = f"FromPort={low},ToPort={high or low}" if form == "aws" else ports
            assert sought in script.read_text()


def test_the_table_is_aligned() -> None:
    head, _, *rows = render_firewall(source("one machine"), "table").splitlines()
    assert head == "call.example.org"
    assert {row.index(row[18:]) for row in rows} == {18}
    assert "udp  49152-65535  calls that go through the relay" in rows


def test_terraform_has_a_group_with_every_port_for_each_kind_of_machine() -> None:
    text = render_firewall(source("two machines"), "terraform")
    assert text.count("{") == text.count("}")
    for name in ("calln_server", "calln_relay"):
        assert f'resource "aws_security_group" "{name}"' in text
        assert f"for_each = local.{name}" in text
    assert 'udp_49152 = { protocol = "udp", first = 49152, last = 65535' in text


def test_the_command_knows_all_forms() -> None:
    (command,) = (one for one in COMMANDS if one.words == "deploy firewall")
    assert command.options[0].settings["choices"] == FORMS
