"""The bundles of the page are those of its scripts, byte for byte."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.built import BUILT, ROOT, is_newest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bundles_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([ROOT / ".ci" / "page" / "build", tmp_path], check=True)
    made, kept = contents(tmp_path), contents(BUILT)
    different = sorted(name for name in made.keys() | kept if made.get(name) != kept.get(name))
    assert not different, "run `make page`"
    assert is_newest()
