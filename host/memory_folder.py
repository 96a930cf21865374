"""A folder of this service in the memory of the machine: what lies there never comes to a disk, and is gone
after a boot.

systemd gives one (RuntimeDirectory=, systemd.exec(5)), which it removes when the service is stopped.
Elsewhere it is a folder in /dev/shm.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from host.startup import Unavailable

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (no disk is behind it, and the folder in it is checked)
GIVEN = "RUNTIME_DIRECTORY"
MOUNTS = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset(("tmpfs", "ramfs"))


class NotInMemory(Unavailable):
    """There is no such folder that only we can use; the text says why."""


def memory_folder(environment: Mapping[str, str] = os.environ, shared: Path = SHARED_MEMORY) -> Path:
    """The folder, which only this account can use. Raises NotInMemory."""
    given = environment.get(GIVEN, "").partition(":")[0]
    folder = Path(given) if given else shared / f"calln-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        check(folder, folder.lstat())
    except OSError as error:
        raise NotInMemory(f"{folder}: {error.strerror}") from None
    return folder


def check(folder: Path, found: os.stat_result) -> None:
    """Raises NotInMemory and OSError."""
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise NotInMemory(f"{folder}: others can write there, or own it")
    if file_system(found.st_dev) not in IN_MEMORY:
        raise NotInMemory(f"{folder}: it is on a disk")


def file_system(device: int) -> str:
    """The kind of the mounted file system with this number (proc(5)). Raises OSError."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""
