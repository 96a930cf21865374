"""What Calln needs of other people's code, gathered here for the Python of another machine: it then needs
neither pip nor a compiler nor a way to the Internet."""

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
GLIBC = range(36, 16, -1)  # 2.36 is Debian 12's; wheels for an older one run there too
OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")  # PEP 599, 571, 513
PATIENCE = 600  # seconds; some 25 MB are fetched
LEFT_OUT = ("bin", "tests")  # programs for another path; pystun3's `tests`, which would shadow others


class PythonPlatform(NamedTuple):
    """Python's version, such as 3.11, and the processor as `uname -m` names it."""

    python: str
    arch: str


class NoWheels(DeployError):
    """Something cannot be had ready-made; says what."""


def site_packages(machine: PythonPlatform, cache: Path) -> Path:
    """A folder to put on the path of that machine's Python; kept until the lock changes.

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
            f"pip was not done after {PATIENCE} seconds; is the package index reachable?"
        ) from None
    if done.returncode:
        raise NoWheels(complaint(done.stderr, machine))
    for name in LEFT_OUT:
        shutil.rmtree(folder / name, ignore_errors=True)


def platforms(arch: str) -> list[str]:
    """pip's words for a Linux with that processor, newest first."""
    names = [f"manylinux_2_{minor}" for minor in GLIBC] + list(OLD_NAMES)
    return [word for name in names for word in ("--platform", f"{name}_{arch}")] + ["--platform", "any"]


def complaint(said: str, machine: PythonPlatform) -> str:
    """pip's own reason, in its last line that is one."""
    reasons = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    why = reasons[-1] if reasons else said.strip() or "pip did not say why"
    return (
        f"not everything can be had ready-made for Python {machine.python} on {machine.arch}: {why}; "
        "is the package index reachable from here?"
    )
