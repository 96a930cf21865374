"""The Python packages that Calln needs, downloaded here for another machine, which then needs no pip, no
compiler and no Internet."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from deploy.remote.orders import DeployError

LOCK = Path(str(files("deploy") / "locks" / "run.txt"))  # what is needed, with versions and hashes
OPERATORS_LOCK = LOCK.with_name("deploy.txt")  # what this side needs, too; only in the tree
SHIPPED = Path(str(files("deploy"))).parent / "sites"  # in the Debian package: gathered when it was built
# A package of a lock file, with its hashes.
LOCKED = re.compile(r"^([a-z0-9-]+)==.*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
GATHERS = "pip"  # needed on this side only to gather, and what is shipped is gathered already
GLIBC = range(36, 16, -1)  # Debian 12 has 2.36; wheels for older versions work there, too
OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")  # PEP 599, 571, 513
PATIENCE = 600  # seconds; pip downloads about 25 MB
LEFT_OUT = ("bin", "tests")  # scripts with a wrong path; `tests` of pystun3, which would hide other packages


class PythonPlatform(NamedTuple):
    """The version of Python, such as 3.11, and the processor as `uname -m` shows it."""

    python: str
    arch: str

    @property
    def words(self) -> str:
        return f"{self.python}-{self.arch}"


class NoWheels(DeployError):
    """A wheel cannot be downloaded; says which."""


def site_packages(machine: PythonPlatform, cache: Path) -> Path:
    """A folder for the Python path of that platform: shipped with this code, or gathered.

    Raises NoWheels.
    """
    shipped = SHIPPED / machine.words
    return shipped if shipped.exists() else gathered(LOCK.read_text("utf-8"), machine, cache, "site")


def operators_packages(machine: PythonPlatform, cache: Path) -> Path:
    """What `calln deploy` needs besides, in a folder of its own. Raises NoWheels."""
    served = dict(locked(LOCK))
    lock = "".join(text for name, text in locked(OPERATORS_LOCK) if name not in (*served, GATHERS))
    return gathered(lock, machine, cache, "tools")


def locked(lock: Path) -> list[tuple[str, str]]:
    """Each package of a lock file, and its lines there."""
    return [(found[1], found[0]) for found in LOCKED.finditer(lock.read_text("utf-8"))]


def gathered(lock: str, machine: PythonPlatform, cache: Path, kind: str) -> Path:
    """A folder with what the text of a lock file names; kept until that text changes. Raises NoWheels."""
    words = "\n".join((*machine, lock))
    kept = cache / f"{kind}-{machine.words}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    if not kept.exists():
        draft = kept.with_name(f".{kept.name}")
        shutil.rmtree(draft, ignore_errors=True)
        with NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write(lock)
            file.flush()
            download(Path(file.name), machine, draft)
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
