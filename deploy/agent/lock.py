"""One deployment at a time on a machine: the second one learns who is at work, and since when."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = Path("/run/calln-deploy.lock")  # gone after a restart of the machine; the lock ends with its process


class Locked(Exception):
    """Another deployment is at work; says whose."""


@contextmanager
def exclusive(who: str, file: Path = FILE) -> Iterator[None]:
    """Hold the lock. Raises Locked."""
    with file.open("a+") as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"{lock_holder(file)} is working on this machine; wait until this is done") from None
        lock_file.truncate(0)
        lock_file.write(json.dumps({"who": who, "since": time.strftime("%H:%M:%S UTC", time.gmtime())}))
        lock_file.flush()
        try:
            yield
        finally:
            lock_file.truncate(0)


def lock_holder(file: Path) -> str:
    try:
        said = json.loads(file.read_text())
        return f"{said['who']} (since {said['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun or just ended
        return "another deployment"
