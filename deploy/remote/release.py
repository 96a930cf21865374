"""A release: this code and the packages it needs, as one archive.

Its name contains a digest of its files: the same files have the same name, so nothing is sent twice.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from deploy.remote.wheels import PythonPlatform, site_packages
from host import VERSION

ROOT = Path(__file__).parents[2]  # the tree, or the folder that a wheel was installed into
TREE = ("config", "deploy", "host", "server", "templates", "turn")
SITE = "site"  # beside the folders, in the archive and on the machine
UNSHIPPED = ("__pycache__", ".mypy_cache")
LOCKS = "deploy/locks/"  # not needed there, and a new version of a test tool must not make a new release
KEPT = 4  # archives: machines of several kinds may get theirs at the same time
HASH_DIGITS = 10  # 40 bits: two releases never get the same name by chance


class Bundle(NamedTuple):
    """The code for one kind of machine: a name such as 0.1.0-3f2a9c01d4, and the folder of its packages."""

    name: str
    site: Path


def make_bundle(machine: PythonPlatform, cache: Path, root: Path = ROOT) -> Bundle:
    """The code of this tree, for that platform. Raises NoWheels."""
    folder = site_packages(machine, cache)
    return Bundle(f"{VERSION}-{digest(root, folder)}", folder)


def digest(root: Path, folder: Path) -> str:
    """A digest of the path and content of every file."""
    whole = hashlib.sha256()
    for name, path in archive_members(root, folder):
        data = path.read_bytes()
        whole.update(f"{name}\0{len(data)}\0".encode() + data)
    return whole.hexdigest()[:HASH_DIGITS]


def archive_members(root: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """The path of each file in the archive, in order, and its path here."""
    yield from tree_members(root)
    yield from files(folder, SITE)


def tree_members(root: Path) -> Iterator[tuple[str, Path]]:
    """The same for the code of this tree alone."""
    for name in TREE:
        yield from (file for file in files(root / name, name) if not file[0].startswith(LOCKS))


def files(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield name, path
        return
    for inner in sorted(path.rglob("*")):
        parts = inner.relative_to(path).parts
        if inner.is_file() and not any(part in UNSHIPPED for part in parts):
            yield "/".join((name, *parts)), inner


def pack(release: Bundle, cache: Path, root: Path = ROOT) -> Path:
    """The archive of the code, made once."""
    archive = cache / f"{release.name}.tar.gz"
    if not archive.exists():
        # Another process may pack the same.
        draft = archive.with_name(f".{archive.name}.{secrets.token_hex(4)}")
        with draft.open("wb") as file:
            write_archive(file, root, release.site)
        draft.rename(archive)
        remove_old_archives(cache)
    return archive


def remove_old_archives(cache: Path) -> None:
    with suppress(FileNotFoundError):  # another process removes them at the same time
        for older in sorted(cache.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            older.unlink()


def write_archive(file: io.BufferedIOBase, root: Path, folder: Path) -> None:
    """Write the archive without times and owners, so that the same files give the same bytes."""
    with (
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="", compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, path in archive_members(root, folder):
            about = tarfile.TarInfo(name)
            about.size, about.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                tar.addfile(about, content)
