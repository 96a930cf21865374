"""Checks of this machine: buffers, open files, the clock, and the files of the server."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from config.file import Config
from config.problems import ConfigError
from config.secrets import turn_secrets
from deploy.doctor.operator_client import OperatorError, request_json
from host.startup import account_name
from server.store.damaged import set_aside_files
from server.store.sqlite import FILE
from turn.engines.kernel.loader import LINK
from turn.engines.kernel.routes import interfaces
from turn.engines.loop.sockets import LISTENER_BUFFER
from turn.process.run import SOCKETS_PER_ALLOCATION, SPARE_SOCKETS

UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
TIMEX_BYTES = 512  # room for its structure, whose size differs between machines
RELEASES = Path("/opt/calln/releases")
ROOM = 400 << 20  # bytes: what the next release needs at most
WITHDRAWAL = Path("/etc/systemd/system/calln-withdraw.timer")  # by deploy.agent.secrets
RECEIVE_LIMIT = Path("/proc/sys/net/core/rmem_max")
KERNEL_FILES = Path("/sys/fs/bpf/calln")  # where calln-kernel@.service has loaded what carries calls
# Checks of a call pass the firewall; without them it ends after so long, or when its permissions end.
CONSENT_SECONDS, PERMISSION_SECONDS = 30, 300


class Finding(NamedTuple):
    """One result: whether it is good, what was found, and what to do if it is bad."""

    well: bool
    text: str
    advice: str = ""


class LocalMachine(NamedTuple):
    """What is checked: the configuration, and the figures of the relay if it runs."""

    config: Config
    figures: list[dict[str, Any]] | None


def check_secrets(machine: LocalMachine) -> Iterator[Finding]:
    """Old secrets: everybody who has one can still make credentials for the relay."""
    with contextlib.suppress(ConfigError):  # said by the check of the configuration
        old = len(turn_secrets(machine.config)) - 1
        if old and WITHDRAWAL.exists():
            yield Finding(True, "An old secret is valid until systemd withdraws it (calln-withdraw.timer).")
        elif old:
            yield Finding(
                False,
                f"{old} old secret{'s are' * (old > 1) or ' is'} still valid, and nothing withdraws "
                f"{'them' if old > 1 else 'it'}.",
                "run calln deploy secrets rotate; in a file of your own, remove all lines but the first",
            )


def check_owners(machine: LocalMachine) -> Iterator[Finding]:
    """What a command as root may have left in the state folder. Only its owner and root may look."""
    folder = machine.config.site.state_dir
    with contextlib.suppress(OSError):
        owner = folder.stat().st_uid
        foreign = [path for path in sorted(folder.rglob("*")) if path.lstat().st_uid != owner]
        if foreign:
            listed = ", ".join(map(str, foreign[:3]))
            advice = f"run: chown --recursive --no-dereference {account_name(owner)}: {folder}"
            yield Finding(
                False, f"The services cannot use {listed}, which belong to another account.", advice
            )


def check_buffers(machine: LocalMachine) -> Iterator[Finding]:
    granted = int(RECEIVE_LIMIT.read_text())
    yield Finding(
        granted >= LISTENER_BUFFER,
        f"A socket may have a receive buffer of {granted >> 10} KiB.",
        f"with less than {LISTENER_BUFFER >> 10} KiB packets are lost; run: sysctl -w "
        f"net.core.rmem_max={LISTENER_BUFFER}",
    )


def check_descriptors(machine: LocalMachine) -> Iterator[Finding]:
    """Open files of the running relay, or else of one that would be started here."""
    limits = machine.config.turn.limits
    need = limits.allocations * SOCKETS_PER_ALLOCATION + limits.connections + SPARE_SOCKETS
    may = allowed_files(machine.figures)
    who = "A relay started here" if machine.figures is None else "The relay"
    number = "any number of" if may == math.inf else int(may)
    yield Finding(
        may >= need,
        f"{who} may open {number} files; with all limits used it needs {need}.",
        "raise LimitNOFILE in systemd (or ulimit -Hn), or lower turn.limits.allocations",
    )


def allowed_files(figures: list[dict[str, Any]] | None) -> float:
    """The number of files; a relay without a limit has no such figure."""
    if figures is not None:
        said = [figure["value"] for figure in figures if figure["name"] == "calln_relay_files_allowed"]
        return sum(said) if said else math.inf
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if hard == resource.RLIM_INFINITY else hard


def check_disk(machine: LocalMachine) -> Iterator[Finding]:
    """Bans, calls and releases need room; what is full is said once for a disk."""
    places = [path for path in (machine.config.site.state_dir, RELEASES) if path.exists()]
    for path in {path.stat().st_dev: path for path in places}.values():
        free = shutil.disk_usage(path).free
        yield Finding(
            free >= ROOM,
            f"The disk of {path} has {free >> 20} MiB left.",
            "make room: apt clean, journalctl --vacuum-size=100M",
        )


def check_engine(machine: LocalMachine) -> Iterator[Finding]:
    """What moves the packets of the running relay, why, and what these then pass by."""
    turn = machine.config.turn
    labels = [one["labels"] for one in machine.figures or [] if one["name"] == "calln_relay_engine"]
    for engine, reason in sorted({(one["engine"], one["reason"]) for one in labels}):
        if engine == "kernel":
            seconds = PERMISSION_SECONDS if turn.encrypted_only == "off" else CONSENT_SECONDS
            yield Finding(
                True,
                "Calls by UDP ride in the kernel, past the firewall of this machine, and so do answers to "
                "Binding requests. calln ban and calln relay kill end a call at once, a new rule of the "
                f"firewall within {seconds} seconds.",
            )
        elif reason:
            yield Finding(
                True, f"The relay carries calls itself, as they cannot ride in the kernel: {reason}."
            )
        else:
            yield Finding(True, "The relay carries calls itself, as turn.engine wants it.")


def check_interfaces(machine: LocalMachine) -> Iterator[Finding]:
    """Those that root's part has not met yet. Only root may look; before Linux 6.6 nothing of it is kept."""
    there = dict(interfaces())
    with contextlib.suppress(OSError):
        for place in KERNEL_FILES.glob("*/0"):
            served = {int(link.name.removeprefix(LINK)) for link in place.glob(f"{LINK}*")}
            names = [socket.if_indextoname(number) for number in there.keys() - served]
            if served and names:
                yield Finding(
                    False,
                    f"Calls that come in by {', '.join(sorted(names))} do not ride in the kernel.",
                    "run: systemctl reload 'calln-kernel@*'",
                )


