"""A release's name and archive follow its contents, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deploy.remote.release import KEPT, ROOT, TREE, Bundle, archive_members, digest, make_bundle, pack
from host import VERSION
from tests.deploy.remote.conftest import HERE


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("server/static/page.js", "turn/wire/stun.py", "deploy/cli.py", "templates/page.html"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "config.py").write_text("x = 1\n")
    (root / "site").mkdir()
    (root / "site" / "other.py").write_text("y = 1\n")
    return root


def test_same_contents_have_the_same_name(tree: Path) -> None:
    before = digest(tree, tree / "site")
    (tree / "turn" / "__pycache__").mkdir()
    (tree / "turn" / "__pycache__" / "a.pyc").write_text("left out")
    os.utime(tree / "config.py", (1, 1))
    (tree / "deploy" / "locks").mkdir()
    (tree / "deploy" / "locks" / "test.txt").write_text("a newer mypy")
    assert digest(tree, tree / "site") == before
    (tree / "site" / "other.py").write_text("y = 2\n")
    assert digest(tree, tree / "site") != before


def test_archive_is_the_same_bytes_again(tree: Path, tmp_path: Path) -> None:
    one = pack(Bundle("1-a", tree / "site"), tmp_path, tree)
    data = one.read_bytes()
    two = pack(Bundle("1-b", tree / "site"), tmp_path, tree)
    assert two.read_bytes() == data
    with tarfile.open(two) as tar:
        told = {about.name: (about.mode, about.uid, about.mtime) for about in tar}
    assert set(told) == {name for name, _ in archive_members(tree, tree / "site")}
    assert set(told.values()) == {(0o644, 0, 0)}


def test_only_the_newest_archives_stay(tree: Path, tmp_path: Path) -> None:
    """Several: while one machine is sent its own, another's of another kind is packed."""
    made = [pack(Bundle(f"1-{number}", tree / "site"), tmp_path, tree) for number in range(KEPT + 2)]
    assert [path for path in made if path.exists()] == made[2:]
    assert sorted(tmp_path.glob("*.tar.gz*")) == made[2:]


def test_what_is_packed_runs(kept: Path, tmp_path: Path) -> None:
    release = make_bundle(HERE, kept)
    assert release.name.startswith(f"{VERSION}-")
    with tarfile.open(pack(release, tmp_path)) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    there = tmp_path / "there"
    assert {path.name for path in there.iterdir()} == {*TREE, "site"}
    done = subprocess.run(
        [sys.executable, "-P", "-S", "-m", "deploy.cli", "check"],
        env={"PYTHONPATH": f"{there}:{there / 'site'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "The configuration is valid." in done.stdout


def test_this_tree_holds_what_is_named() -> None:
    assert all((ROOT / name).exists() for name in TREE)
