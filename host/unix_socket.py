"""A Unix socket that several versions of one process have: each under a name of its own, the newest also
under the name that all know.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

from host.startup import in_state_dir

RELAY = "turn.sock"  # in site.state_dir: the server of this machine hands TURN clients to the relay here
OWNER_ONLY, GROUP_TOO = 0o600, 0o660


class VersionedSocket:
    """Listens under its own name; `publish` gives it the known one. Raises Unavailable."""

    def __init__(self, path: Path, mode: int = OWNER_ONLY) -> None:
        self.path = path
        self.own_path = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with in_state_dir(path):
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                remove_dead(path)
                self.sock.bind(str(self.own_path))
                self.own_path.chmod(mode)
                self.sock.listen()
            except OSError:
                self.withdraw()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()

    def publish(self) -> None:
        """Take the known name from an older version or a dead one. Raises Unavailable."""
        with in_state_dir(self.path):
            hardlink(self.own_path, self.path)

    def withdraw(self) -> None:
        """Close; the known name goes to the newest of the other versions."""
        self.sock.close()
        with suppress(OSError):
            published = self.path.samefile(self.own_path)
            self.own_path.unlink()
            if published:
                self.path.unlink()
                for other in living(self.path)[:1]:
                    hardlink(other, self.path)


def hardlink(own_path: Path, path: Path) -> None:
    """Never leaves the path empty. Raises OSError."""
    draft = path.with_name(f".{secrets.token_hex(4)}")
    draft.hardlink_to(own_path)
    draft.rename(path)


def own_names(path: Path) -> list[Path]:
    """The own names of all sockets for this path, the newest first."""
    found: list[tuple[float, Path]] = []
    for own_path in path.parent.glob(f"{path.name}.*"):
        with suppress(OSError):
            found.append((own_path.lstat().st_ctime, own_path))
    return [own_path for _, own_path in sorted(found, reverse=True)]


def living(path: Path) -> list[Path]:
    """Those that answer."""
    return [own_path for own_path in own_names(path) if not is_dead(own_path)]


def remove_dead(path: Path) -> None:
    """Remove what killed processes left."""
    for own_path in own_names(path):
        if own_path.is_socket() and is_dead(own_path):
            own_path.unlink(missing_ok=True)


def is_dead(path: Path) -> bool:
    """Whether nobody listens there. A socket that cannot be asked now, for whatever reason, is not dead."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.setblocking(False)  # a full queue means that somebody listens
            asked.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False
