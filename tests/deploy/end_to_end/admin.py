"""Who deploys: a copy of the tree, a configuration, an SSH key, and the commands."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from deploy.remote.wheels import PythonPlatform, site_packages
from tests.deploy.end_to_end.network import Network
from tests.deploy.end_to_end.target import Target

ROOT = Path(__file__).parents[3]
TREE = ("config", "deploy", "host", "pyproject.toml", "config.example.yaml", "server", "templates", "turn")
CACHE = ROOT / ".cache/deploy"
PATIENCE = 240  # seconds for a command on a busy machine
DEBIANS = {
    "bookworm": PythonPlatform("3.11", "x86_64"),
    "trixie": PythonPlatform("3.13", "x86_64"),
    "noble": PythonPlatform("3.12", "x86_64"),
}


STEP = re.compile(r"^(?!Nothing to do|Done in)(.+) \(\d+\.\d s\)$", re.MULTILINE)


class Done(NamedTuple):
    code: int
    said: str


def changed(said: str) -> list[str]:
    """The steps that `apply` took; the removal of what drained counts as none, as it may come at any time."""
    return [step for step in STEP.findall(said) if "Remove the old release" not in step]


class Admin:
    """Works outside of the machines, where no package index is reachable: all that comes from one is here."""

    def __init__(self, network: Network, folder: Path, trust: Path) -> None:
        self.network, self.folder = network, folder / "admin"
        self.tree, self.home, self.trust = self.folder / "calln", self.folder / "home", trust
        self.file = self.tree / "config.yaml"
        self.times: dict[str, float] = {}  # seconds, by what was done

    def open(self, targets: Iterable[Target], key: Path, config: dict[str, Any]) -> None:
        self.tree.mkdir(parents=True)
        for name in TREE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.tree / name)
        keys = self.home / ".ssh"
        keys.mkdir(mode=0o700, parents=True)
        known = [target.known_hosts(self.folder / target.name).read_text() for target in targets]
        (keys / "known_hosts").write_text("".join(known))
        for name in ("", ".pub"):
            shutil.copy(f"{key}{name}", keys / f"id_ed25519{name}")
        self.file.write_text(yaml.safe_dump(config, sort_keys=False))
        cache = self.home / ".cache/calln"
        cache.mkdir(parents=True)
        for suite in {target.suite for target in targets}:
            kept = fetched_once(DEBIANS[suite])
            (cache / kept.name).symlink_to(kept)

    def change(self, name: str, text: str) -> None:
        """Add something to a file of the tree, which makes another release of it."""
        with (self.tree / name).open("a") as file:
            file.write(text)

    def restore(self, name: str) -> None:
        shutil.copy(ROOT / name, self.tree / name)

    def program(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "deploy.cli", "deploy", *words]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("SSH_")},
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "SSL_CERT_FILE": str(self.trust),
            "PYTHONPATH": str(self.tree),
        }

    def begin(self, *words: str, terminal: bool = False) -> subprocess.Popen[str]:
        """`calln deploy` with these words; nobody is there to answer, unless at a terminal."""
        command = self.program(*words, "--config", str(self.file))
        command = ["script", "-qefc", shlex.join(command), "/dev/null"] if terminal else command
        return subprocess.Popen(
            self.network.outside(*command),
            cwd=self.tree,
            env=self.environment,
            stdin=subprocess.PIPE if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def do(self, *words: str) -> Done:
        """The same until it is done; how long it took is noted."""
        begun = time.monotonic()
        with self.begin(*words) as process:
            try:
                said, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        self.times[" ".join(words)] = time.monotonic() - begun
        return Done(process.returncode, said)

    async def deploy(self, *words: str, named: str = "") -> str:
        """The same while browsers go on; what it said. It must succeed."""
        code, said = await asyncio.to_thread(self.do, *words)
        self.name(words, named)
        assert code == 0, said
        return said

    async def fails(self, *words: str, named: str = "") -> str:
        """It must not succeed; what it said."""
        code, said = await asyncio.to_thread(self.do, *words)
        self.name(words, named)
        assert code != 0, said
        return said

    def name(self, words: tuple[str, ...], named: str) -> None:
        seconds = self.times.pop(" ".join(words))
        self.times[named or " ".join(words)] = seconds


def fetched_once(platform: PythonPlatform) -> Path:
    """What Calln needs of others on such a machine, though several tests ask at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return site_packages(platform, CACHE)
