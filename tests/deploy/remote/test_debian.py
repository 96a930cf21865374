"""The Debian package: its files, its scripts, and the same bytes for the same commit."""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from deploy.remote import debian
from deploy.remote.debian import HOME, PYTHONS, Recipe, build
from deploy.remote.release import TREE
from deploy.remote.removal import purge_steps
from deploy.remote.steps import Remove, Run
from deploy.remote.wheels import PythonPlatform
from host import VERSION
from tests.deploy.minds import EACH, deployed

ME = "The Calln authors <authors@calln.example>"
NOW = 1_700_000_000


@pytest.fixture
def gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other people's packages in small: one file that is equal for each Python, and one that is not."""

    def made(kind: str, machine: PythonPlatform, cache: Path) -> Path:
        folder = cache / kind / machine.words
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "equal.py").write_text(f"kind = {kind!r}\n" * 100)
        (folder / "own.so").write_text(f"{kind} {machine.words}")
        return folder

    for kind in ("site", "operators"):
        monkeypatch.setattr(
            debian, f"{kind}_packages", lambda machine, cache, kind=kind: made(kind, machine, cache)
        )


def recipe(folder: Path, arch: str = "amd64") -> Recipe:
    return Recipe(arch, PYTHONS, ME, folder / "cache", NOW, level=0)


def opened(package: Path, part: str = "--fsys-tarfile") -> tarfile.TarFile:
    said = subprocess.run(["dpkg-deb", part, package], check=True, capture_output=True).stdout
    return tarfile.open(fileobj=BytesIO(said))


def field(package: Path, name: str) -> str:
    said = subprocess.run(["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True)
    return said.stdout.strip()


@pytest.mark.usefixtures("gathered")
def test_it_brings_the_tree_and_the_packages_of_each_python(tmp_path: Path) -> None:
    made = build(recipe(tmp_path), tmp_path / "dist")
    assert made.name == f"calln_{VERSION}_amd64.deb"
    with opened(made) as tar:
        told = {about.name.removeprefix("./"): about for about in tar}
    ours = {name.split("/")[3] for name in told if name.startswith(f"{HOME}/")}
    assert ours == {*TREE, "sites", "tools"}
    for kind in ("sites", "tools"):
        rows = [told[f"{HOME}/{kind}/{python}-x86_64/equal.py"] for python in PYTHONS]
        assert [row.islnk() for row in rows] == [False, True, True]
        assert all(told[f"{HOME}/{kind}/{python}-x86_64/own.so"].isreg() for python in PYTHONS)
    assert {(about.uname or "root", about.uid) for about in told.values()} == {("root", 0)}
    runs = {name for name, about in told.items() if about.isfile() and about.mode & 0o111}
    assert runs == {"usr/bin/calln"}
    assert not [name for name in told if name.endswith(".pyc")]


@pytest.mark.usefixtures("gathered")
def test_what_dpkg_is_told(tmp_path: Path) -> None:
    made = build(recipe(tmp_path, "arm64"), tmp_path)
    assert [field(made, name) for name in ("Version", "Architecture", "Maintainer")] == [VERSION, "arm64", ME]
    assert "python3 (>= 3.11), python3 (<< 3.14)" in field(made, "Depends")
    assert int(field(made, "Installed-Size")) > 1000
    with opened(made) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    with opened(made, "--ctrl-tarfile") as tar:
        tar.extractall(tmp_path / "control", filter="data")
    sums = tmp_path / "control/md5sums"
    subprocess.run(["md5sum", "--quiet", "--check", sums], cwd=tmp_path / "there", check=True)
    changes = gzip.decompress((tmp_path / "there/usr/share/doc/calln/changelog.gz").read_bytes()).decode()
    assert changes.startswith(f"calln ({VERSION}) unstable;")
    assert changes.endswith(f" -- {ME}  Tue, 14 Nov 2023 22:13:20 -0000\n")
    scripts = [tmp_path / "control" / name for name in ("postinst", "prerm", "postrm")]
    subprocess.run(["shellcheck", *scripts, tmp_path / "there/usr/bin/calln"], check=True)


@pytest.mark.usefixtures("gathered")
def test_two_packages_of_one_commit_are_equal(tmp_path: Path) -> None:
    one = build(recipe(tmp_path / "one"), tmp_path / "one").read_bytes()
    before = os.umask(0o077)
    try:
        assert build(recipe(tmp_path / "further/down"), tmp_path / "two").read_bytes() == one
    finally:
        os.umask(before)


def test_a_purge_removes_what_a_deployment_would(tmp_path: Path) -> None:
    scripts = dict(debian.rendered(recipe(tmp_path), 0))
    gone = [step for pair in EACH for step in purge_steps(deployed(*pair))]
    assert gone
    for step in set(gone):
        assert isinstance(step, Remove | Run)
        assert (step.path if isinstance(step, Remove) else step.argv[-1]) in scripts["DEBIAN/postrm"]
