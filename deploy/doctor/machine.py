"""What the doctor looks at on the machine itself: buffers, open files and the clock."""

from __future__ import annotations

import ctypes
import errno
import math
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from config.file import Config
from turn.engines.loop.sockets import LISTENER_BUFFER
from turn.process.run import SOCKETS_PER_ALLOCATION, SPARE_SOCKETS

UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 512  # room for its structure, whose size differs between machines
RECEIVE_LIMIT = Path("/proc/sys/net/core/rmem_max")


class Finding(NamedTuple):
    """Whether something is well, what it is, and what to do if not."""

    well: bool
    text: str
    advice: str = ""


class LocalMachine(NamedTuple):
    """What is looked at: a configuration, and the figures of its relay, if that runs."""

    config: Config
    figures: list[dict[str, Any]] | None


def check_buffers(patient: LocalMachine) -> Iterator[Finding]:
    granted = int(RECEIVE_LIMIT.read_text())
    yield Finding(
        granted >= LISTENER_BUFFER,
        f"A socket may have {granted >> 10} KiB to receive into.",
        f"bursts are lost below {LISTENER_BUFFER >> 10}: sysctl -w net.core.rmem_max={LISTENER_BUFFER}",
    )


def check_descriptors(patient: LocalMachine) -> Iterator[Finding]:
    """Of the relay that runs, else of one that would be started here."""
    limits = patient.config.turn.limits
    need = limits.allocations * SOCKETS_PER_ALLOCATION + limits.connections + SPARE_SOCKETS
    may = allowed_files(patient.figures)
    who = "A relay started here" if patient.figures is None else "The relay"
    yield Finding(
        may >= need,
        f"{who} may open {'any number of' if may == math.inf else int(may)} files; a full one takes {need}.",
        "raise LimitNOFILE (or ulimit -Hn), or lower turn.limits.allocations",
    )


def allowed_files(figures: list[dict[str, Any]] | None) -> float:
    """Files; a relay without a limit says none."""
    if figures is not None:
        said = [figure["value"] for figure in figures if figure["name"] == "calln_relay_files_allowed"]
        return sum(said) if said else math.inf
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if hard == resource.RLIM_INFINITY else hard


def check_clock(patient: LocalMachine) -> Iterator[Finding]:
    """Credentials carry a time: server and relay must agree on it."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state < 0 and ctypes.get_errno() == errno.EPERM:
        yield Finding(True, "The clock is kept by this container's host.")
        return
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
