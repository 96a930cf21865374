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
from deploy.agent.systemd import UNITS, Failed, releases, state, systemctl, unit

FILE = Path("/etc/calln/secrets/turn.secret")
GROUP = "calln"
TIMER = "calln-withdraw"
WITHDRAW = (  # the first line alone, in a file with the same owner and mode, in one rename
    "set -e; cp -p {file} {file}.new; head -n 1 {file} > {file}.new; mv {file}.new {file}; "
    "systemctl reload 'calln-relay@*.service'"
)


def put(order: dict[str, Any]) -> None:
    """Write the lines, have both parts read them, and withdraw all but the first after a while if asked to.

    Raises Failed.
    """
    file = {
        "text": "".join(f"{line}\n" for line in lines(order)),
        "mode": 0o640,
        "owner": "root",
        "group": GROUP,
    }
    steps.write(file, FILE)
    for role in UNITS:
        serving = [release for release in releases(role) if state(unit(role, release)) == "active"]
        for release in serving:  # one that drains takes nobody new, and keeps whom it knows
            if systemctl("reload", unit(role, release)).returncode:
                raise Failed(
                    f"{unit(role, release)} did not read the new secret; it goes on with the old one"
                )
    if order["withdraw"]:
        later(order["withdraw"])


def lines(order: dict[str, Any]) -> list[str]:
    """The new secret before or behind those there are."""
    old = [line for line in current() if line != order["new"]]
    return [order["new"], *old] if order["first"] else [*old, order["new"]]


def text() -> str | None:
    """The file as it is; None where there is none yet."""
    return FILE.read_text("utf-8") if FILE.exists() else None


def current() -> list[str]:
    """Raises Failed."""
    try:
        return [line.strip() for line in FILE.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise Failed(f"{FILE}: {error.strerror}; deploy first") from None


def later(seconds: int) -> None:
    """A timer, so that nobody has to stay."""
    systemctl("stop", f"{TIMER}.timer")
    command = ["systemd-run", "--quiet", "--collect", f"--unit={TIMER}", f"--on-active={seconds}"]
    steps.run([*command, "sh", "-c", WITHDRAW.format(file=FILE)])


def credential(order: dict[str, Any]) -> dict[str, str]:
    """One for a trial call from outside; the secret itself stays here."""
    name = f"{int(time.time()) + order['seconds']}:{order['user']}"
    digest = hmac.new(current()[0].encode(), name.encode(), hashlib.sha1).digest()
    return {"username": name, "password": base64.b64encode(digest).decode()}
