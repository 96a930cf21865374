"""`systemctl restart calln`: the same release starts anew beside the running one, as calln.service asks."""

from __future__ import annotations

import sys

from deploy.agent import lock, releases
from deploy.agent.systemd import RUNNING, UNITS, StepFailed, unit_name, unit_state

WHO = "systemctl restart calln on this machine"


def main() -> int:
    """Of the parts that run. The exit code is 1 if they could not; then what ran still runs."""
    now = releases.current_release()
    roles = [role for role in UNITS if now and unit_state(unit_name(role, now)) in RUNNING]
    if not roles:
        return 0  # nothing runs, and systemd starts what it shall
    try:
        with lock.exclusive(WHO):
            before, fresh = releases.restart_release(roles)
    except (StepFailed, lock.Locked, OSError) as problem:
        print(f"Nothing was restarted: {problem}", file=sys.stderr)
        return 1
    print(f"{fresh} runs now, the same release as {before}; running calls go on to their end.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
