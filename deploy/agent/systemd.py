"""The systemd units of the releases: start, state and last log lines."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from pathlib import Path

UNITS = {"turn": "calln-relay", "server": "calln-server"}  # in the order in which they start
SOCKETS = {"turn": "relay.sock", "server": "server.sock"}  # each says there whether it is ready
STATE = Path("/var/lib/calln")
ACCOUNT = "calln"
NAMESPACE = "calln"
LAST_LINES = 8
READY_SECONDS, LOOK_SECONDS, ANSWER_SECONDS = 15.0, 0.1, 2.0
RUNNING = ("active", "activating", "reloading", "deactivating")


class StepFailed(Exception):
    """A step failed; says why."""


def unit_name(role: str, release: str) -> str:
    return f"{UNITS[role]}@{release}.service"


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True)  # noqa: S603, S607


def unit_state(name: str) -> str:
    """The state: active, deactivating (ends after its last call), failed, or inactive if there is no unit."""
    return systemctl("show", "--property=ActiveState", "--value", name).stdout.strip()


def running_releases(role: str) -> list[str]:
    """The releases with a process of this role, also if it is starting or ending."""
    said = systemctl("list-units", "--all", "--plain", "--no-legend", f"{UNITS[role]}@*.service").stdout
    rows = [line.split() for line in said.splitlines() if line.strip()]
    return [row[0].split("@", 1)[1].removesuffix(".service") for row in rows if row[2] in RUNNING]


def reload_serving() -> None:
    """Let the services read secrets and certificates anew; one that only ends needs nothing new. Raises
    StepFailed."""
    for role in UNITS:
        for release in running_releases(role):
            name = unit_name(role, release)
            if unit_state(name) == "active" and systemctl("reload", name).returncode:
                raise StepFailed(f"{name} did not read what is new; it still uses what was there before")


def all_running() -> set[str]:
    return {release for role in UNITS for release in running_releases(role)}


def last_log_lines(name: str) -> str:
    """The last lines of its journal, which contains no addresses."""
    command = ["journalctl", f"--namespace={NAMESPACE}", "--unit", name, "--output=cat", "--no-pager"]
    said = subprocess.run([*command, f"--lines={LAST_LINES}"], capture_output=True, text=True)  # noqa: S603
    return said.stdout.strip()


def start_unit(role: str, release: str) -> None:
    """Start a release and wait until it is ready. Raises StepFailed."""
    name = unit_name(role, release)
    if systemctl("start", name).returncode:
        raise StepFailed(f"{name} does not start. Its last log lines:\n{last_log_lines(name) or 'none'}")
    end = time.monotonic() + READY_SECONDS
    while not is_ready(role):
        if time.monotonic() > end or unit_state(name) not in RUNNING:
            raise StepFailed(
                f"{name} started, but is not ready. Its last log lines:\n{last_log_lines(name) or 'none'}"
            )
        time.sleep(LOOK_SECONDS)


def wait_until_drained(role: str) -> None:
    """Wait until no process of the role accepts new clients. Raises StepFailed."""
    end = time.monotonic() + READY_SECONDS
    while is_ready(role):
        if time.monotonic() > end:
            raise StepFailed(f"{UNITS[role]} does not end; see: calln deploy logs")
        time.sleep(LOOK_SECONDS)


def is_ready(role: str) -> bool:
    """Whether the newest process of the role says so at its socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = sock
    try:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(str(STATE / SOCKETS[role]))
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
