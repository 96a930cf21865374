"""The YAML that a configuration may be written in."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.file import load_config, parse_config
from config.problems import ConfigError


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xfes\x00i\x00", "this is not UTF-8; save the file as UTF-8"),
        (b"x" * (1 << 20) + b"x", "the file is larger than 1 MiB; is it the right one?"),
        (b"[" * 20_000, "too many values inside each other"),
        (b"site: {name: \x07}", "special characters are not allowed"),
    ],
)
def test_file_that_is_no_configuration(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=says):
        load_config(path)


@pytest.mark.parametrize(
    ("kind", "says"), [("folder", "this is not a file"), ("loop", "symbolic links"), ("none", "No such")]
)
def test_path_that_is_no_file(tmp_path: Path, kind: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    if kind == "folder":
        path.mkdir()
    if kind == "loop":
        path.symlink_to(path)
    with pytest.raises(ConfigError, match=says):
        load_config(path)


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes("\ufeffsite:\r\n  name: Müller\r\n".encode())
    assert load_config(path).site.name == "Müller"


def test_a_leading_zero_is_no_base() -> None:
    assert parse_config("turn: {credential_seconds: 0077}", Path("c")).turn.credential_seconds == 77
    assert parse_config("turn: {credential_seconds: 089}", Path("c")).turn.credential_seconds == 89


@pytest.mark.parametrize("value", ["!!bool maybe", "!!float x", "!!timestamp x", "!!binary ä"])
def test_a_tag_that_lies(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^c: a value does not fit its tag|^c:1:"):
        parse_config(f"site: {{name: {value}}}", Path("c"))