def check_clock(machine: LocalMachine) -> Iterator[Finding]:
    """Credentials contain a time, so the clocks of server and relay must agree."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state < 0 and ctypes.get_errno() == errno.EPERM:
        yield Finding(True, "This container uses the clock of its host.")
        return
    if state < 0:
        name = errno.errorcode.get(ctypes.get_errno(), "an error")
        yield Finding(
            False, f"The clock's state cannot be read ({name}).", "check that the time is right: date -u"
        )
        return
    now = time.strftime("%H:%M:%S", time.gmtime())
    kept = "not synchronised" if state == UNSYNCHRONISED else "synchronised"
    seconds = machine.config.turn.credential_seconds
    yield Finding(
        state != UNSYNCHRONISED,
        f"The clock says {now} UTC and is {kept}.",
        f"calls fail if the clock is wrong by {seconds} seconds; install systemd-timesyncd or chrony",
    )


def check_store(machine: LocalMachine) -> Iterator[Finding]:
    """Whether the running server can write ban list and call log."""
    state_dir = machine.config.site.state_dir
    try:
        problem = request_json(state_dir, "GET", "/store")["problem"]
    except OperatorError:
        return  # no server runs here
    if problem is not None:
        advice = "bans and calls are in memory only, and a restart forgets them; mend the file or the disk"
        yield Finding(False, f"{problem}.", advice)
        return
    yield Finding(True, "The ban list and the call log can be written.")
    for path in set_aside_files(state_dir / FILE):
        advice = f"look at calln ban list for bans that are missing, then: rm {path}*"
        yield Finding(False, f"{path} was damaged and set aside; it is deleted after a day.", advice)
