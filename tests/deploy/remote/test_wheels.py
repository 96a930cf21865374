"""Other people's code, gathered for the Python of another machine with the real pip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.remote import wheels
from deploy.remote.wheels import PROJECT, NoWheels, PythonPlatform, download, requirements, site_packages

HERE = PythonPlatform(f"{sys.version_info[0]}.{sys.version_info[1]}", os.uname().machine)
ELSEWHERE = PythonPlatform("3.13", "aarch64")


def a_project(folder: Path, *needs: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(f"[project]\ndependencies = {list(needs)}\n")
    return file


def test_what_the_service_needs_runs_from_the_folder(tmp_path: Path) -> None:
    folder = site_packages(HERE, tmp_path)
    assert not (folder / "tests").exists()
    assert not list(folder.rglob("*.pyc"))
    code = "import aioice, pydantic, starlette, stun, uvicorn, uvloop, yaml; print(pydantic.__file__)"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(folder)


def test_another_machine_gets_its_own(tmp_path: Path) -> None:
    download(["pyyaml>=6.0"], ELSEWHERE, tmp_path / "site")
    [library] = (tmp_path / "site").rglob("*.so")
    assert library.name.endswith("cpython-313-aarch64-linux-gnu.so")


def test_gathered_once_until_the_requirements_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "PROJECT", a_project(tmp_path, "ifaddr>=0.2"))
    first = site_packages(HERE, tmp_path / "cache")
    (first / "mark").touch()
    assert (site_packages(HERE, tmp_path / "cache") / "mark").exists()
    a_project(tmp_path, "ifaddr>=0.1")
    assert site_packages(HERE, tmp_path / "cache") != first


def test_what_cannot_be_had_is_named_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "PROJECT", a_project(tmp_path, "ifaddr==99"))
    with pytest.raises(NoWheels, match=r"ready-made for Python 3\.13 on aarch64: .*ifaddr==99"):
        site_packages(ELSEWHERE, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("site-*"))


def test_requirements_are_the_projects_own() -> None:
    assert any(word.startswith("pydantic") for word in requirements(PROJECT))
