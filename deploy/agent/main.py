"""The program that gets an order. It goes on to its end even if the connection breaks."""

from __future__ import annotations

import base64
import errno
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.agent import backup, facts, lock, releases, secrets, systemd
from deploy.agent.steps import ACTIONS
from deploy.agent.systemd import UNITS, StepFailed

Order = dict[str, Any]

BACKUP = "calln-backup.service"
APPLIED = Path("/opt/calln/applied")  # written last: all steps of a deployment were done


def main(order: Order) -> int:
    """Carry out the order; if it fails, print why and return 1."""
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    do, needs_lock = ORDERS[order["do"]]
    try:
        if not needs_lock:
            do(order)
        else:
            with lock.exclusive(order["who"]):
                do(order)
    except (StepFailed, lock.Locked) as problem:
        print_line(f"{problem}")
        return 1
    except OSError as problem:
        print_line(f"{problem.filename or 'the machine'}: {problem.strerror or problem}")
        return 1
    return 0


def print_line(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # the connection is broken; the order must still be finished
        return


def apply_steps(order: Order) -> None:
    """Do all steps. Raises StepFailed for the first that fails; the next run goes on from there."""
    for step in order["steps"]:
        begun = time.monotonic()
        try:
            ACTIONS[step["kind"]](step)
        except (StepFailed, OSError, LookupError) as problem:
            raise StepFailed(f"FAILED: {step['sentence']}\n{reason(problem)}") from None
        print_line(f"{step['sentence']} ({time.monotonic() - begun:.1f} s)")


def reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
        return f"the disk is full ({problem.filename or 'unknown file'}); make room and run this again"
    return str(problem)


def roll_back(order: Order) -> None:
    """Go back to an earlier release. Raises StepFailed; then the present release still runs."""
    wanted = releases.startable(releases.rollback_target(order["to"]))
    before = releases.current_release()
    releases.switch_release(wanted, order["roles"])
    print_line(f"{wanted} runs now instead of {before}; running calls go on to their end.")


def restore_and_reload(order: Order) -> None:
    """Write a backup back, and let what runs already use it. Raises StepFailed."""
    backup.restore(order["data"])
    systemd.reload_serving()


def restart(order: Order) -> None:
    """Begin anew with the same release. Raises StepFailed; then the present one still runs."""
    before, fresh = releases.restart_release(order["roles"])
    print_line(f"{fresh} runs now, the same release as {before}; running calls go on to their end.")


def print_status(order: Order) -> None:
    """Print which releases run and which wait for their last calls. Raises StepFailed with what does not work
    of the parts that the order names."""
    now = releases.current_release()
    print_line(f"current release: {now or 'none'}")
    for role, name in UNITS.items():
        for release in systemd.running_releases(role):
            condition = systemd.unit_state(systemd.unit_name(role, release))
            words = CONDITIONS.get(condition, condition)
            ready = ", ready" if condition == "active" and release == now and systemd.is_ready(role) else ""
            print_line(f"{name} {release}: {words}{ready}")
    others = [name for name in releases.stored_releases() if name != now]
    print_line(f"earlier releases: {', '.join(others) or 'none'}")
    wrong = list(troubles(order["roles"], now))
    if wrong:
        raise StepFailed("\n".join(f"not well: {sentence}" for sentence in wrong))


def troubles(roles: Sequence[str], release: str | None) -> Iterator[str]:
    """What does not work on this machine, and what to do."""
    if release is None:
        yield "Calln is not installed here; run calln deploy apply"
        return
    if not APPLIED.exists():
        yield "the last deployment did not reach its end; run calln deploy apply again"
    if foreign := facts.foreign_files():
        yield f"the services cannot use {', '.join(foreign[:3])}; run calln deploy apply, which mends it"
    if systemd.unit_state(BACKUP) == "failed":
        yield f"the last backup failed; journalctl --namespace=calln --unit={BACKUP} says why"
    for role in roles:
        condition = systemd.unit_state(systemd.unit_name(role, release))
        if condition != "active":
            yield f"{UNITS[role]} does not run ({condition}); calln deploy logs may say why"
        elif not systemd.is_ready(role):
            yield f"{UNITS[role]} runs, but is not ready; calln doctor on that machine says what is wrong"


CONDITIONS = {"active": "running", "deactivating": "ending after its last call"}

# The key `do` of an order -> the function, and whether it needs the lock.
ORDERS: dict[str, tuple[Callable[[Order], None], bool]] = {
    "apply": (apply_steps, True),
    "rollback": (roll_back, True),
    "restart": (restart, True),
    "status": (print_status, False),
    "look": (lambda order: print_line(json.dumps(facts.machine_facts(order))), False),
    "backup": (lambda _: print_line(base64.b64encode(backup.make_backup()).decode()), False),
    "restore": (restore_and_reload, True),
    "secrets": (secrets.change_secret, True),
    "secret": (lambda _: print_line(json.dumps(secrets.secret_text())), False),
    "credential": (lambda order: print_line(json.dumps(secrets.trial_credential(order))), False),
}
