"""The program that an order is given to. It goes on to its end when nobody listens any more."""

from __future__ import annotations

import errno
import json
import signal
import time
from collections.abc import Callable
from typing import Any

from deploy.agent import backup, facts, lock, releases, secrets, systemd
from deploy.agent.steps import HANDS
from deploy.agent.systemd import UNITS, Failed

Order = dict[str, Any]


def main(order: Order) -> int:
    """Do what it says; 1 with a sentence where it did not come off."""
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    do, alone = ORDERS[order["do"]]
    try:
        if not alone:
            do(order)
        else:
            with lock.held(order["who"]):
                do(order)
    except (Failed, lock.Held) as problem:
        say(f"{problem}")
        return 1
    except OSError as problem:
        say(f"{problem.filename or 'the machine'}: {problem.strerror or problem}")
        return 1
    return 0


def say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # the line is broken; what is half done must not stay so
        return


def apply(order: Order) -> None:
    """Raises Failed with the step that failed; those before it stand, and the next run begins there."""
    for step in order["steps"]:
        begun = time.monotonic()
        try:
            HANDS[step["kind"]](step)
        except (Failed, OSError, LookupError) as problem:
            raise Failed(f"FAILED: {step['sentence']}\n{reason(problem)}") from None
        say(f"{step['sentence']} ({time.monotonic() - begun:.1f} s)")


def reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
        return f"the disk is full ({problem.filename or 'no place named'}); make room and run this again"
    return str(problem)


def rollback(order: Order) -> None:
    """Back to a release that is kept. Raises Failed; then what served before serves on."""
    wanted = releases.rested(releases.back_to(order["to"]))
    before = releases.current()
    releases.switch(wanted, order["roles"])
    say(f"{wanted} serves instead of {before}; calls that run go on to their end.")


def status(_: Order) -> None:
    """In plain words, what serves and what drains."""
    now = releases.current()
    say(f"current release: {now or 'none'}")
    for role, name in UNITS.items():
        for release in systemd.releases(role):
            condition = systemd.state(systemd.unit(role, release))
            words = CONDITIONS.get(condition, condition)
            ready = ", ready" if condition == "active" and release == now and systemd.is_ready(role) else ""
            say(f"{name} {release}: {words}{ready}")
    say(f"releases to go back to: {', '.join(name for name in releases.kept() if name != now) or 'none'}")


def kept(_: Order) -> None:
    say(json.dumps({"current": releases.current(), "kept": releases.kept()}))


CONDITIONS = {"active": "serves", "deactivating": "drains: its calls go on to their end"}

# What an order says in `do` -> the function, and whether it must be alone on the machine.
ORDERS: dict[str, tuple[Callable[[Order], None], bool]] = {
    "apply": (apply, True),
    "rollback": (rollback, True),
    "status": (status, False),
    "kept": (kept, False),
    "look": (lambda order: say(json.dumps(facts.look(order))), False),
    "backup": (lambda _: say(backup.backup()), False),
    "restore": (lambda order: backup.restore(order["data"]), True),
    "secrets": (secrets.put, True),
    "secret": (lambda _: say(json.dumps(secrets.text())), False),
    "credential": (lambda order: say(json.dumps(secrets.credential(order))), False),
}
