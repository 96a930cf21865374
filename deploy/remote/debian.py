"""The Debian package: this code, and what it needs of others for the Python of each Debian that it is for.

It brings the program alone. `calln setup` puts the rest on a machine, by the same steps as
`calln deploy apply`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from importlib.resources import files as resources
from pathlib import Path
from typing import NamedTuple

from deploy.remote.certificates import FORGET
from deploy.remote.release import LOCKS, ROOT, files, tree_members
from deploy.remote.removal import DATA, WORDS
from deploy.remote.render import environment
from deploy.remote.wheels import LOCK, SHIPPED, PythonPlatform, operators_packages, site_packages
from host import VERSION

PARTS = "package"  # in templates/, laid out as in the package
HOME, DOCUMENTS = "usr/lib/calln", "usr/share/doc/calln"
ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}  # of Debian -> as `uname -m` shows it
PYTHONS = ("3.11", "3.12", "3.13")  # Debian 12, Ubuntu 24.04, Debian 13
CACHE_HOME = "/var/cache"
LEVEL = 6  # of xz
CHANGES = """calln ({version}) unstable; urgency=medium

  * What is new is in CHANGELOG.md.gz beside this file.

 -- {maintainer}  {date}
"""


class Recipe(NamedTuple):
    """What a package is made from; `cache` keeps what was gathered, `now` is seconds since 1970."""

    arch: str
    pythons: Sequence[str]
    maintainer: str
    cache: Path
    now: int
    level: int = LEVEL
    root: Path = ROOT


def build(recipe: Recipe, folder: Path) -> Path:
    """Make the package in that folder; the same recipe makes the same bytes. Raises NoWheels."""
    made = folder / f"calln_{VERSION}_{recipe.arch}.deb"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        stage = Path(name) / "stage"
        lay(recipe, stage)
        # One thread, as several cut what they compress into blocks.
        compress = ("-Zxz", f"-z{recipe.level}", "--threads-max=1", "--root-owner-group")
        subprocess.run(  # noqa: S603
            ["dpkg-deb", *compress, "--build", str(stage), str(made)],  # noqa: S607
            env={**os.environ, "SOURCE_DATE_EPOCH": str(recipe.now)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return made


def lay(recipe: Recipe, stage: Path) -> None:
    """Lay out all files as they will be on the machine, and what dpkg wants to know of them."""
    laid: dict[bytes, Path] = {}
    for name, path in members(recipe):
        lay_file(path.read_bytes(), stage / name, laid)
    for name, data in documents(recipe):
        lay_file(data, stage / name, laid)
    size = sum(path.stat().st_size for path in laid.values()) >> 10
    for name, text in rendered(recipe, size):
        runs = text.startswith("#!")
        lay_file(text.encode(), stage / name, laid, 0o755 if runs else 0o644)
    lay_file(checksums(stage).encode(), stage / "DEBIAN/md5sums", laid)
    for place in (stage, *(path for path in stage.rglob("*") if path.is_dir())):
        place.chmod(0o755)


def members(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """The path of each file in the package, and its path here."""
    for name, path in (*tree_members(recipe.root), (f"{LOCKS}{LOCK.name}", LOCK)):
        yield f"{HOME}/{name}", path
    for python in recipe.pythons:
        machine = PythonPlatform(python, ARCHES[recipe.arch])
        for kind, gather in ((SHIPPED.name, site_packages), ("tools", operators_packages)):
            for name, path in files(gather(machine, recipe.cache), machine.words):
                yield f"{HOME}/{kind}/{name}", path


def lay_file(data: bytes, place: Path, laid: dict[bytes, Path], mode: int = 0o644) -> None:
    """Write a file, or link it to an equal one: most packages are the same for each Python."""
    place.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data + bytes([mode & 0o111])).digest()
    if digest in laid:
        os.link(laid[digest], place)
        return
    place.write_bytes(data)
    place.chmod(mode)
    laid[digest] = place


def documents(recipe: Recipe) -> Iterator[tuple[str, bytes]]:
    date = formatdate(recipe.now)
    changes = CHANGES.format(version=VERSION, maintainer=recipe.maintainer, date=date)
    yield f"{DOCUMENTS}/changelog.gz", zipped(changes.encode())
    yield f"{DOCUMENTS}/CHANGELOG.md.gz", zipped((recipe.root / "CHANGELOG.md").read_bytes())
    example = (recipe.root / "config.example.yaml").read_bytes()
    yield f"{DOCUMENTS}/examples/config.example.yaml", example


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


def rendered(recipe: Recipe, size: int) -> Iterator[tuple[str, str]]:
    """The files of templates/package; `size` is in KiB."""
    oldest, newest = recipe.pythons[0], recipe.pythons[-1]
    major, minor = newest.split(".")
    values = {
        "version": VERSION,
        "arch": recipe.arch,
        "maintainer": recipe.maintainer,
        "size": size,
        "oldest": oldest,
        "beyond": f"{major}.{int(minor) + 1}",
        "cache_home": CACHE_HOME,
        "cache": f"{CACHE_HOME}/calln",
        "data": " ".join(DATA),
        "logs": WORDS,
        "forget": FORGET,
        "licence": (recipe.root / "LICENSE").read_text("utf-8"),
    }
    fill, parts = environment(), Path(str(resources("templates"))) / PARTS
    for path in sorted(path for path in parts.rglob("*") if path.is_file()):
        name = path.relative_to(parts).as_posix()
        yield name, fill.get_template(f"{PARTS}/{name}").render(values)


def checksums(stage: Path) -> str:
    """Of all files but dpkg's own, as dpkg --verify reads them."""
    inside = (path for path in sorted(stage.rglob("*")) if path.is_file())
    rows = ((path.relative_to(stage).as_posix(), path.read_bytes()) for path in inside)
    return "".join(
        f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {name}\n"
        for name, data in rows
        if not name.startswith("DEBIAN/")
    )


def this_arch() -> str:
    """Of this computer, as Debian calls it."""
    return next((name for name, machine in ARCHES.items() if machine == os.uname().machine), "amd64")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("deploy.remote.debian", description="Build the Debian package.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="keeps what was downloaded")
    parser.add_argument("--maintainer", required=True, metavar="'NAME <ADDRESS>'")
    parser.add_argument("--arch", choices=ARCHES, default=this_arch())
    parser.add_argument("--pythons", nargs="+", choices=PYTHONS, default=PYTHONS)
    parser.add_argument("--level", type=int, default=LEVEL, help=f"of compression (default: {LEVEL})")
    options = parser.parse_args(arguments)
    now = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    recipe = Recipe(
        options.arch, options.pythons, options.maintainer, options.cache, now, level=options.level
    )
    made = build(recipe, options.folder)
    print(f"{made} ({made.stat().st_size >> 20} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
