"""`calln check`: what it prints of a configuration, and what it warns of."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.file import parse_config
from config.secrets import SECRET_VARIABLE, turn_secret
from deploy.cli import check
from server.store.geo import GeoError

SECRET = "turn: {secret: 0123456789abcdef0123456789abcdef%s}"

WARNINGS = {
    "turn.realm": ", realm: turn.example.org",
    "turn.external_ip": ", external_ip: 10.0.0.5",
    "turn.allow_peers": ", allow_peers: 10.1.0.0/16",
    "turn.allow_loopback_peers": ", allow_loopback_peers: true",
    "server.listen": "}\nserver: {listen: '0.0.0.0:8080'",
    "site.url": "}\nsite: {url: 'http://call.example.org'",
}


@pytest.mark.parametrize("key", WARNINGS)
def test_what_deserves_a_second_look_is_told_by_its_key(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(parse_config(SECRET % WARNINGS[key], Path("c"))) == 0
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  warning")]
    assert [line.split()[1] for line in found] == [f"{key}:"]


def test_plain_configuration_has_nothing_to_look_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(parse_config(SECRET % "", Path("c"))) == 0
    out = capsys.readouterr().out
    assert "warning" not in out
    assert "udp 49152-65535" in out
    assert "0123456789abcdef" not in out


def test_a_page_with_a_name_may_listen_everywhere() -> None:
    text = "turn: {realm: call}\nserver: {listen: '[::]:80'}\nsite: {url: 'https://call.example.org'}"
    assert not list(check.warnings(parse_config(text, Path("c"))))


def test_looking_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    config = parse_config("site: {state_dir: state}", tmp_path / "c")
    assert check.run(config) == 0
    assert list(tmp_path.iterdir()) == []
    assert "state (this folder and a secret will be made at the first start)" in capsys.readouterr().out
    turn_secret(config)
    assert check.run(config) == 0
    assert "will be made" not in capsys.readouterr().out


def test_realm_of_four_letters_costs_nothing() -> None:
    assert not list(check.warnings(parse_config("turn: {realm: call}", Path("c"))))


def test_country_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GeoError, match=r"none\.mmdb"):
        check.run(parse_config((SECRET % "") + "\ngeo: {database: none.mmdb}", tmp_path / "c"))


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost", True),
        ("http://192.0.2.7", False),
        ("http://localhost.example.org", False),
    ],
)
def test_pages_that_browsers_trust_without_https(url: str, loopback: bool) -> None:
    assert check.is_loopback(url) is loopback
