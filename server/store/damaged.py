"""A damaged store is set aside for a day, and what can be read of its bans is saved."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from ipaddress import ip_network
from pathlib import Path

from server.store import Ban

MARK, TIME = ".damaged-", "%Y%m%dT%H%M%SZ"
KEPT_SECONDS = 86_400  # of a set-aside file: it holds bans and calls that must be forgotten some day
BESIDE = ("", "-wal", "-shm")  # the files of one database
# The second way reads a file beside which nothing can be written, on a disk that is full or read-only.
READ_ONLY = ("mode=ro", "mode=ro&immutable=1")
SAVED = "SELECT network, since, until, reason FROM bans"


def readable_bans(path: Path) -> list[Ban]:
    """The bans of a file that cannot be opened for writing; as many as can be read."""
    bans: list[Ban] = []
    for way in READ_ONLY:
        with (
            suppress(sqlite3.Error, OSError, ValueError, TypeError),
            closing(sqlite3.connect(f"file:{path}?{way}", uri=True, timeout=0)) as database,
        ):
            for network, since, until, reason in database.execute(SAVED):
                bans.append(Ban(ip_network(network), int(since), until and int(until), str(reason)))
            return bans
    return bans


def set_aside(path: Path, wall: float) -> Path:
    """Rename a damaged file and those beside it, so that only their owner reads them. Raises OSError."""
    name = f"{path.name}{MARK}{time.strftime(TIME, time.gmtime(wall))}"
    for end in reversed(BESIDE):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).chmod(0o600)
            path.with_name(path.name + end).rename(path.with_name(name + end))
    return path.with_name(name)


def set_aside_files(path: Path) -> list[Path]:
    """The damaged files beside this one, the oldest first; without those that belong to them."""
    return sorted(one for one in path.parent.glob(f"{path.name}{MARK}*") if not one.name.endswith(BESIDE[1:]))


def delete_old(path: Path, wall: float) -> None:
    """Delete the set-aside files of yesterday. Raises OSError."""
    newest = time.strftime(TIME, time.gmtime(wall - KEPT_SECONDS))
    for one in set_aside_files(path):
        if one.name.rpartition(MARK)[2] <= newest:
            for end in BESIDE:
                one.with_name(one.name + end).unlink(missing_ok=True)
