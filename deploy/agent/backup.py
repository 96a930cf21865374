"""The backup of a machine: the operator's configuration, secrets, certificates and bans in force.

The call log and ended bans are left out, so that a backup keeps nothing that must be forgotten. The bans are
read and written with SQL of our own: this program is sent to the machine alone, without server/store.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.agent.systemd import ACCOUNT, STATE, StepFailed

ROOT = Path("/")
FOLDERS = ("etc/calln", "etc/letsencrypt")
BANS = "bans.json"
DATABASE = "calln.sqlite3"
IN_FORCE = "SELECT network, since, until, reason FROM bans WHERE until IS NULL OR until > ?"
TABLE = (
    "CREATE TABLE IF NOT EXISTS bans (network TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER, "
    "reason TEXT NOT NULL) STRICT"
)


def make_backup() -> bytes:
    """An archive. Raises StepFailed."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for folder in FOLDERS:
            if (ROOT / folder).exists():
                tar.add(ROOT / folder, folder, filter=lambda about: about if may_restore(about) else None)
        data = json.dumps(bans_in_force()).encode()
        about = tarfile.TarInfo(BANS)
        about.size, about.mode = len(data), 0o600
        tar.addfile(about, io.BytesIO(data))
    return whole.getvalue()


def bans_in_force() -> list[Any]:
    place = database_place()
    if not place.exists():
        return []
    with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as database:
        return database.execute(IN_FORCE, (int(time.time()),)).fetchall()


def restore(data: str) -> None:
    """Write all files back to their places. Raises StepFailed if this is not a backup of Calln."""
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(data)), mode="r:gz") as tar:
            members = tar.getmembers()
            if not all(may_restore(about) for about in members) or BANS not in tar.getnames():
                raise StepFailed("this file is not a backup of Calln")
            for about in members:
                restore_member(tar, about)
    except (tarfile.TarError, OSError, EOFError, ValueError) as problem:
        raise StepFailed(f"the backup cannot be read: {problem}") from None


def may_restore(about: tarfile.TarInfo) -> bool:
    """Whether this is a file, a folder or a link inside of our folders. A link may not lead out of them."""
    if about.name == BANS:
        return about.isfile()
    name = Path(about.name)
    if about.issym():
        return is_inside(name) and is_inside(Path(os.path.normpath(name.parent / about.linkname)))
    return is_inside(name) and (about.isfile() or about.isdir())


def is_inside(path: Path) -> bool:
    """Such as the link to the configuration of the current release, which is not."""
    inside = any(path.parts[: len(Path(folder).parts)] == Path(folder).parts for folder in FOLDERS)
    return inside and ".." not in path.parts


def restore_member(tar: tarfile.TarFile, about: tarfile.TarInfo) -> None:
    """Raises StepFailed if the machine has a link in the way: what comes back is written through none."""
    path = Path(about.name)
    if about.name == BANS:
        restore_bans(json.loads(read_member(tar, about)))
    elif about.isdir():
        with open_folder(path) as folder:
            set_owner(folder, about)
    else:
        with open_folder(path.parent) as folder:
            replace_file(folder, path.name, about, read_member(tar, about) if about.isfile() else b"")


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder below ROOT; it is made where there is none. No part of its way is a link."""
    folder = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.parts:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
            try:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except OSError:
                raise StepFailed(
                    f"/{path}: a part of this path is a link or no folder; remove it, then restore again"
                ) from None
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def replace_file(folder: int, name: str, about: tarfile.TarInfo, data: bytes) -> None:
    """Write a file or a link under another name, then give it its own: no file is written into."""
    draft = f".{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(draft, dir_fd=folder)
    if about.issym():
        os.symlink(about.linkname, draft, dir_fd=folder)
    else:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(file, "wb") as made:
            made.write(data)
            set_owner(made.fileno(), about)
    os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def read_member(tar: tarfile.TarFile, about: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(about)
    return file.read() if file is not None else b""


def set_owner(file: int, about: tarfile.TarInfo) -> None:
    """Set mode and owner as they were; root if this machine does not know the owner."""
    os.fchmod(file, about.mode & 0o755)
    for name, value in (("user", about.uname), ("group", about.gname)):
        try:
            shutil.chown(file, **{name: value or "root"})
        except LookupError:
            shutil.chown(file, **{name: "root"})


def database_place() -> Path:
    """Where the ban list is, in a folder of the services' account. Raises StepFailed for a link."""
    place = ROOT / STATE.relative_to("/") / DATABASE
    for path in (place.parent, place):
        if path.is_symlink():
            raise StepFailed(f"{path} is a link; remove it, or put the file itself there")
    return place


def restore_bans(rows: list[list[Any]]) -> None:
    """Add the bans to those in the list; a running server notices them within a second."""
    place = database_place()
    place.parent.mkdir(parents=True, exist_ok=True)
    new = not place.exists()
    with closing(sqlite3.connect(place, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = ON")
        database.execute(TABLE)
        database.executemany("INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?)", rows)
    if new:
        place.chmod(0o600)
        try:
            shutil.chown(place, ACCOUNT, ACCOUNT)
        except LookupError as unknown:
            raise StepFailed(f"{unknown}; run calln deploy apply first, then restore") from None
