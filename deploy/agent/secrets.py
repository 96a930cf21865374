"""The secret that server and relay share, while it is changed: the old one stays as a further line as long as
calls live that began with it, and a timer of the machine's own takes it away."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

from deploy.agent import steps
from deploy.agent.systemd import UNITS, StepFailed, running_releases, systemctl, unit_name, unit_state

FILE = Path("/etc/calln/secrets/turn.secret")
GROUP = "calln"
TIMER = "calln-withdraw"
WITHDRAW = (  # the first line alone, in a file with the same owner and mode, in one rename
    "set -e; cp -p {file} {file}.new; head -n 1 {file} > {file}.new; mv {file}.new {file}; "
    "systemctl reload 'calln-relay@*.service'"
)


def change_secret(order: dict[str, Any]) -> None:
    """Write the lines, have both parts read them, and withdraw all but the first after a while if asked to.

    Raises Failed.
    """
    file = {
        "text": "".join(f"{line}\n" for line in new_lines(order)),
        "mode": 0o640,
        "owner": "root",
        "group": GROUP,
    }
    steps.write_file(file, FILE)
    for role in UNITS:
        serving = [
            release for release in running_releases(role) if unit_state(unit_name(role, release)) == "active"
        ]
        for release in serving:  # one that drains takes nobody new, and keeps whom it knows
            if systemctl("reload", unit_name(role, release)).returncode:
                raise StepFailed(
                    f"{unit_name(role, release)} did not read the new secret; it goes on with the old one"
                )
    if order["withdraw"]:
        withdraw_later(order["withdraw"])


def new_lines(order: dict[str, Any]) -> list[str]:
    """The new secret before or behind those there are."""
    old = [line for line in current_lines() if line != order["new"]]
    return [order["new"], *old] if order["first"] else [*old, order["new"]]


def secret_text() -> str | None:
    """The file as it is; None where there is none yet."""
    return FILE.read_text("utf-8") if FILE.exists() else None


def current_lines() -> list[str]:
    """Raises Failed."""
    try:
        return [line.strip() for line in FILE.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise StepFailed(f"{FILE}: {error.strerror}; deploy first") from None


def withdraw_later(seconds: int) -> None:
    """A timer, so that nobody has to stay."""
    systemctl("stop", f"{TIMER}.timer")
    command = ["systemd-run", "--quiet", "--collect", f"--unit={TIMER}", f"--on-active={seconds}"]
    steps.run_command([*command, "sh", "-c", WITHDRAW.format(file=FILE)])


def trial_credential(order: dict[str, Any]) -> dict[str, str]:
    """One for a trial call from outside; the secret itself stays here."""
    name = f"{int(time.time()) + order['seconds']}:{order['user']}"
    digest = hmac.new(current_lines()[0].encode(), name.encode(), hashlib.sha1).digest()
    return {"username": name, "password": base64.b64encode(digest).decode()}
