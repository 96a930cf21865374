"""The copy of a daily backup on another machine, by SFTP with a key of this machine's own."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from deploy.agent.systemd import StepFailed

HOME = Path("/var/lib/calln-backup")  # the unit's StateDirectory: key, and the other machine's as first seen
NAME = re.compile(r"calln-\d{4}-\d\d-\d\d\.tar\.gz(\.age)?")
SSH = 22
SECONDS = 3600  # for one session; a line that stands still is given up before
OPTIONS = (
    "BatchMode=yes",
    "LogLevel=ERROR",
    "IdentitiesOnly=yes",
    "StrictHostKeyChecking=accept-new",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
)


class CopyTarget(NamedTuple):
    """Where copies go: a folder on another machine."""

    user: str
    host: str
    port: int
    folder: str

    @classmethod
    def of(cls, url: str) -> Self:
        """From ssh://USER@HOST[:PORT]/FOLDER, which the configuration has checked."""
        found = urlsplit(url)
        host = str(found.hostname)
        return cls(str(found.username), f"[{host}]" if ":" in host else host, found.port or SSH, found.path)


def copy_backup(path: Path, keep: int, target: CopyTarget, home: Path = HOME) -> str:
    """Put a backup into a folder of this machine's name there, then remove all but the newest `keep`.

    Args:
        path: the file.
        keep: how many stay there.
        target: the other machine.
        home: where key and known hosts are kept; the key is made when it is needed first.

    Returns:
        Where the copy is, for a person.

    Raises:
        StepFailed: there is no copy; says what to do.
    """
    folder = f"{target.folder}/{socket.gethostname()}"
    make_key(home)
    put = (
        *(f'-mkdir "{folder}"', f'-chmod 700 "{folder}"', f'put "{path}" "{folder}/.new"'),
        *(
            f'chmod 600 "{folder}/.new"',
            f'rename "{folder}/.new" "{folder}/{path.name}"',
            f'ls -1 "{folder}"',
        ),
    )
    found = [name for line in sftp(put, target, home).splitlines() if NAME.fullmatch(name := Path(line).name)]
    older = sorted(set(found), reverse=True)[keep:]
    if older:
        sftp([f'-rm "{folder}/{name}"' for name in older], target, home)
    return f"{target.user}@{target.host}:{folder}/{path.name}"


def make_key(home: Path) -> None:
    key = home / "id_ed25519"
    if not key.exists():
        words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"calln-backup@{socket.gethostname()}")
        run((*words, "-f", str(key)), "")


def sftp(commands: list[str] | tuple[str, ...], target: CopyTarget, home: Path) -> str:
    """What a session with these commands has printed. Raises StepFailed."""
    options = [*OPTIONS, f"IdentityFile={home}/id_ed25519", f"UserKnownHostsFile={home}/known_hosts"]
    words = [word for option in options for word in ("-o", option)]
    argv = ("sftp", "-b", "-", "-P", str(target.port), *words, f"{target.user}@{target.host}")
    try:
        return run(argv, "\n".join(commands) + "\n")
    except StepFailed as problem:
        raise StepFailed(f"{problem}{advice(str(problem), target, home)}") from None


def advice(problem: str, target: CopyTarget, home: Path) -> str:
    """What to do next, where that is known."""
    if "Permission denied (" in problem:
        key = (home / "id_ed25519.pub").read_text().strip()
        return f"; add this line to ~/.ssh/authorized_keys of {target.user} on {target.host}: {key}"
    if "HOST IDENTIFICATION HAS CHANGED" in problem or "Host key verification failed" in problem:
        return f"; if {target.host} has a new key, remove {home}/known_hosts"
    return ""


def run(argv: tuple[str, ...], given: str) -> str:
    try:
        done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{argv[0]} took more than an hour") from None
    except OSError as error:
        raise StepFailed(f"{argv[0]}: {error.strerror}; install it: apt install openssh-client") from None
    if done.returncode:
        raise StepFailed(" ".join(done.stderr.split()) or f"{argv[0]} ended with {done.returncode}")
    return done.stdout
