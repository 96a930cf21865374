"""Rules and logo come from their files, or a clear sentence says what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.file import parse_config
from config.look import carried, read_look
from config.problems import ConfigError
from deploy.cli.check import run
from server.web.look import MAX_LOGO, NO_LOOK, PNG, Look

DRAWN = b"<svg/>"


def look(folder: Path, site: str) -> Look:
    return read_look(parse_config(f"site: {{{site}}}", folder / "c.yaml"))


def test_without_keys_there_is_nothing(tmp_path: Path) -> None:
    assert look(tmp_path, "name: x") == NO_LOOK


def test_files_are_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("# Be kind\n")
    (tmp_path / "l.svg").write_bytes(DRAWN)
    assert look(tmp_path, "rules_file: r.txt, logo: l.svg") == Look("# Be kind\n", DRAWN)
    assert look(tmp_path, "rules: Be kind") == Look("Be kind")


def test_another_machine_gets_them_in_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("Grüß\nfreundlich: immer\n")
    (tmp_path / "l.png").write_bytes(PNG + b"\0\xff")
    config = parse_config("site: {rules_file: r.txt, logo: l.png}", tmp_path / "c.yaml")
    there = parse_config(yaml.safe_dump({"site": carried(config)}), Path("/somewhere/c.yaml"))
    assert read_look(there) == read_look(config)
    assert carried(parse_config("site: {name: x}", tmp_path / "c.yaml")) == {}


@pytest.mark.parametrize(
    ("site", "content", "says"),
    [
        ("rules_file: f", None, "No such file"),
        ("rules_file: f", b"\xff", "not UTF-8"),
        ("rules_file: f", b"\n", "no rules"),
        ("rules: ' '", None, "site.rules: there are no rules"),
        ("rules_file: f, rules: Be kind", b"x", "keep either site.rules or site.rules_file"),
        ("logo: f", None, "No such file"),
        ("logo: f", b"GIF89a", "no SVG and no PNG"),
        ("logo: f", PNG + bytes(MAX_LOGO), "larger than"),
        ("logo: 'data:;base64,!'", None, "site.logo: what stands after base64, is damaged"),
        ("logo: .", None, "Is a directory"),
        ("colour: teal", None, 'write a colour such as "#2c6e63", in quotes'),
        ("colour: # 2c6e63\n ", None, 'write a colour such as "#2c6e63", in quotes'),
        ("heading: ''", None, "at least 1"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, site: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        run(parse_config(f"site: {{{site}}}", tmp_path / "c.yaml"))
