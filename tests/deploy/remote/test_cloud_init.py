"""User data: a file that cloud-init reads, with a configuration that means this machine, and no secret."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.file import parse_config
from deploy.cli.commands import COMMANDS
from deploy.remote.cloud_init import LONGEST_WAIT, MAX_BYTES, render_user_data
from deploy.remote.hosts import parse_config_file
from deploy.remote.orders import DeployError
from tests.deploy.example_configs import CONFIGS

PACKAGE = "https://downloads.example.org/calln_0.1.0_amd64.deb"
SHA256 = "0123456789abcdef" * 4


def user_data(text: str, url: str = PACKAGE, sha256: str = "", folder: Path = Path()) -> dict[str, Any]:
    made = render_user_data(parse_config_file(text, folder / "config.yaml"), url, sha256)
    assert made.startswith("#cloud-config\n")
    values: dict[str, Any] = yaml.safe_load(made)  # YAML 1.1, as cloud-init reads it
    return values


def own_file(values: dict[str, Any]) -> str:
    (file,) = values["write_files"]
    assert (file["path"], file["permissions"]) == ("/etc/calln/deploy.yaml", "0644")
    return str(file["content"])


def script(values: dict[str, Any]) -> str:
    ((shell, flags, text),) = values["runcmd"]
    assert (shell, flags) == ("sh", "-euc")
    return str(text)


def test_the_machine_is_this_site() -> None:
    text = CONFIGS["one machine"] + "turn: {relay_ports: 30000-30099}\ndeploy: {email: me@example.org}\n"
    there = parse_config(own_file(user_data(text)), Path("/etc/calln/deploy.yaml"))
    here = parse_config(text, Path("/etc/calln/deploy.yaml"))
    assert [host.is_local for host in there.deploy.hosts] == [True]
    assert (there.site, there.turn, there.server) == (here.site, here.turn, here.server)
    assert there.deploy.model_copy(update={"hosts": ()}) == here.deploy


def test_a_relay_alone_keeps_its_name_and_role() -> None:
    there = parse_config(own_file(user_data(CONFIGS["a relay alone"])), Path("c"))
    (host,) = there.deploy.hosts
    assert (host.is_local, host.name, host.roles) == (True, "relay.example.org", ("turn",))


def test_rules_and_logo_go_along(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("# Be kind\n\n- Nobody must say a name: never\n")
    (tmp_path / "logo.svg").write_text("<svg/>")
    text = CONFIGS["one machine"].replace("site: {", "site: {rules_file: rules.txt, logo: logo.svg, ")
    there = parse_config(own_file(user_data(text, folder=tmp_path)), Path("c"))
    assert there.site.rules == (tmp_path / "rules.txt").read_text()
    assert str(there.site.logo).startswith("data:")
    (tmp_path / "rules.txt").write_text("ä" * (MAX_BYTES // 2))
    with pytest.raises(DeployError, match="some clouds take only"):
        user_data(text, folder=tmp_path)


@pytest.mark.parametrize("sha256", ["", SHA256])
def test_the_commands_fetch_compare_install_and_set_up(tmp_path: Path, sha256: str) -> None:
    """Run by a shell, with other programs in the place of the real ones."""
    for name in ("curl", "apt-get", "sha256sum", "calln", "sleep", "rm"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/said\n[ {name} != calln ]\n')
        program.chmod(0o755)
    text = script(user_data(CONFIGS["one machine"], f"{PACKAGE}?a='b'&c=$d", sha256))
    done = subprocess.run(
        ["/bin/sh", "-euc", text], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    said = (tmp_path / "said").read_text().splitlines()
    waits = [int(line.split()[1]) for line in said if line.startswith("sleep")]
    assert done.returncode == 1  # calln setup never succeeds here, which cloud-init tells
    assert waits == [60, 120, 240, 480, 960, LONGEST_WAIT]
    assert said[0].endswith(f"--output /var/cache/calln.deb {PACKAGE}?a='b'&c=$d")
    compared = ["sha256sum"] if sha256 else []
    wanted = ["curl", *compared, "apt-get", "rm", "calln", "sleep", "calln", "sleep"]
    assert [line.split()[0] for line in said][: len(wanted)] == wanted


def test_the_shell_script_is_clean(tmp_path: Path) -> None:
    file = tmp_path / "script.sh"
    file.write_text(f"#!/bin/sh\n{script(user_data(CONFIGS['one machine'], sha256=SHA256))}")
    done = subprocess.run(["shellcheck", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("url", "sha256", "says"),
    [
        ("http://downloads.example.org/calln.deb", "", "begins with https://"),
        ("calln.deb", "", "begins with https://"),
        (PACKAGE, "abc", "64 digits"),
        (PACKAGE, SHA256.upper(), "64 digits"),
    ],
)
def test_a_package_that_cannot_be_fetched(url: str, sha256: str, says: str) -> None:
    with pytest.raises(DeployError, match=says):
        user_data(CONFIGS["one machine"], url, sha256)


def test_several_machines_are_not_made_so() -> None:
    with pytest.raises(DeployError, match=r"deploy\.hosts has 2 machines"):
        user_data(CONFIGS["two machines"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("turn: {secret: canary-canary-canary}", "turn.secret"),
        ("turn: {users: {alice: canary canary}}", "turn.users"),
        ("turn: {secret_file: s}", "turn.secret_file"),
        ("server: {ice_api: {token_file: t}}", "server.ice_api.token_file"),
        ("deploy: {tls: files, certificate: a, key: b}", "deploy.tls: files"),
        ("deploy: {acme_dns: ovh, acme_dns_credentials: dns.ini}", "deploy.acme_dns_credentials"),
        ("deploy: {alert: {webhook: 'https://hooks.example.org/canary'}}", "deploy.alert.webhook"),
    ],
)
def test_what_would_be_no_secret_any_more(more: str, says: str) -> None:
    with pytest.raises(DeployError, match=f"so {says} must not be in it") as refusal:
        user_data(f"{CONFIGS['one machine']}{more}\n")
    assert "canary" not in str(refusal.value)


def test_there_is_a_command() -> None:
    (command,) = [one for one in COMMANDS if one.words == "deploy cloud-init"]
    assert [option.name for option in command.options] == ["--package", "--sha256"]
