"""The Python packages that Calln needs, downloaded here for another machine, which then needs no pip, no
compiler and no Internet."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from deploy.remote.orders import DeployError

LOCK = Path(str(files("deploy") / "locks" / "run.txt"))  # what is needed, with versions and hashes
GLIBC = range(36, 16, -1)  # Debian 12 has 2.36; wheels for older versions work there, too
OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")  # PEP 599, 571, 513
PATIENCE = 600  # seconds; pip downloads about 25 MB
LEFT_OUT = ("bin", "tests")  # scripts with a wrong path; `tests` of pystun3, which would hide other packages


class PythonPlatform(NamedTuple):
    """The version of Python, such as 3.11, and the processor as `uname -m` shows it."""

    python: str
    arch: str


class NoWheels(DeployError):
    """A wheel cannot be downloaded; says which."""


def site_packages(machine: PythonPlatform, cache: Path) -> Path:
    """A folder for the Python path of that platform; kept until the lock file changes.

    Raises NoWheels.
    """
    words = "\n".join((*machine, LOCK.read_text("utf-8")))
    kept = cache / f"site-{machine.python}-{machine.arch}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    if not kept.exists():
        draft = kept.with_name(f".{kept.name}")
        shutil.rmtree(draft, ignore_errors=True)
        download(LOCK, machine, draft)
        draft.rename(kept)
    return kept


def download(lock: Path, machine: PythonPlatform, folder: Path) -> None:
    """All that the lock names and nothing else: pip would ask this machine's Python what else is needed.
    Raises NoWheels."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), "--no-compile", "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", machine.python, *platforms(machine.arch)]
    command += ["--no-deps", "--require-hashes", "--requirement", str(lock)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise NoWheels(
            f"pip did not finish in {PATIENCE} seconds; can this computer reach the package index?"
        ) from None
    if done.returncode:
        raise NoWheels(complaint(done.stderr, machine))
    for name in LEFT_OUT:
        shutil.rmtree(folder / name, ignore_errors=True)


def platforms(arch: str) -> list[str]:
    """The options of pip for Linux on that processor, newest first."""
    names = [f"manylinux_2_{minor}" for minor in GLIBC] + list(OLD_NAMES)
    return [word for name in names for word in ("--platform", f"{name}_{arch}")] + ["--platform", "any"]


def complaint(said: str, machine: PythonPlatform) -> str:
    """The reason that pip gives, from its last error line."""
    reasons = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    why = reasons[-1] if reasons else said.strip() or "pip did not say why"
    return (
        f"some packages cannot be downloaded for Python {machine.python} on {machine.arch}: {why}; can this "
        "computer reach the package index?"
    )
