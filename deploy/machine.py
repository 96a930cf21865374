"""What the doctor looks at on the machine itself: buffers, open files and the clock."""

from __future__ import annotations

import ctypes
import errno
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from config import Config
from turn.engines.sockets import LISTENER_BUFFER
from turn.process import SOCKETS_PER_ALLOCATION, SPARE_SOCKETS

UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 512  # room for its structure, whose size differs between machines
RECEIVE_LIMIT = Path("/proc/sys/net/core/rmem_max")


class Finding(NamedTuple):
    """Whether something is well, what it is, and what to do if not."""

    well: bool
    text: str
    advice: str = ""


class Patient(NamedTuple):
    """What is looked at: a configuration, and the figures of its relay, if that runs."""

    config: Config
    figures: list[dict[str, Any]] | None


def buffers(patient: Patient) -> Iterator[Finding]:
    granted = int(RECEIVE_LIMIT.read_text())
    yield Finding(
        granted >= LISTENER_BUFFER,
        f"A socket may have {granted >> 10} KiB to receive into.",
        f"bursts are lost below {LISTENER_BUFFER >> 10}: sysctl -w net.core.rmem_max={LISTENER_BUFFER}",
    )


def descriptors(patient: Patient) -> Iterator[Finding]:
    limits = patient.config.turn.limits
    need = limits.allocations * SOCKETS_PER_ALLOCATION + limits.connections + SPARE_SOCKETS
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    yield Finding(
        unlimited or hard >= need,
        f"A process may open {'any number of' if unlimited else hard} files; a full relay takes {need}.",
        "raise LimitNOFILE (or ulimit -Hn), or lower turn.limits.allocations",
    )


def clock(patient: Patient) -> Iterator[Finding]:
    """Credentials carry a time: server and relay must agree on it."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state < 0:
        name = errno.errorcode.get(ctypes.get_errno(), "an error")
        yield Finding(
            False, f"The clock's state cannot be read ({name}).", "look whether it is right: date -u"
        )
        return
    told = time.strftime("%H:%M:%S", time.gmtime())
    kept = "set by nobody" if state == UNSYNCHRONISED else "kept right"
    seconds = patient.config.turn.credential_seconds
    yield Finding(
        state != UNSYNCHRONISED,
        f"The clock says {told} UTC, {kept}.",
        f"credentials last {seconds} seconds; install systemd-timesyncd or chrony",
    )
