"""The tokens of other web applications come from their file, each line one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.file import Config, parse_config
from config.ice_tokens import ice_tokens, read_ice_tokens
from config.problems import ConfigError
from deploy.cli.check import run

ONE, OTHER = "canary-of-one-application", "canary-of-another-one"


def kept(folder: Path, content: bytes | None, mode: int = 0o640) -> Config:
    if content is not None:
        (folder / "t").write_bytes(content)
        os.chmod(folder / "t", mode)
    return parse_config("{site: {state_dir: state}, server: {ice_api: {token_file: t}}}", folder / "c.yaml")


def test_none_unless_a_file_is_named(tmp_path: Path) -> None:
    config = parse_config("site: {state_dir: state}", tmp_path / "c.yaml")
    assert ice_tokens(config) is None
    assert read_ice_tokens(config) == ()


def test_each_line_is_right(tmp_path: Path) -> None:
    config = kept(tmp_path, f"\n{ONE}\r\n  {OTHER}\n\n".encode())
    assert read_ice_tokens(config) == (ONE, OTHER)
    tokens = ice_tokens(config)
    assert tokens is not None
    assert [tokens.include(token) for token in (ONE, OTHER, "")] == [True, True, False]


def test_the_check_names_the_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(kept(tmp_path, ONE.encode())) == 0
    said = capsys.readouterr().out
    assert "http://127.0.0.1:8080/ice, for other web applications" in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (ONE.encode(), 0o644, "every user of this machine can read this secret; run: chmod 640"),
        (b"", 0o600, "from 16 to 200 characters"),
        (b"canary\n", 0o600, "from 16 to 200 characters"),
        (f"{ONE}\ncanary".encode(), 0o600, "from 16 to 200 characters"),
        (b"canary with spaces in it\n", 0o600, "only letters, digits"),
        (b"\xff" * 20, 0o600, "not UTF-8"),
        (None, 0, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, mode: int, says: str) -> None:
    config = kept(tmp_path, content, mode)
    for use in (ice_tokens, run):
        with pytest.raises(ConfigError, match=says) as refusal:
            use(config)
        assert "canary" not in str(refusal.value)
