"""Other people's code, gathered for the Python of another machine with the real pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.remote import wheels
from deploy.remote.wheels import NoWheels, PythonPlatform, download, operators_packages, site_packages
from tests.deploy.remote.conftest import HERE

ELSEWHERE = PythonPlatform("3.13", "aarch64")
PURE = (
    "ifaddr==0.2.0 \\\n    --hash=sha256:085e0305cfe6f16ab12d72e2024030f5d52674afad6911bb1eee207177b8a748\n"
)


def a_lock(folder: Path, text: str = PURE) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "lock.txt"
    file.write_text(text)
    return file


def test_what_the_service_needs_runs_from_the_folder(kept: Path) -> None:
    folder = site_packages(HERE, kept)
    assert not (folder / "tests").exists()
    assert not list(folder.rglob("*.pyc"))
    code = "import aioice, pydantic, starlette, stun, uvicorn, uvloop, yaml; print(pydantic.__file__)"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(folder)


def test_another_machine_gets_its_own(tmp_path: Path) -> None:
    libraries = [path.name for path in site_packages(ELSEWHERE, tmp_path).rglob("*.so")]
    assert len(libraries) > 5
    assert all("x86_64" not in name for name in libraries)
    assert sum(name.endswith("cpython-313-aarch64-linux-gnu.so") for name in libraries) > 5


def test_gathered_once_until_the_lock_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "LOCK", a_lock(tmp_path))
    first = site_packages(HERE, tmp_path / "cache")
    (first / "mark").touch()
    assert (site_packages(HERE, tmp_path / "cache") / "mark").exists()
    a_lock(tmp_path, f"# newer\n{PURE}")
    assert site_packages(HERE, tmp_path / "cache") != first


def test_what_is_shipped_is_not_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "SHIPPED", tmp_path)
    (tmp_path / "3.13-aarch64").mkdir()
    assert site_packages(ELSEWHERE, tmp_path / "cache") == tmp_path / "3.13-aarch64"


def test_what_this_side_needs_besides_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "LOCK", a_lock(tmp_path))
    own = "pip==1 \\\n    --hash=sha256:00\nzope-event==6.2 \\\n    --hash=sha256:01\n    --hash=sha256:02\n"
    monkeypatch.setattr(wheels, "OPERATORS_LOCK", a_lock(tmp_path / "more", f"# made\n{PURE}{own}"))
    asked: list[str] = []

    def note(lock: Path, machine: PythonPlatform, folder: Path) -> None:
        asked.append(lock.read_text())
        folder.mkdir(parents=True)

    monkeypatch.setattr(wheels, "download", note)
    first = operators_packages(ELSEWHERE, tmp_path / "cache")
    assert operators_packages(ELSEWHERE, tmp_path / "cache") == first
    assert asked == ["zope-event==6.2 \\\n    --hash=sha256:01\n    --hash=sha256:02\n"]


def test_what_cannot_be_had_is_named_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "LOCK", a_lock(tmp_path, PURE.replace("0.2.0", "99")))
    with pytest.raises(NoWheels, match=r"downloaded for Python 3\.13 on aarch64: .*ifaddr==99"):
        site_packages(ELSEWHERE, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("site-*"))


def test_other_contents_than_were_locked_are_refused(tmp_path: Path) -> None:
    wrong = a_lock(tmp_path, PURE.replace("sha256:085e", "sha256:0000"))
    with pytest.raises(NoWheels, match=r"HASHES|hash"):
        download(wrong, ELSEWHERE, tmp_path / "site")
