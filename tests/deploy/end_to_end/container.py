"""The image of deploy/image, built by buildah on a Debian of ours, and run as the image says.

systemd-nspawn runs it, because container runtimes set limits and control groups, which a machine for tests
may not let them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.end_to_end.image import BUILD_SECONDS, fetched, image

TREE = Path(__file__).parents[3]
LOCKS = ("run", "build")
BASE, BUILT = "localhost/calln-test-base", "localhost/calln-test"
BUILD = ("buildah", "build", "--isolation=chroot", "--network=host", "--quiet")
STATE, SETTINGS = "/var/lib/calln", "/etc/calln/config.yaml"


def call(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def make_base(folder: Path) -> None:
    """Debian with a Python that can make environments, as its package python3-venv is."""
    call("tar", "--create", "--file", folder / "root.tar", "--directory", image(), ".")
    (folder / "packages").mkdir()
    for package in fetched("bookworm", "python3-venv"):
        shutil.copy(package, folder / "packages")
    (folder / "Containerfile").write_text(
        "FROM scratch\nADD root.tar /\nCOPY packages /packages\nRUN dpkg --install /packages/*.deb\n"
    )
    call(*BUILD, "--tag", BASE, folder)
    (folder / "root.tar").unlink()


def gather(folder: Path) -> None:
    """The packages of the locks, so that the build itself needs no network."""
    python = ("--only-binary=:all:", "--python-version", "3.11", "--quiet")
    for lock in LOCKS:
        file = TREE / f"deploy/locks/{lock}.txt"
        pip = (sys.executable, "-m", "pip", "download", *python, "--require-hashes", "--dest", folder)
        call(*pip, "--requirement", file)


def build(folder: Path) -> None:
    for name in ("base", "wheels"):
        (folder / name).mkdir()
    make_base(folder / "base")
    gather(folder / "wheels")
    settings = {"BASE": BASE, "PIP_NO_INDEX": "true", "PIP_FIND_LINKS": "/wheels"}
    arguments = [word for name, value in settings.items() for word in ("--build-arg", f"{name}={value}")]
    recipe = ("--file", TREE / "deploy/image/Containerfile", "--volume", f"{folder / 'wheels'}:/wheels:ro")
    call(*BUILD, *arguments, *recipe, "--tag", BUILT, TREE)


def described() -> Any:
    """What the image says of itself: user, command, environment."""
    return json.loads(call("buildah", "inspect", "--type", "image", BUILT))["OCIv1"]["config"]


@contextmanager
def container() -> Iterator[Path]:
    """The root of a container from the image."""
    name = call("buildah", "from", BUILT).strip()
    try:
        yield Path(call("buildah", "mount", name).strip())
    finally:
        call("buildah", "rm", name)


def start(root: Path, folder: Path, file: Path, log: Path, *words: str) -> subprocess.Popen[bytes]:
    """Run the image's command, or `words` in its place; nothing but the state can be written."""
    said = described()
    user, group = map(int, said["User"].split(":"))
    state = folder / "state"
    if not state.exists():
        state.mkdir(mode=0o700)
        os.chown(state, user, group)
    how = (
        *("--quiet", "--read-only", "--drop-capability=all", "--no-new-privileges=yes", "--as-pid2"),
        *(
            "--keep-unit",
            "--register=no",
            "--tmpfs=/tmp",
            f"--directory={root}",
            f"--user={name_of(root, user)}",
        ),
        *(f"--bind={state}:{STATE}", f"--bind-ro={file}:{SETTINGS}", f"--chdir={said['WorkingDir']}"),
        *(f"--setenv={line}" for line in said["Env"]),
    )
    with log.open("wb") as output:
        command = ("systemd-nspawn", *how, *said["Entrypoint"], *(words or said["Cmd"]))
        return subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)


def name_of(root: Path, user: int) -> str:
    lines = (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())
    return next(line[0] for line in lines if line[2] == str(user))
