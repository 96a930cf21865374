"""One deployment at a time on a machine: whoever comes second is told who is first, and since when."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = Path("/run/calln-deploy.lock")  # ends with the machine's next start, and the lock with its process


class Locked(Exception):
    """Somebody else is at it; says who."""


@contextmanager
def exclusive(who: str, file: Path = FILE) -> Iterator[None]:
    """Raises Held."""
    with file.open("a+") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"{lock_holder(file)} works on this machine; wait until that is done") from None
        door.truncate(0)
        door.write(json.dumps({"who": who, "since": time.strftime("%H:%M:%S UTC", time.gmtime())}))
        door.flush()
        try:
            yield
        finally:
            door.truncate(0)


def lock_holder(file: Path) -> str:
    try:
        said = json.loads(file.read_text())
        return f"{said['who']} (since {said['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has just come, or just gone
        return "somebody else"
