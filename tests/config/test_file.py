"""The configuration file: what it accepts, and the sentence for each mistake."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.file import Config, ConfigError, load, parse, turn_secret, turn_secrets
from turn.flows import Address

ROOT = Path(__file__).parents[2]
BAD: list[dict[str, str]] = yaml.safe_load((ROOT / "tests/data/bad_configs.yaml").read_text())


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["name"])
def test_mistake_names_line_column_and_what_to_write(case: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        parse(case["text"], Path("config.yaml"))
    assert error.value.problems == (f"config.yaml:{case['says']}",)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse("site: {nam: x}\nturn: {workers: 0, relm: y}\n", Path("c"))
    assert [problem.split(": ")[1] for problem in error.value.problems] == [
        "site.nam",
        "turn.workers",
        "turn.relm",
    ]


def test_one_entry_needs_no_dash() -> None:
    config = parse("turn: {listen: 'udp://[::1]:3478', deny_peers: 10.0.0.0/8}", Path("c"))
    assert config.turn.listen == (Address.of("::1", 3478),)
    assert [str(network) for network in config.turn.deny_peers] == ["10.0.0.0/8"]


def test_off_is_a_word_and_not_false() -> None:
    assert parse("turn: {encrypted_only: off}", Path("c")).turn.encrypted_only == "off"


def test_relative_paths_begin_at_the_file() -> None:
    config = parse(
        "site: {state_dir: state}\nturn: {secret_file: s}\ngeo: {database: /g}", Path("/etc/calln/c.yaml")
    )
    assert config.site.state_dir == Path("/etc/calln/state")
    assert config.turn.secret_file == Path("/etc/calln/s")
    assert config.geo.database == Path("/g")


def test_without_a_file_everything_stays_on_this_machine() -> None:
    config = load(None)
    assert all(address.host in ("127.0.0.1", "::1") for address in config.turn.listen)
    assert all(listen.host == "127.0.0.1" for listen in config.server.listen)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xfes\x00i\x00", "this is not UTF-8; save the file as UTF-8"),
        (b"x" * (1 << 20) + b"x", "larger than 1 MiB; is this the right file?"),
        (b"[" * 20_000, "nested too deeply"),
        (b"site: {name: \x07}", "special characters are not allowed"),
    ],
)
def test_file_that_is_no_configuration(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        load(path)


@pytest.mark.parametrize(
    ("kind", "says"), [("folder", "this is no file"), ("loop", "symbolic links"), ("none", "No such")]
)
def test_path_that_is_no_file(tmp_path: Path, kind: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    if kind == "folder":
        path.mkdir()
    if kind == "loop":
        path.symlink_to(path)
    with pytest.raises(ConfigError, match=says):
        load(path)


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("\ufeffsite:\r\n  name: Müller\r\n".encode())
    assert load(path).site.name == "Müller"


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    try:
        told: object = parse(text, Path("c"))
    except ConfigError as error:
        told = error.problems
    assert told


@pytest.fixture(autouse=True)
def no_secret_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLN_TURN_SECRET", raising=False)


def with_turn(tmp_path: Path, **keys: Any) -> Config:
    return parse(yaml.safe_dump({"site": {"state_dir": "state"}, "turn": keys}), tmp_path / "config.yaml")


def test_secret_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    config = with_turn(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: turn_secret(config), range(16)))
    assert len(made) == 1
    assert len(made.pop()) == 64
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["turn.secret"]
    assert stat.S_IMODE((tmp_path / "state/turn.secret").stat().st_mode) == 0o600


def test_environment_comes_before_file_and_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_text("from-the-file-of-secrets\n")
    os.chmod(tmp_path / "s", 0o600)
    assert turn_secret(with_turn(tmp_path, secret="from-the-section-itself")) == b"from-the-section-itself"
    by_file = with_turn(tmp_path, secret_file="s")
    assert turn_secret(by_file) == b"from-the-file-of-secrets"
    monkeypatch.setenv("CALLN_TURN_SECRET", "from-the-environment\n")
    assert turn_secret(by_file) == b"from-the-environment"


def test_while_a_secret_changes_the_file_holds_both(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("the new one, with spaces\n\n  the old one, long enough\n")
    os.chmod(tmp_path / "s", 0o600)
    config = with_turn(tmp_path, secret_file="s")
    assert turn_secrets(config) == [b"the new one, with spaces", b"the old one, long enough"]
    assert turn_secret(config) == b"the new one, with spaces"


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"from-the-file-of-secrets", 0o644, "everybody can read this secret; write: chmod 640"),
        (b"", 0o600, "shorter than 16 bytes"),
        (b"short\n", 0o600, "shorter than 16 bytes"),
        (b"from-the-file-of-secrets\nshort\n", 0o600, "shorter than 16 bytes"),
        (b"\xff" * 20, 0o600, "not UTF-8"),
        (None, 0, "No such file"),
    ],
)
def test_secret_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, mode: int, says: str) -> None:
    if content is not None:
        (tmp_path / "s").write_bytes(content)
        os.chmod(tmp_path / "s", mode)
    with pytest.raises(ConfigError, match=says):
        turn_secret(with_turn(tmp_path, secret_file="s"))


def test_secrets_do_not_show_in_the_configuration_printed(tmp_path: Path) -> None:
    config = with_turn(tmp_path, secret="canary-secret-0123456789", users={"alice": "canary-password"})
    assert "canary" not in repr(config)
    assert "canary" not in str(config)


def test_a_leading_zero_is_no_base() -> None:
    assert parse("turn: {credential_seconds: 0077}", Path("c")).turn.credential_seconds == 77
    assert parse("turn: {credential_seconds: 089}", Path("c")).turn.credential_seconds == 89


@pytest.mark.parametrize("value", ["!!bool maybe", "!!float x", "!!timestamp x", "!!binary ä"])
def test_a_tag_that_lies(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^c: a value is not what its tag says|^c:1:"):
        parse(f"site: {{name: {value}}}", Path("c"))
