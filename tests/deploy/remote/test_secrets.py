"""Where a machine's secrets and certificate come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.file import Config
from config.problems import ConfigError
from deploy.remote import internal_ca, secrets
from deploy.remote.hosts import targets
from deploy.remote.orders import DeployError

SECRET = "0123456789abcdef0123456789abcdef"


def a_config(turn: dict[str, object] | None = None, **deploy: object) -> Config:
    return Config.model_validate(
        {"site": {"url": "https://call.example.org"}, "turn": turn or {}, "deploy": deploy}
    )


def test_what_the_operator_wrote_goes_before_what_the_machines_have() -> None:
    assert secrets.choose_secret(a_config({"secret": SECRET}), ["another one\n"]) == f"{SECRET}\n"


def test_what_one_machine_has_is_everybodys() -> None:
    assert secrets.choose_secret(a_config(), [None, "first\nsecond\n"]) == "first\nsecond\n"


def test_a_new_one_is_made_where_there_is_none() -> None:
    one, two = (secrets.choose_secret(a_config(), [None]) for _ in range(2))
    assert one != two
    assert len(one.strip()) == 64


def issued(folder: Path) -> tuple[Path, Path]:
    internal_ca.issue(folder, ["call.example.org"])
    return folder / "call.example.org.pem", folder / "call.example.org.key"


def test_files_are_shipped_as_they_are(tmp_path: Path) -> None:
    chain, key = issued(tmp_path)
    config = a_config(tls="files", certificate=str(chain), key=str(key))
    made = secrets.collect_secrets(config, tmp_path / "c.yaml", targets(config), "s\n")
    assert made == ("s\n", chain.read_text(), key.read_text(), "", "", "")


def test_the_sites_password_is_shipped_as_one_line(tmp_path: Path) -> None:
    file = tmp_path / "p"
    file.write_text("  open sesame")
    file.chmod(0o600)
    config = Config.model_validate({"site": {"url": "https://call.example.org", "password_file": str(file)}})
    assert (
        secrets.collect_secrets(config, tmp_path / "c.yaml", targets(config), "s\n").password
        == "open sesame\n"
    )
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="every user of this machine can read"):
        secrets.collect_secrets(config, tmp_path / "c.yaml", targets(config), "s\n")


def test_tokens_are_shipped_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "t"
    file.write_text("\n first-application-token \nanother-application-token")
    file.chmod(0o600)
    config = Config.model_validate({"server": {"ice_api": {"token_file": str(file)}}})
    made = secrets.collect_secrets(config, tmp_path / "c.yaml", targets(a_config()), "s\n")
    assert made.tokens == "first-application-token\nanother-application-token\n"
    file.write_text("short\n")
    with pytest.raises(ConfigError, match="from 16 to 200 characters"):
        secrets.collect_secrets(config, tmp_path / "c.yaml", targets(a_config()), "s\n")


def test_what_changes_the_dns_is_shipped_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "dns.ini"
    file.write_text("dns_rfc2136_secret = canary\n")
    file.chmod(0o600)
    config = a_config(acme_dns="rfc2136", acme_dns_credentials=str(file))
    assert (
        secrets.collect_secrets(config, tmp_path / "c.yaml", targets(config), "s\n").dns == file.read_text()
    )
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="every user of this machine can read"):
        secrets.collect_secrets(config, tmp_path / "c.yaml", targets(config), "s\n")


def test_a_pair_that_is_none_is_refused(tmp_path: Path) -> None:
    (chain, _), (_, key) = issued(tmp_path / "a"), issued(tmp_path / "b")
    for one in (chain, tmp_path / "gone"):
        with pytest.raises(DeployError, match=r"deploy\.certificate and deploy\.key "):
            secrets.read_pair(one, key)


def test_the_authority_lies_beside_the_configuration(tmp_path: Path) -> None:
    config = a_config(tls="internal")
    made = secrets.collect_secrets(config, tmp_path / "c.yaml", targets(config), "s\n")
    assert "BEGIN CERTIFICATE" in made.certificate
    root = secrets.root_of(config, tmp_path / "c.yaml")
    assert root == str(tmp_path / secrets.AUTHORITY / "root.pem")
    assert secrets.root_of(a_config(), tmp_path / "c.yaml") is None
