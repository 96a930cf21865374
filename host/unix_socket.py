"""A Unix socket of one process among several versions of it: each has a name of its own beside the one name
that the newest takes, and gives back to an older one that still lives.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from pathlib import Path

RELAY = "turn.sock"  # in site.state_dir: where a server of this machine hands TURN clients on to the relay
OURS, OUR_GROUPS = 0o600, 0o660


class Hatch:
    """Listens under a name of its own; `take` gives it the one that all know. Raises OSError."""

    def __init__(self, place: Path, mode: int = OURS) -> None:
        self.place = place
        self.own = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sock.bind(str(self.own))
            self.own.chmod(mode)
            self.sock.listen()
        except OSError:
            self.close()
            raise

    def take(self) -> None:
        """What an older version, or a dead one, had. Raises OSError."""
        give(self.own, self.place)

    def close(self) -> None:
        self.sock.close()
        with suppress(OSError):
            ours = self.place.samefile(self.own)
            self.own.unlink()
            if ours:
                self.place.unlink()
                for heir in living(self.place)[:1]:
                    give(heir, self.place)


def give(own: Path, place: Path) -> None:
    """At no time is the place empty. Raises OSError."""
    draft = place.with_name(f".{secrets.token_hex(4)}")
    draft.hardlink_to(own)
    draft.rename(place)


def others(place: Path) -> list[Path]:
    """The names of their own that sockets have at this place, the newest first."""
    found: list[tuple[float, Path]] = []
    for path in place.parent.glob(f"{place.name}.*"):
        with suppress(OSError):
            found.append((path.lstat().st_ctime, path))
    return [path for _, path in sorted(found, reverse=True)]


def living(place: Path) -> list[Path]:
    """Those of them that answer."""
    return [path for path in others(place) if not is_dead(path)]


def sweep(place: Path) -> None:
    """Take away what those left behind that were killed."""
    for path in others(place):
        if path.is_socket() and is_dead(path):
            path.unlink(missing_ok=True)


def is_dead(path: Path) -> bool:
    """Whether nobody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.setblocking(False)  # a full queue means somebody
        try:
            asked.connect(str(path))
        except BlockingIOError:
            return False
        except OSError:
            return True
    return False
