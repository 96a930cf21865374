"""What both processes need of the machine before they serve: open files, and addresses to listen at."""

from __future__ import annotations

import errno
import os
import pwd
import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The folder of the file may be right, but the disk, or the owner of a file in it, is not.
TROUBLES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE),
    *(errno.EACCES, errno.EPERM),
)

CORE_CONTENT = Path("/proc/self/coredump_filter")

Option = tuple[int, int, int]  # level, name and value, as for setsockopt(2)


class Unavailable(Exception):
    """The process cannot start on this machine as it is; the text says why and what to do."""


class StateUnavailable(Unavailable):
    """The machine does not let us use the state folder now, for example because its disk is full."""

    def __init__(self, text: str, error: OSError) -> None:
        super().__init__(text)
        self.error = error


def raise_descriptor_limit() -> int | None:
    """How many files and sockets may be open from now on: as many as the machine grants. None: no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def forbid_core_dumps() -> None:
    """The memory holds texts, session descriptions and secrets: no crash may write it to a disk.

    The limit ends core files, and systemd's and Ubuntu's handlers keep to it. A handler that does not keep to
    it gets no memory (core(5), coredump_filter). Processes that this one starts inherit both.
    """
    with suppress(OSError, ValueError):  # where a service manager forbids the call, it has set the limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        CORE_CONTENT.write_text("0")


ALWAYS: tuple[Option, ...] = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


def bind_tcp(host: str, port: int, key: str, options: Iterable[Option] = ()) -> socket.socket:
    """A TCP socket for an address that stands at `key` in the file. Raises Unavailable.

    What is accepted there sends without delay: else of two short messages the second one waits for the first
    one's acknowledgement, some 40 ms. (asyncio sees to that only for sockets that name their protocol.)
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        for option in (*ALWAYS, *options):
            bound.setsockopt(*option)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise Unavailable(f"{address}: {error.strerror}; write another address in {key}") from None
    return bound


def refuse_root(folder: Path) -> None:
    """Root would leave files in the folder that its owner's processes cannot use. Raises Unavailable."""
    with suppress(OSError):
        owner = folder.stat().st_uid
        if os.geteuid() == 0 and owner != 0:
            name = account_name(owner)
            raise Unavailable(
                f"{folder} belongs to the account {name}, and files of root in it would shut its services "
                "out; on a machine that make deploy has set up, run systemctl start calln; elsewhere run "
                f"this as that account: runuser -u {name} -- COMMAND"
            )


def account_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@contextmanager
def in_state_dir(path: Path) -> Iterator[None]:
    """Turns an OSError about this path into what an operator can do. Raises Unavailable, and StateUnavailable
    where the path itself may be right."""
    try:
        yield
    except OSError as error:
        text = f"{path}: {error.strerror or error}; point site.state_dir elsewhere"
        if error.errno in TROUBLES:
            raise StateUnavailable(text, error) from None
        raise Unavailable(text) from None
