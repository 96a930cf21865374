"""After an update of the system: what runs on libraries that are no longer there starts anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.agent import releases, restart
from deploy.agent.systemd import RUNNING, UNITS, systemctl, unit_name, unit_state

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# A line of /proc/PID/maps whose file was replaced: the old one is deleted, and in use (proc_pid_maps(5)).
REPLACED = re.compile(r"^\S+ \S+ \S+ \S+ \S+ +(/(?:usr|lib|lib64)/\S.*) \(deleted\)$", re.MULTILINE)


def replaced_files(pid: str) -> set[str]:
    """The names of programs and libraries that a process has from before an update."""
    try:
        maps = (PROC / pid / "maps").read_text(errors="replace")
    except OSError:  # it has just ended
        return set()
    return {Path(path).name for path in REPLACED.findall(maps)}


def processes(unit: str) -> Iterator[str]:
    """The processes of a unit, the relay's workers among them."""
    group = systemctl("show", "--property=ControlGroup", "--value", unit).stdout.strip()
    try:
        yield from (CGROUPS / group.lstrip("/") / "cgroup.procs").read_text().split()
    except OSError:  # it does not run
        return


def outdated() -> set[str]:
    """What the current release has from before an update. Older ones end with their last call anyway."""
    now = releases.current_release()
    units = [unit_name(role, now) for role in UNITS] if now else []
    running = [unit for unit in units if unit_state(unit) in RUNNING]
    return {name for unit in running for pid in processes(unit) for name in replaced_files(pid)}


def main() -> int:
    """The exit code is 1 if they could not be restarted; then what ran still runs."""
    names = sorted(outdated())
    if not names:
        print("Nothing that runs is from before an update.")
        return 0
    print(f"From before an update: {', '.join(names)}.", flush=True)
    return restart.main()


if __name__ == "__main__":
    sys.exit(main())
