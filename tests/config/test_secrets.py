"""The secret of server and relay: where it is taken from, and the sentence for each mistake."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.file import Config, parse_config
from config.problems import ConfigError
from config.secrets import turn_secret, turn_secrets


@pytest.fixture(autouse=True)
def no_secret_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLN_TURN_SECRET", raising=False)


def with_turn(tmp_path: Path, **keys: Any) -> Config:
    return parse_config(
        yaml.safe_dump({"site": {"state_dir": "state"}, "turn": keys}), tmp_path / "config.yaml"
    )


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
        (
            b"from-the-file-of-secrets",
            0o644,
            "every user of this machine can read this secret; run: chmod 640",
        ),
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
