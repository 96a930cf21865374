"""The backup of a machine: configuration, secrets, certificates and bans in force.

The call log and ended bans are left out, so that a backup keeps nothing that must be forgotten. The bans are
read and written with SQL of our own: this program is sent to the machine alone, without server/store.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from deploy.agent.systemd import STATE, StepFailed

ROOT = Path("/")
FOLDERS = ("etc/calln", "etc/letsencrypt")
BANS = "bans.json"
DATABASE = "calln.sqlite3"
ACCOUNT = "calln"
IN_FORCE = "SELECT network, since, until, reason FROM bans WHERE until IS NULL OR until > ?"
TABLE = (
    "CREATE TABLE IF NOT EXISTS bans (network TEXT PRIMARY KEY, since INTEGER NOT NULL, until INTEGER, "
    "reason TEXT NOT NULL) STRICT"
)


def make_backup() -> str:
    """An archive, as one line of base64. Raises StepFailed."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for folder in FOLDERS:
            if (ROOT / folder).exists():
                tar.add(ROOT / folder, folder, filter=without_outside_links)
        data = json.dumps(bans_in_force()).encode()
        about = tarfile.TarInfo(BANS)
        about.size, about.mode = len(data), 0o600
        tar.addfile(about, io.BytesIO(data))
    return base64.b64encode(whole.getvalue()).decode()


def without_outside_links(about: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out links such as the one to the configuration of the current release."""
    return None if about.issym() and Path(about.linkname).is_absolute() else about


def bans_in_force() -> list[Any]:
    place = ROOT / STATE.relative_to("/") / DATABASE
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
    parts = Path(about.name).parts
    inside = any(parts[: len(Path(folder).parts)] == Path(folder).parts for folder in FOLDERS)
    kind = about.isfile() or about.isdir() or (about.issym() and not Path(about.linkname).is_absolute())
    return kind and ".." not in parts and (inside or about.name == BANS)


def restore_member(tar: tarfile.TarFile, about: tarfile.TarInfo) -> None:
    path = ROOT / about.name
    if about.name == BANS:
        restore_bans(json.loads(read_member(tar, about)))
    elif about.isdir():
        path.mkdir(parents=True, exist_ok=True)
        set_owner(path, about)
    elif about.issym():
        path.unlink(missing_ok=True)
        path.symlink_to(about.linkname)
    else:
        draft = path.with_name(f".{path.name}")
        draft.touch(mode=0o600)
        draft.write_bytes(read_member(tar, about))
        set_owner(draft, about)
        draft.rename(path)


def read_member(tar: tarfile.TarFile, about: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(about)
    return file.read() if file is not None else b""


def set_owner(path: Path, about: tarfile.TarInfo) -> None:
    """Set mode and owner as they were; root if this machine does not know the owner."""
    path.chmod(about.mode & 0o755)
    for name, value in (("user", about.uname), ("group", about.gname)):
        try:
            shutil.chown(path, **{name: value or "root"})
        except LookupError:
            shutil.chown(path, **{name: "root"})


def restore_bans(rows: list[list[Any]]) -> None:
    """Add the bans to those in the list; a running server notices them within a second."""
    place = ROOT / STATE.relative_to("/") / DATABASE
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
