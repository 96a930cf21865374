"""The site's password comes from its file, and what signs cookies is made once."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from config.file import Config, parse_config
from config.password import site_password
from config.problems import ConfigError
from deploy.cli.check import run

WALL = 1_800_000_000.0


def locked(folder: Path, content: bytes | None, mode: int = 0o640) -> Config:
    if content is not None:
        (folder / "p").write_bytes(content)
        os.chmod(folder / "p", mode)
    return parse_config("site: {password_file: p, state_dir: state}", folder / "c.yaml")


def test_open_to_all_unless_a_file_is_named(tmp_path: Path) -> None:
    assert site_password(parse_config("site: {state_dir: state}", tmp_path / "c.yaml")) is None
    assert list(tmp_path.iterdir()) == []


def test_two_servers_of_one_folder_take_each_others_cookies(tmp_path: Path) -> None:
    config = locked(tmp_path, b"  open sesame\n")
    one, two = site_password(config), site_password(config)
    assert one is not None
    assert two is not None
    assert one.matches("open sesame")
    assert two.accepts_cookie(one.new_cookie(WALL), WALL)
    assert stat.S_IMODE((tmp_path / "state/site.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"canary sesame", 0o644, "every user of this machine can read this secret; run: chmod 640"),
        (b"", 0o600, "from 8 to 200 characters"),
        (b"canary\n", 0o600, "from 8 to 200 characters"),
        (b"canary" * 40, 0o600, "from 8 to 200 characters"),
        (b"canary one\ncanary two\n", 0o600, "one line"),
        (b"\xff" * 20, 0o600, "not UTF-8"),
        (None, 0, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, mode: int, says: str) -> None:
    config = locked(tmp_path, content, mode)
    for use in (site_password, run):
        with pytest.raises(ConfigError, match=says) as refusal:
            use(config)
        assert "canary" not in str(refusal.value)
    assert not (tmp_path / "state").exists()
