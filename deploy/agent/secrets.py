"""Changes the secret of server and relay.

The old secret stays as a second line, because running calls still use it. A timer on the machine removes it
(by calln-withdraw.service).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from pathlib import Path
from typing import Any

from deploy.agent import steps
from deploy.agent.systemd import StepFailed, reload_serving, systemctl

FILE = Path("/etc/calln/secrets/turn.secret")
GROUP = "calln"
TIMER = "calln-withdraw.timer"
TIMER_FILE = Path("/etc/systemd/system") / TIMER
TIMER_TEXT = """# Written when the secret changed. If the machine is off then, this happens at its next start.
[Unit]
Description=Withdraw the old secret of Calln

[Timer]
OnCalendar={then}
Persistent=yes

[Install]
WantedBy=timers.target
"""


def change_secret(order: dict[str, Any]) -> None:
    """Write the new lines, let server and relay read them, and remove the old ones later if asked to.

    Raises StepFailed.
    """
    file = {
        "text": "".join(f"{line}\n" for line in new_lines(order)),
        "mode": 0o640,
        "owner": "root",
        "group": GROUP,
    }
    steps.write_file(file, FILE)
    reload_serving()
    if order["withdraw"]:
        withdraw_later(order["withdraw"])


def new_lines(order: dict[str, Any]) -> list[str]:
    """The lines of the file with the new secret as first or last line."""
    old = [line for line in current_lines() if line != order["new"]]
    return [order["new"], *old] if order["first"] else [*old, order["new"]]


def secret_text() -> str | None:
    """The text of the file; None if there is no file yet."""
    return FILE.read_text("utf-8") if FILE.exists() else None


def current_lines() -> list[str]:
    """The present secrets. Raises StepFailed."""
    try:
        return [line.strip() for line in FILE.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise StepFailed(f"{FILE}: {error.strerror}; run calln deploy apply first") from None


def withdraw_later(seconds: int) -> None:
    """Start the timer that removes the old secret; it outlives a reboot. Raises StepFailed."""
    then = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + seconds))
    file = {"text": TIMER_TEXT.format(then=then), "mode": 0o644, "owner": "root", "group": "root"}
    steps.write_file(file, TIMER_FILE)
    systemctl("stop", TIMER)
    systemctl("daemon-reload")
    if systemctl("enable", "--quiet", "--now", TIMER).returncode:
        raise StepFailed(
            f"{TIMER} did not start, so the old secret stays; run calln deploy apply, then rotate again"
        )


def trial_credential(order: dict[str, Any]) -> dict[str, str]:
    """A credential for a trial call from elsewhere; the secret itself stays here."""
    name = f"{int(time.time()) + order['seconds']}:{order['user']}"
    digest = hmac.new(current_lines()[0].encode(), name.encode(), hashlib.sha1).digest()
    return {"username": name, "password": base64.b64encode(digest).decode()}
